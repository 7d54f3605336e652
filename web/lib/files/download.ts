/** Downloads into this browser's storage. */

import { DownloadError } from "../errors";
import type { FetchOptions } from "../files";
import type { Phase } from "../types";
import { Hashing, type Checksum } from "./checksum";
import { ask, beginsAt, chunks, Cut, Refusal, sameVersion, version, type Version } from "./http";
import { isNamed, type SyncHandle } from "./opfs";
import { breath, bytes } from "./source";
import { MAKE_ROOM, type Meta, type StoredModel } from "./store";

/** Times in a row that a cut connection is taken up again without having brought anything. */
const TRIES = 3;
/** Bytes, or milliseconds, after which what has come is flushed, so that it outlasts whatever happens. */
const FLUSH_BYTES = 16 << 20;
const FLUSH_MILLISECONDS = 2_000;
/** Bytes that are read at a time, and that are hashed before others get their turn. */
const PIECE = 1 << 20;
const TURN = 16 << 20;

/** A file on a server. */
export interface Remote {
  /** As its folder names it. */
  name: string;
  url: string;
  /** Bytes, if known beforehand. */
  size: number | null;
  checksum: Checksum | null;
}

/**
 * Fetches a file, or what of it is missing, and returns what it is now. An error leaves what has come, to go on from there, unless it was
 * wrong or the storage is full: then it is removed. To be called in the model's lock.
 */
export async function download(model: StoredModel, remote: Remote, before: Meta | null, options: FetchOptions): Promise<Meta> {
  let handle: SyncHandle;
  try {
    handle = await model.openForWriting(remote.name);
  } catch (cause) {
    if (isNamed(cause, "NoModificationAllowedError")) {
      const message = `${remote.url} has changed, and the stored file is being read in another tab: try again when that is done`;
      throw new DownloadError("in-use", message, remote.url, { cause });
    }
    throw isNamed(cause, "QuotaExceededError") ? await storageFull(remote.url, remote.size, cause) : cause;
  }
  try {
    const hash = remote.checksum && (await Hashing.start(remote.checksum.kind, remote.size ?? 0));
    return await new Download(model, remote, options, handle, hash).run(before);
  } finally {
    handle.close();
  }
}

class Download {
  private here = 0;
  private file: Version = { etag: null, lastModified: null, size: null };
  /** Null while it isn't known. */
  private total: number | null;
  /** Whether the server has answered: a silence is then one of the connection. */
  private connected = false;
  private flushed = { at: performance.now(), bytes: 0 };

  constructor(
    private readonly model: StoredModel,
    private readonly remote: Remote,
    private readonly options: FetchOptions,
    private readonly handle: SyncHandle,
    private readonly hash: Hashing | null,
  ) {
    this.total = remote.size;
  }

  async run(before: Meta | null): Promise<Meta> {
    // Whatever happens here leaves what is stored as it is.
    await this.goOn(before);
    try {
      await this.fetchAll();
      return await this.finish();
    } catch (error) {
      if (isNamed(error, "QuotaExceededError")) {
        await this.discard();
        throw await storageFull(this.remote.url, this.total, error);
      }
      if (this.handle.getSize() === 0 || (error instanceof DownloadError && error.code === "checksum")) {
        await this.discard();
      } else {
        await this.flush().catch(() => {});
      }
      throw error;
    }
  }

  /** Takes up what an earlier download has left. */
  private async goOn(before: Meta | null): Promise<void> {
    const { remote, handle } = this;
    const same = before && !before.complete && !before.absent && isSame(before, remote);
    if (!same || before.stored > handle.getSize() || (before.size !== null && before.stored > before.size)) {
      return this.restart();
    }
    this.file = { etag: before.etag, lastModified: before.lastModified, size: before.size };
    this.total ??= before.size;
    this.hash?.restart();
    const piece = new Uint8Array(PIECE);
    while (this.here < before.stored) {
      const read = handle.read(piece.subarray(0, Math.min(PIECE, before.stored - this.here)), { at: this.here });
      if (read === 0) {
        return this.restart();
      }
      this.hash?.update(piece.subarray(0, read));
      this.here += read;
      if (this.hash && this.here % TURN < read) {
        this.report("check");
        await breath();
        this.options.signal.throwIfAborted();
      }
    }
    this.flushed.bytes = this.here;
  }

  /** What is stored stays until there is something in its place. */
  private restart(): void {
    this.here = 0;
    this.file = { etag: null, lastModified: null, size: null };
    this.total = this.remote.size;
    this.hash?.restart();
  }

  private async fetchAll(): Promise<void> {
    for (let tries = 0; ; ) {
      const before = this.here;
      try {
        if (this.here === 0 || this.here !== this.total) {
          await this.fetchSome();
        }
        return;
      } catch (error) {
        const isCut = error instanceof Cut || (this.connected && error instanceof DownloadError && error.code === "network");
        if (!isCut) {
          throw error;
        }
        tries = this.here > before ? 0 : tries + 1;
        if (tries === TRIES) {
          const whole = this.total === null ? "" : ` of ${bytes(this.total)}`;
          const message = `the connection was cut after ${bytes(this.here)}${whole} of ${this.remote.url}; load it again to go on from there`;
          throw new DownloadError("network", message, this.remote.url, { cause: error });
        }
        await pause(250 * 2 ** tries, this.options.signal);
      }
    }
  }

