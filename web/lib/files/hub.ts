/** Models on a Hugging Face hub: `hf:org/name[@revision][:file or quantisation]`, as the command line names and chooses them. */

import { DownloadError, FastweightError } from "../errors";
import type { FetchOptions } from "../files";
import type { Checksum } from "./checksum";
import { ask, unreachable } from "./http";
import type { Layout } from "./remote-folder";
import { baseName } from "./source";
import type { StoredModel } from "./store";

export const HUB = "https://huggingface.co";
const INDEX = "model.safetensors.index.json";
/** What belongs to weights in the Hugging Face layout. */
const BESIDE = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
];
/** Milliseconds that the hub may take to tell whether a stored model has changed. */
const PATIENCE = 5_000;

/** A model on the hub. */
export interface HubName {
  /** `org/name`. */
  repository: string;
  /** A branch, a tag or a commit. */
  revision: string;
  /** A file, or the name of a quantisation. */
  file: string | null;
}

export function parseHubName(text: string): HubName {
  const rest = text.replace(/^hf:/, "");
  const [name = "", file] = splitOnce(rest, ":");
  const [repository = "", revision = "main"] = splitOnce(name, "@");
  const parts = repository.split("/");
  if (parts.length !== 2 || !parts.every(isPart) || !revision.split("/").every(isPart)) {
    const wanted = "wanted hf:org/name, with @revision and :file or :quantisation if need be";
    throw new FastweightError("bad-option", `${text} names no model: ${wanted}`);
  }
  if (file !== undefined && !isPath(file)) {
    throw new FastweightError("bad-option", `${text}: "${file}" names no file`);
  }
  return { repository, revision, file: file ?? null };
}

export function showHubName({ repository, revision, file }: HubName): string {
  return `hf:${repository}${revision === "main" ? "" : `@${revision}`}${file === null ? "" : `:${file}`}`;
}

/** A file of a repository. */
interface Listed {
  path: string;
  size: number;
  checksum: Checksum;
}

/** A repository at a commit. */
interface Listing {
  commit: string;
  files: Listed[];
}

/** Finds a model's files on the hub; or in the storage, if the hub needn't or can't be asked. */
export async function locateOnHub(name: HubName, model: StoredModel | null, options: FetchOptions): Promise<Layout> {
  const hub = (options.hubUrl ?? HUB).replace(/\/+$/, "");
  const listing = await list(hub, name, model, options);
  const chosen = choose(name, listing.files.map((file) => file.path));
  const files = new Map(listing.files.map((file) => [file.path, file]));
  return {
    name: showHubName(name),
    file: chosen.file && baseName(chosen.file),
    names: chosen.files.map((path) => path.slice(chosen.folder.length)),
    // A commit never changes.
    fixed: true,
    locate(asked) {
      const file = chosen.files.includes(chosen.folder + asked) ? files.get(chosen.folder + asked) : undefined;
      const url = `${hub}/${name.repository}/resolve/${listing.commit}/${escape(chosen.folder + asked)}`;
      return file ? { name: asked, url, size: file.size, checksum: file.checksum } : null;
    },
    missing: (error) => error,
  };
}

async function list(hub: string, name: HubName, model: StoredModel | null, options: FetchOptions): Promise<Listing> {
  const stored = (model?.listing as Listing | null | undefined) ?? null;
  if (stored && (isHex(name.revision) || !navigator.onLine)) {
    return stored;
  }
  const label = showHubName(name);
  options.onProgress({ phase: "locate", file: label, loaded: 0, total: 0, fromCache: false });
  const url = `${hub}/api/models/${name.repository}/revision/${encodeURIComponent(name.revision)}?blobs=true`;
  const signal = stored ? AbortSignal.any([options.signal, AbortSignal.timeout(PATIENCE)]) : options.signal;
  try {
    const listing = await fetchListing(url, hub, name, signal);
    // A look at a model leaves nothing behind.
    if (!options.headersOnly) {
      await model?.write({ listing });
    }
    return listing;
  } catch (error) {
    options.signal.throwIfAborted();
    if (stored) {
      return stored;
    }
    throw error;
  }
}

async function fetchListing(url: string, hub: string, name: HubName, signal: AbortSignal): Promise<Listing> {
  const label = showHubName(name);
  const response = await ask(url, { signal });
  if (!response.ok) {
    await response.body?.cancel();
    switch (response.status) {
      case 404:
        throw new DownloadError("not-found", `${label} does not exist on ${hub}`, url);
      case 401:
      case 403:
        throw new DownloadError("not-found", `${label} does not exist, or is not for everybody: see ${hub}/${name.repository}`, url);
      default:
        throw new DownloadError("http", `${hub} answers ${response.status} for ${label}`, url);
    }
  }
  let text: string;
  try {
    text = await response.text();
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(url, cause);
  }
  let info: unknown;
  try {
    info = JSON.parse(text);
  } catch (cause) {
    const code = text.trimStart().startsWith("<") ? "web-page" : "http";
    throw new DownloadError(code, `${url} gives no list of files: is ${hub} a hub?`, url, { cause });
  }
  return readListing(info, url);
}

