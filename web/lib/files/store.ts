/**
 * Models in this browser's storage: `fastweight/<hash of the source>/` in the origin's private file system. In it, `model` tells the source;
 * of each file `data.<name>` has the bytes and `meta.<name>` tells what they are. A file counts as complete only once its bytes were
 * flushed and its `meta` says so, in this order.
 */

import { DownloadError, FastweightError } from "../errors";
import type { CachedModel } from "../types";
import type { Source } from "../files";
import { BlobSource } from "./blobs";
import type { Checksum } from "./checksum";
import type { Version } from "./http";
import { canStore, isNamed, openForReading, openForWriting, type SyncHandle } from "./opfs";
import { checkRange } from "./source";

const ROOT = "fastweight";

/** What to do about a full storage. */
export const MAKE_ROOM =
  "make room with Model.remove(…) for models that are no longer wanted, or load it without storing it by cache: false";

/** What is known of a file. */
export interface Meta extends Version {
  url: string;
  checksum: Checksum | null;
  /** Bytes that are safely there. */
  stored: number;
  complete: boolean;
  /** The server has no such file. */
  absent: boolean;
}

/** What is known of a model. */
interface ModelMeta {
  /** As it can be loaded by. */
  source: string;
  /** Milliseconds since 1970. */
  lastUsed: number;
  /** What its hub said of it, to be read without the hub. */
  listing: unknown;
}

/** A model's place in the storage. */
export class StoredModel {
  private constructor(
    private readonly key: string,
    private readonly folder: FileSystemDirectoryHandle,
    private model: ModelMeta,
  ) {}

  /** Null where there is no storage: no dedicated worker, an insecure page, a private window. Without `create`, also if it isn't stored. */
  static async open(source: string, create: boolean): Promise<StoredModel | null> {
    const root = canStore() ? await storage(create) : null;
    if (!root) {
      return null;
    }
    try {
      const key = await keyOf(source);
      const folder = await root.getDirectoryHandle(key, { create });
      const model = (await readJson<ModelMeta>(folder, "model")) ?? { source, lastUsed: 0, listing: null };
      const stored = new StoredModel(key, folder, model);
      if (create) {
        await stored.write({ lastUsed: Date.now() });
      }
      return stored;
    } catch (cause) {
      if (isNamed(cause, "QuotaExceededError")) {
        throw new DownloadError("storage-full", `this browser's storage has no room at all for ${source}: ${MAKE_ROOM}`, source, { cause });
      }
      return null;
    }
  }

  get listing(): unknown {
    return this.model.listing;
  }

  async write(change: Partial<ModelMeta>): Promise<void> {
    this.model = { ...this.model, ...change };
    await writeJson(this.folder, "model", this.model);
  }

  /** Runs `act` while no other tab changes this model. */
  locked<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    return navigator.locks.request(lockOf(this.key), { signal }, act) as Promise<T>;
  }

  meta(name: string): Promise<Meta | null> {
    return readJson<Meta>(this.folder, `meta.${encodeURIComponent(name)}`);
  }

  writeMeta(name: string, meta: Meta): Promise<void> {
    return writeJson(this.folder, `meta.${encodeURIComponent(name)}`, meta);
  }

  async openForWriting(name: string): Promise<SyncHandle> {
    return openForWriting(await this.folder.getFileHandle(`data.${encodeURIComponent(name)}`, { create: true }));
  }

  /** A file that is complete; null if its bytes are not what its `meta` says. */
  async openForReading(name: string, meta: Meta): Promise<Source | null> {
    let file: FileSystemFileHandle;
    let blob: File;
    try {
      file = await this.folder.getFileHandle(`data.${encodeURIComponent(name)}`);
      blob = await file.getFile();
    } catch (error) {
      if (isNamed(error, "NotFoundError")) {
        return null;
      }
      throw error;
    }
    if (blob.size !== meta.stored) {
      return null;
    }
    try {
      return new StoredSource(name, meta.stored, await openForReading(file));
    } catch {
      // Another tab has it.
      return new BlobSource(name, blob);
    }
  }

  async removeFile(name: string): Promise<void> {
    for (const kind of ["meta", "data"]) {
      await this.folder.removeEntry(`${kind}.${encodeURIComponent(name)}`).catch(() => {});
    }
  }
}