  /** One request, from what is here to the end. */
  private async fetchSome(): Promise<void> {
    const { remote, handle, options } = this;
    const { url } = remote;
    let response = await ask(url, { from: this.here, ifRange: this.file, signal: options.signal });
    if (response.status === 416 && this.here === 0) {
      // An empty file has no byte 0.
      response = await fetch(url, { signal: options.signal, cache: "no-store" });
    }
    this.connected = true;
    const found = version(response, this.here);
    const changed = response.status === 416 || (response.ok && !sameVersion(found, this.file));
    if (this.here > 0 && (changed || response.status === 200)) {
      this.restart();
      if (response.status !== 200) {
        await response.body?.cancel();
        return this.fetchSome();
      }
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new Refusal(url, response.status);
    }
    if (!beginsAt(response, this.here)) {
      await response.body?.cancel();
      throw new DownloadError("http", `${url}: the server sends ${response.headers.get("content-range")}, not from byte ${this.here} on`, url);
    }
    // The length of a whole answer may be that of a compressed one, which a page isn't told.
    if (response.status === 206 && remote.size !== null && found.size !== null && found.size !== remote.size) {
      await response.body?.cancel();
      throw new DownloadError("checksum", `${url} has ${found.size} bytes, and its hub promised ${remote.size}`, url);
    }
    this.file = found;
    this.total = remote.size ?? found.size;
    await this.makeRoom();
    const mayBeCompressed = response.status === 200 && remote.size === null;
    let begun = false;
    for await (const chunk of chunks(url, response, this.here, options.signal)) {
      if (!begun) {
        // What the bytes are is told before the first of them: without it they would be of no use.
        await this.model.writeMeta(remote.name, this.meta(false));
        handle.truncate(this.here);
        begun = true;
      }
      if (this.total !== null && this.here + chunk.length > this.total) {
        if (!mayBeCompressed) {
          throw new DownloadError("checksum", `${url} gives more than its ${this.total} bytes`, url);
        }
        // A body can be longer than its Content-Length only if it came compressed.
        this.total = this.file.size = null;
      }
      for (let at = 0; at < chunk.length; ) {
        const written = handle.write(chunk.subarray(at), { at: this.here + at });
        if (written === 0) {
          throw new DOMException("nothing more could be written", "QuotaExceededError");
        }
        at += written;
      }
      this.hash?.update(chunk);
      this.here += chunk.length;
      this.report("download");
      if (this.here - this.flushed.bytes >= FLUSH_BYTES || performance.now() - this.flushed.at >= FLUSH_MILLISECONDS) {
        await this.flush();
      }
      options.signal.throwIfAborted();
    }
    if (this.total !== null && this.here < this.total) {
      throw new Cut("the body ended early");
    }
  }

  /** Says beforehand if there is no room. */
  private async makeRoom(): Promise<void> {
    const { quota, usage } = await navigator.storage.estimate();
    if (this.total !== null && quota !== undefined && usage !== undefined && this.total - this.here > quota - usage) {
      throw new DOMException("no room", "QuotaExceededError");
    }
  }

  private async flush(): Promise<void> {
    this.handle.flush();
    this.flushed = { at: performance.now(), bytes: this.here };
    if (this.here > 0) {
      await this.model.writeMeta(this.remote.name, this.meta(false));
    }
  }

  private async finish(): Promise<Meta> {
    const { remote } = this;
    const found = this.hash?.hex();
    if (remote.checksum && found !== remote.checksum.hex) {
      const message = `the checksum of ${remote.url} is ${found}, and ${remote.checksum.hex} was wanted: it was damaged on the way, and is thrown away`;
      throw new DownloadError("checksum", message, remote.url);
    }
    this.handle.truncate(this.here);
    this.handle.flush();
    this.total = this.here;
    const meta = this.meta(true);
    await this.model.writeMeta(remote.name, meta);
    this.report("download");
    return meta;
  }

  private async discard(): Promise<void> {
    this.handle.close();
    await this.model.removeFile(this.remote.name);
  }

  private meta(complete: boolean): Meta {
    const { url, checksum } = this.remote;
    return { ...this.file, url, checksum, stored: this.here, complete, absent: false };
  }

  private report(phase: Phase): void {
    this.options.onProgress({ phase, file: this.remote.name, loaded: this.here, total: this.total ?? 0, fromCache: phase === "check" });
  }
}

/** Whether what is stored is of this file: its content, where its checksum is known, or else its address. */
export function isSame(meta: Meta, remote: Remote): boolean {
  return remote.checksum ? meta.checksum?.hex === remote.checksum.hex : meta.url === remote.url && meta.checksum === null;
}

async function storageFull(url: string, wanted: number | null, cause: unknown): Promise<DownloadError> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate();
  // Some browsers don't tell what is really free, but always the same.
  const free = wanted !== null && quota - usage < wanted ? `, and ${bytes(Math.max(0, quota - usage))} are free` : "";
  const need = wanted === null ? "more than there is" : bytes(wanted);
  const message =
    `this browser's storage, or the disk, is full: ${url} takes ${need}${free}. What had come of it was removed. ` +
    `To load it, ${MAKE_ROOM}`;
  return new DownloadError("storage-full", message, url, { cause });
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  for (const end = performance.now() + milliseconds; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    signal.throwIfAborted();
  }
}
