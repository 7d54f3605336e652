/** Where a model's files are, whatever it was named by. */

import { DownloadError, FastweightError } from "../errors";
import type { FetchOptions, Folder, Locate } from "../files";
import type { ModelSource } from "../types";
import { blobFolder } from "./blobs";
import { HUB, hubPageHint, locateOnHub, parseHubName, showHubName } from "./hub";
import { throttled } from "./progress";
import { RemoteFolder, type Layout } from "./remote-folder";
import { baseName, isWeights } from "./source";
import { removeStored, StoredModel } from "./store";

export { cached } from "./store";

export const locate: Locate = async (source, options) => {
  options.signal.throwIfAborted();
  if (isFiles(source)) {
    return blobFolder(source instanceof File ? [source] : source);
  }
  const named = name(source);
  const reporting = { ...options, onProgress: throttled(options.onProgress) };
  const layout = named.kind === "hub" ? null : addressed(named, options);
  const model = options.cache ? await StoredModel.open(named.canonical, !options.headersOnly) : null;
  const found = named.kind === "hub" ? await locateOnHub(named.hub, model, reporting) : layout!;
  return new RemoteFolder(found, model, reporting) satisfies Folder;
};

/** Removes what of a model is in this browser's storage. */
export async function remove(source: ModelSource): Promise<void> {
  if (!isFiles(source)) {
    await removeStored(name(source).canonical);
  }
}

function isFiles(source: ModelSource): source is File | readonly File[] {
  return source instanceof File || Array.isArray(source);
}

/** What a model was named by. */
type Named =
  | { kind: "hub"; canonical: string; hub: ReturnType<typeof parseHubName> }
  | { kind: "address"; canonical: string; url: URL }
  | { kind: "shipped"; canonical: string };

function name(source: string | URL): Named {
  const text = String(source).trim();
  if (text.startsWith("hf:")) {
    const hub = parseHubName(text);
    return { kind: "hub", canonical: showHubName(hub), hub };
  }
  if (/^https?:/i.test(text) && URL.canParse(text)) {
    const url = new URL(text);
    url.hash = "";
    if (!isWeights(url.pathname) && !url.pathname.endsWith("/")) {
      url.pathname += "/";
    }
    return { kind: "address", canonical: url.href, url };
  }
  if (/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(text) && !isWeights(text)) {
    return { kind: "shipped", canonical: text };
  }
  const wanted =
    "wanted the name of a model that ships with the project, hf:org/name, files, or a whole address such as new URL('model.gguf', location.href)";
  throw new FastweightError("bad-option", `"${text}" names no model: ${wanted}`);
}

/** Models of the project whose folder has a file for browsers: half of the bytes, for 0.006 % of perplexity. */
const FOR_BROWSERS: ReadonlyMap<string, string> = new Map([["ttt-linear-stories-6m", "ttt-linear-stories-6m.q8_0.gguf"]]);

/** A model beside the page: its folder, or the file of it that is for browsers. */
function shipped(name: string, modelsUrl: string): URL {
  return new URL(`${name}/${FOR_BROWSERS.get(name) ?? ""}`, modelsUrl);
}

/** The files at an address. */
function addressed(named: Exclude<Named, { kind: "hub" }>, options: FetchOptions): Layout {
  const url = named.kind === "address" ? named.url : shipped(named.canonical, options.modelsUrl);
  const hint = hubPageHint(url, options.hubUrl ?? HUB);
  if (hint) {
    throw new DownloadError("web-page", `${url} is a page about a model, and the model itself was wanted: try "${hint}"`, url.href);
  }
  const file = isWeights(url.pathname) ? decodeURIComponent(baseName(url.pathname)) : null;
  // A query goes along: it may be what lets one in.
  const at = (name: string) => {
    const beside = new URL(name.split("/").map(encodeURIComponent).join("/"), url);
    beside.search = url.search;
    return beside.href;
  };
  return {
    name: named.canonical,
    file,
    // A GGUF is whole.
    names: file !== null && /\.gguf$/i.test(file) ? [file] : null,
    fixed: false,
    locate: (asked) =>
      file !== null && /\.gguf$/i.test(file) && asked !== file
        ? null
        : { name: asked, url: asked === file ? url.href : at(asked), size: null, checksum: null },
    missing: (error) => missing(named, file, error),
  };
}

function missing(named: Named, file: string | null, error: DownloadError): DownloadError {
  if (named.kind === "shipped") {
    const message = `no model with the name "${named.canonical}" is at ${error.url}`;
    return new DownloadError("not-found", message, error.url, { cause: error });
  }
  if (file === null) {
    const message = `${named.canonical} is no model's folder: ${error.message}, where a config.json was wanted`;
    return new DownloadError("not-found", message, error.url, { cause: error });
  }
  return error;
}