/** A file in the storage. */
class StoredSource implements Source {
  constructor(
    readonly name: string,
    readonly size: number,
    private readonly handle: SyncHandle,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const read = this.handle.read(bytes.subarray(at), { at: offset + at });
      if (read === 0) {
        throw new FastweightError("bad-file", `${this.name} in this browser's storage ends early: remove the model and load it again`);
      }
      at += read;
    }
    return bytes;
  }

  close(): void {
    this.handle.close();
  }
}

/** All models in this browser's storage, last used first. */
export async function cached(): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const folder of await modelFolders()) {
    const model = await readJson<ModelMeta>(folder, "model");
    if (!model) {
      continue;
    }
    const files: CachedModel["files"] = [];
    for await (const [entry, handle] of folder.entries()) {
      const name = decodeURIComponent(entry.replace(/^data\./, ""));
      if (entry.startsWith("data.") && handle.kind === "file") {
        const { size } = await (handle as FileSystemFileHandle).getFile();
        const meta = await readJson<Meta>(folder, `meta.${encodeURIComponent(name)}`);
        files.push({ name, bytes: size, complete: meta?.complete === true && meta.stored === size });
      }
    }
    if (files.length > 0) {
      files.sort((a, b) => a.name.localeCompare(b.name));
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      models.push({ url: model.source, files, bytes, lastUsed: model.lastUsed });
    }
  }
  return models.sort((a, b) => b.lastUsed - a.lastUsed);
}

/** Removes a model. One that isn't there is removed already. */
export async function removeStored(source: string): Promise<void> {
  const root = await storage(false);
  if (!root) {
    return;
  }
  const key = await keyOf(source);
  const removed = await navigator.locks.request(lockOf(key), { ifAvailable: true }, async (lock) => {
    if (!lock) {
      return false;
    }
    try {
      await root.removeEntry(key, { recursive: true });
      return true;
    } catch (error) {
      if (isNamed(error, "NotFoundError")) {
        return true;
      }
      if (isNamed(error, "NoModificationAllowedError") || isNamed(error, "InvalidStateError")) {
        return false;
      }
      throw error;
    }
  });
  if (!removed) {
    throw new DownloadError("in-use", `${source} is being loaded, here or in another tab: wait until that is done, then remove it`, source);
  }
}

async function modelFolders(): Promise<FileSystemDirectoryHandle[]> {
  const root = await storage(false);
  const folders: FileSystemDirectoryHandle[] = [];
  for await (const handle of root?.values() ?? []) {
    if (handle.kind === "directory") {
      folders.push(handle as FileSystemDirectoryHandle);
    }
  }
  return folders;
}

/** The folder of all models; null where there is none. */
async function storage(create: boolean): Promise<FileSystemDirectoryHandle | null> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create });
  } catch {
    return null;
  }
}

async function keyOf(source: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return Array.from(new Uint8Array(digest, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function lockOf(key: string): string {
  return `${ROOT}/${key}`;
}

/** Null if there is no such file, or a damaged one: what it told is then found out anew. */
async function readJson<T>(folder: FileSystemDirectoryHandle, name: string): Promise<T | null> {
  try {
    const file = await (await folder.getFileHandle(name)).getFile();
    return JSON.parse(await file.text()) as T;
  } catch {
    return null;
  }
}

async function writeJson(folder: FileSystemDirectoryHandle, name: string, value: unknown): Promise<void> {
  const file = await folder.getFileHandle(name, { create: true });
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  if ("createWritable" in file) {
    // The old content stays until the new is complete.
    const writable = await file.createWritable();
    await writable.write(bytes);
    await writable.close();
    return;
  }
  const handle = await openForWriting(file);
  try {
    handle.truncate(0);
    handle.write(bytes, { at: 0 });
    handle.flush();
  } finally {
    handle.close();
  }
}
