/** Requests for files, and what the answers mean. */

import { DownloadError } from "../errors";

/** Milliseconds without a byte after which a connection counts as cut. */
const PATIENCE = 60_000;
/** Bytes of a body that are looked at before any is given out. */
const HEAD = 64;

export interface Ask {
  method?: "GET" | "HEAD";
  /** The first and the last byte that are wanted; without `to`, all from there on. */
  from?: number;
  to?: number;
  /** What the file was when its beginning was fetched. */
  ifRange?: Version;
  signal: AbortSignal;
}

/** What tells one version of a file from another. */
export interface Version {
  etag: string | null;
  lastModified: string | null;
  /** Bytes of the whole file. */
  size: number | null;
}

/**
 * Asks for a file. All requests carry a range, also those for the whole: a browser then asks for the bytes as they are, not compressed,
 * so that lengths mean something; and a server that knows ranges answers with the size. (`Range` needs no preflight request.)
 */
export async function ask(url: string, { method = "GET", from = 0, to, ifRange, signal }: Ask): Promise<Response> {
  const headers = new Headers({ range: `bytes=${from}-${to ?? ""}` });
  // To another origin this header would cost a preflight request that many servers refuse; there, versions are compared instead.
  if (ifRange && new URL(url).origin === location.origin) {
    const etag = ifRange.etag?.startsWith("W/") ? null : ifRange.etag;
    const version = etag ?? ifRange.lastModified;
    if (version) {
      headers.set("if-range", version);
    }
  }
  try {
    return await fetch(url, { method, headers, signal, cache: "no-store" });
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(url, cause);
  }
}

export function unreachable(url: string, cause: unknown): DownloadError {
  const why =
    new URL(url).origin === location.origin
      ? "this browser is offline, or the server is down"
      : "this browser is offline, the server is down, or it doesn't allow pages of other sites to read its files, for which it must send " +
        "the header Access-Control-Allow-Origin (the browser doesn't tell which)";
  return new DownloadError("network", `${url} can't be reached: ${why}`, url, { cause });
}

/** An answer that isn't yes. */
export class Refusal extends DownloadError {
  constructor(
    url: string,
    readonly status: number,
  ) {
    const isGone = status === 404 || status === 410;
    const meaning = status === 401 || status === 403 ? ": it is not for everybody, or doesn't exist" : "";
    super(
      isGone ? "not-found" : "http",
      isGone ? `there is nothing at ${url} (the server answers ${status})` : `the server answers ${status} for ${url}${meaning}`,
      url,
    );
  }
}

/** The version of the file that an answer is about. `from`, if all from there on was asked for, tells the size where nothing else does. */
export function version(response: Response, from?: number): Version {
  const { headers, status } = response;
  let size: number | null = null;
  const range = /^bytes (?:\d+-\d+|\*)\/(\d+)$/.exec(headers.get("content-range") ?? "");
  const length = headers.get("content-length");
  if (range) {
    size = Number(range[1]);
  } else if (length !== null && (headers.get("content-encoding") ?? "identity") === "identity") {
    // A page doesn't see another origin's Content-Range unless the server exposes it.
    size = status === 200 ? Number(length) : status === 206 && from !== undefined ? from + Number(length) : null;
  }
  return { etag: headers.get("etag"), lastModified: headers.get("last-modified"), size };
}

/** Whether an answer begins at the byte that was asked for, as far as a page is told. */
export function beginsAt(response: Response, from: number): boolean {
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return response.status !== 206 || !range || Number(range[1]) === from;
}

/** Whether nothing speaks against two answers being about one version. What a server doesn't tell, or a page may not see, is null. */
export function sameVersion(a: Version, b: Version): boolean {
  if (a.size !== null && b.size !== null && a.size !== b.size) {
    return false;
  }
  if (a.etag !== null && b.etag !== null) {
    // A weak tag of a file is made of its time and its size, too.
    return a.etag.replace(/^W\//, "") === b.etag.replace(/^W\//, "");
  }
  return a.lastModified === null || b.lastModified === null || a.lastModified === b.lastModified;
}

/** A body was cut off: it can be taken up again. */
export class Cut extends Error {}

/**
 * The bytes of a body, as they come. Throws {@link Cut} if the connection breaks or nothing comes for a minute. A body from byte 0 on that
 * is a web page is refused before any of it is given out.
 */
export async function* chunks(url: string, response: Response, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const reader = response.body!.getReader();
  try {
    let head = from === 0 ? new Uint8Array() : null;
    for (;;) {
      const { done, value } = await patiently(reader, signal);
      if (head) {
        const joined = new Uint8Array(head.length + (value?.length ?? 0));
        joined.set(head);
        joined.set(value ?? [], head.length);
        head = joined;
        if (!done && head.length < HEAD) {
          continue;
        }
        refuseWebPage(url, head);
        if (head.length > 0) {
          yield head;
        }
        head = null;
      } else if (value) {
        yield value;
      }
      if (done) {
        return;
      }
    }
  } finally {
    // Where not all was read, the rest needn't come.
    await reader.cancel().catch(() => {});
  }
}

async function patiently(reader: ReadableStreamDefaultReader<Uint8Array>, signal: AbortSignal) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Cut(`nothing came for ${PATIENCE / 1000} seconds`)), PATIENCE);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof Cut ? cause : new Cut("the connection was cut", { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** A server's own page for what it doesn't have, a log-in page, or the page about a file. */
function refuseWebPage(url: string, head: Uint8Array): void {
  const start = new TextDecoder().decode(head.subarray(0, HEAD)).trimStart().toLowerCase();
  if (start.startsWith("<!doctype html") || start.startsWith("<html")) {
    throw new DownloadError("web-page", `${url} gives a web page, and a file was wanted: is the address that of the file itself?`, url);
  }
}