/** The hub's answer, with nothing in it taken for granted. Files whose names lead elsewhere, or without a checksum, are left out. */
function readListing(info: unknown, url: string): Listing {
  const { sha, siblings } = info as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !isHex(sha) || !Array.isArray(siblings)) {
    throw new DownloadError("http", `${url}: not what a hub answers`, url);
  }
  const files: Listed[] = [];
  for (const sibling of siblings as Record<string, unknown>[]) {
    const { rfilename: path, size, blobId, lfs } = sibling;
    if (typeof path !== "string" || !isPath(path)) {
      continue;
    }
    const large = (lfs ?? {}) as { sha256?: unknown; oid?: unknown; size?: unknown };
    const sha256 = large.sha256 ?? large.oid;
    if (typeof sha256 === "string" && isHex(sha256) && typeof large.size === "number") {
      files.push({ path, size: large.size, checksum: { kind: "sha256", hex: sha256.toLowerCase() } });
    } else if (typeof blobId === "string" && isHex(blobId) && typeof size === "number") {
      files.push({ path, size, checksum: { kind: "git", hex: blobId.toLowerCase() } });
    }
  }
  return { commit: sha, files };
}

interface Choice {
  /** Ends with a slash, or is empty. */
  folder: string;
  /** All that may be opened. */
  files: string[];
  /** The file that is meant; null for the folder. */
  file: string | null;
}

/** Chooses by what was asked for. */
export function choose(name: HubName, paths: string[]): Choice {
  const safetensors = paths.filter((path) => path.endsWith(".safetensors"));
  const ggufs = paths.filter((path) => path.endsWith(".gguf"));
  const label = showHubName(name);
  const list = (found: string[]) => found.map((path) => `\n  ${path}`).join("");
  const weights = list([...safetensors, ...ggufs]) || " no weights in a format that is read here (.safetensors, .gguf)";
  const refuse = (message: string) => new DownloadError("not-found", message, label);
  const alone = (file: string): Choice => ({ folder: file.slice(0, -baseName(file).length), files: [file], file });
  const beside = (files: string[], file: string | null): Choice => {
    const { folder } = alone(files[0]!);
    return { folder, files: [...BESIDE.map((other) => folder + other).filter((path) => paths.includes(path)), ...files], file };
  };
  if (name.file !== null) {
    const wanted = name.file;
    if (paths.includes(wanted)) {
      return wanted.endsWith(".safetensors") ? beside([wanted], wanted) : alone(wanted);
    }
    const found = ggufs.filter((path) => hasPart(path, wanted));
    if (found.length === 1) {
      return alone(found[0]!);
    }
    throw refuse(
      found.length === 0
        ? `${name.repository} has no file and no quantisation ${wanted}; it has${weights}`
        : `${name.repository} has several files with ${wanted}: name one after the colon${list(found)}`,
    );
  }
  if (paths.includes(INDEX)) {
    // Which of the others are its shards, the index tells whoever opens it.
    return beside([INDEX, ...safetensors], null);
  }
  if (paths.includes("model.safetensors")) {
    return beside(["model.safetensors"], null);
  }
  const [only, ...more] = [...safetensors, ...ggufs];
  if (only === undefined) {
    throw refuse(`${name.repository} has${weights}`);
  }
  if (more.length > 0) {
    throw refuse(`${name.repository} has several models: name a file or a quantisation after a colon${weights}`);
  }
  return safetensors.length === 1 ? beside([only], only) : alone(only);
}

/** Whether a file's name has this part between its dots and dashes, in large or small letters. */
function hasPart(path: string, wanted: string): boolean {
  return baseName(path)
    .split(/[-.]/)
    .some((part) => part.toLowerCase() === wanted.toLowerCase());
}

/** What to say of an address of the hub's pages; null for the address of a file. */
export function hubPageHint(url: URL, hub: string): string | null {
  if (url.origin !== new URL(hub).origin) {
    return null;
  }
  const [org, name, kind, revision, ...path] = url.pathname.split("/").filter((part) => part !== "");
  if (org === undefined || name === undefined || kind === "resolve") {
    return null;
  }
  const file = kind === "blob" && path.length > 0 ? `:${path.join("/")}` : "";
  return `hf:${org}/${name}${revision !== undefined && revision !== "main" ? `@${revision}` : ""}${file}`;
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Whether a text can be one part of a path, and nothing else, on every system. */
function isPart(part: string): boolean {
  return /^[\p{L}\p{N}\-_. +()[\],=~]{1,200}$/u.test(part) && !part.startsWith(".") && !/[. ]$/.test(part);
}

/** Whether a text is a path that goes down only. */
function isPath(path: string): boolean {
  return path.length <= 1000 && path.split("/").every(isPart);
}

/** Whether a text is a checksum or a commit in hexadecimal digits. */
function isHex(text: string): boolean {
  return /^[0-9a-f]{40,64}$/i.test(text);
}

function escape(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
