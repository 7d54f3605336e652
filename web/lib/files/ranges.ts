/** Files that are read over the network, without storing them. */

import { DownloadError } from "../errors";
import type { FetchOptions, Source } from "../files";
import { BlobSource } from "./blobs";
import type { Remote } from "./download";
import { ask, beginsAt, chunks, Cut, Refusal, sameVersion, version, type Version } from "./http";
import { bytes, checkRange } from "./source";

/** Bytes that are fetched at least: of headers, and of files that are read to their end. */
const AHEAD = 256 << 10;
const FAR_AHEAD = 4 << 20;
/** Bytes that are fetched at most to get at a header where the server can't send a part. */
const MAX_PREFIX = 64 << 20;
const TRIES = 3;

/** A file on a server, opened by asking for its beginning. */
export async function openRemote(remote: Remote, options: FetchOptions): Promise<Source> {
  const { url } = remote;
  const { signal } = options;
  const ahead = options.headersOnly ? AHEAD : FAR_AHEAD;
  const response = await ask(url, { to: ahead - 1, signal });
  if (response.status === 416) {
    await response.body?.cancel();
    return new BlobSource(remote.name, new Blob());
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new Refusal(url, response.status);
  }
  const found = version(response);
  if (response.status === 206 && beginsAt(response, 0)) {
    const first = await whole(url, response, 0, signal);
    found.size ??= remote.size ?? (first.length < ahead ? first.length : await sizeOf(url, signal));
    if (found.size !== null) {
      report(remote, options, first.length, found.size);
      return new RangeSource(remote, found.size, found, ahead, options, first);
    }
    const why = "its server doesn't tell how long it is (it could expose the header Content-Range, or send Content-Length for a HEAD request)";
    throw new DownloadError("http", `${url} can't be read in parts: ${why}`, url);
  }
  const size = remote.size ?? found.size;
  const prefix = new PrefixSource(remote, size ?? 0, chunks(url, response, 0, signal), options);
  if (options.headersOnly && size !== null) {
    return prefix;
  }
  return new BlobSource(remote.name, await prefix.all());
}

/** The body of an answer that is no larger than what was asked for. */
async function whole(url: string, response: Response, from: number, signal: AbortSignal): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks(url, response, from, signal)) {
    parts.push(chunk as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function sizeOf(url: string, signal: AbortSignal): Promise<number | null> {
  const response = await ask(url, { method: "HEAD", signal });
  return response.ok ? version(response, 0).size : null;
}

function report(remote: Remote, options: FetchOptions, loaded: number, total: number): void {
  options.onProgress({ phase: "download", file: remote.name, loaded, total, fromCache: false });
}

/** A file of which parts are asked for. */
class RangeSource implements Source {
  readonly name: string;
  private loaded: number;
  /** What came last, and where it lies in the file. */
  private part: { at: number; bytes: Uint8Array };

  constructor(
    private readonly remote: Remote,
    readonly size: number,
    private readonly file: Version,
    private readonly ahead: number,
    private readonly options: FetchOptions,
    first: Uint8Array,
  ) {
    this.name = remote.name;
    this.part = { at: 0, bytes: first };
    this.loaded = first.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { at, bytes } = this.part;
      const begin = offset + done - at;
      if (begin >= 0 && begin < bytes.length) {
        const piece = bytes.subarray(begin, begin + length - done);
        out.set(piece, done);
        done += piece.length;
      } else {
        const from = offset + done;
        this.part = { at: from, bytes: await this.fetch(from, Math.min(this.size, from + Math.max(length - done, this.ahead))) };
      }
    }
    return out;
  }

  close(): void {
    this.part = { at: 0, bytes: new Uint8Array() };
  }

  private async fetch(from: number, end: number): Promise<Uint8Array> {
    const { url } = this.remote;
    for (let tries = 1; ; tries += 1) {
      try {
        const response = await ask(url, { from, to: end - 1, signal: this.options.signal });
        if (!response.ok) {
          await response.body?.cancel();
          throw new Refusal(url, response.status);
        }
        if (response.status !== 206 || !beginsAt(response, from) || !sameVersion(version(response), this.file)) {
          await response.body?.cancel();
          throw new DownloadError("checksum", `${url} changed while it was read: load it again`, url);
        }
        const bytes = await whole(url, response, from, this.options.signal);
        if (bytes.length !== end - from) {
          throw new Cut("the body ended early");
        }
        this.loaded += bytes.length;
        report(this.remote, this.options, Math.min(this.loaded, this.size), this.size);
        return bytes;
      } catch (error) {
        if (!(error instanceof Cut)) {
          throw error;
        }
        if (tries === TRIES) {
          throw new DownloadError("network", `the connection to ${url} was cut ${TRIES} times`, url, { cause: error });
        }
      }
    }
  }
}

/** A file from a server that sends it from the beginning only: no more of it is taken than is asked for. */
class PrefixSource implements Source {
  readonly name: string;
  /** What has come, with room for more. */
  private prefix = new Uint8Array(AHEAD);
  private length = 0;

  constructor(
    private readonly remote: Remote,
    readonly size: number,
    private readonly chunks: AsyncGenerator<Uint8Array, void, void>,
    private readonly options: FetchOptions,
  ) {
    this.name = remote.name;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    const { url } = this.remote;
    const end = offset + length;
    if (end > MAX_PREFIX) {
      const why = `its server can't send parts of it (no answer to Range), so that ${bytes(end)} would have to be downloaded for that`;
      throw new DownloadError("http", `${url} can't be inspected: ${why}. Load it instead`, url);
    }
    while (this.length < end) {
      const next = await this.next();
      if (!next) {
        throw new DownloadError("network", `${url} ends after ${this.length} of ${this.size} bytes`, url);
      }
      if (this.length + next.length > this.prefix.length) {
        const larger = new Uint8Array(2 * (this.length + next.length));
        larger.set(this.prefix.subarray(0, this.length));
        this.prefix = larger;
      }
      this.prefix.set(next, this.length);
      this.length += next.length;
      report(this.remote, this.options, this.length, this.size);
    }
    return this.prefix.slice(offset, end);
  }

  /** The whole file, in memory. */
  async all(): Promise<Blob> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    for (let next = await this.next(); next; next = await this.next()) {
      parts.push(next as Uint8Array<ArrayBuffer>);
      loaded += next.length;
      report(this.remote, this.options, loaded, this.size);
    }
    if (loaded < this.size) {
      throw new DownloadError("network", `${this.remote.url} ends after ${loaded} of ${this.size} bytes`, this.remote.url);
    }
    return new Blob(parts);
  }

  close(): void {
    void this.chunks.return();
  }

  private async next(): Promise<Uint8Array | null> {
    try {
      return (await this.chunks.next()).value ?? null;
    } catch (cause) {
      if (cause instanceof Cut) {
        throw new DownloadError("network", `the connection to ${this.remote.url} was cut`, this.remote.url, { cause });
      }
      throw cause;
    }
  }
}
