/** A folder on a server: its files are fetched when they are opened, and found in this browser's storage the next time. */

import { DownloadError } from "../errors";
import type { FetchOptions, Folder, Source } from "../files";
import { download, isSame, type Remote } from "./download";
import { ask, Refusal, sameVersion, version } from "./http";
import { openRemote } from "./ranges";
import { isWeights } from "./source";
import type { Meta, StoredModel } from "./store";

/** Milliseconds that the question may take whether a stored file is still what the server has. */
const PATIENCE = 3_000;

export interface Layout {
  name: string;
  file: string | null;
  /** The files, if they are known. */
  names: string[] | null;
  /** Where a file is; null if the folder is known to have none of this name. */
  locate(name: string): Remote | null;
  /** Whether what is at an address never changes. */
  fixed: boolean;
  /** What to say when a file without which there is no model isn't there. */
  missing(error: DownloadError): DownloadError;
}

export class RemoteFolder implements Folder {
  readonly name: string;
  readonly file: string | null;
  private readonly opened: Source[] = [];
  /** Whether a question went unanswered: then no more are asked. */
  private silent = false;

  constructor(
    private readonly layout: Layout,
    private readonly model: StoredModel | null,
    private readonly options: FetchOptions,
  ) {
    this.name = layout.name;
    this.file = layout.file;
  }

  async list(): Promise<string[] | null> {
    return this.layout.names;
  }

  async open(name: string): Promise<Source | null> {
    this.options.signal.throwIfAborted();
    const remote = this.layout.locate(name);
    if (!remote) {
      return null;
    }
    try {
      const source = await this.find(remote);
      if (source) {
        this.opened.push(source);
      }
      return source;
    } catch (error) {
      if (error instanceof DownloadError && saysMissing(error)) {
        if (this.isNeeded(name)) {
          throw error.code === "not-found" ? this.layout.missing(error) : error;
        }
        if (!isWeights(name) || error.code === "not-found") {
          return null;
        }
      }
      throw error;
    }
  }

  close(): void {
    for (const source of this.opened.splice(0)) {
      source.close();
    }
  }

  /** Whether there is no model without this file. */
  private isNeeded(name: string): boolean {
    return name === (this.file ?? "config.json");
  }

  private async find(remote: Remote): Promise<Source | null> {
    const { model, options } = this;
    if (!model) {
      return openRemote(remote, options);
    }
    // With headers only, a file that isn't stored needn't wait for whoever downloads it.
    if (options.headersOnly) {
      return (await this.fromStore(model, remote, await model.meta(remote.name))) ?? openRemote(remote, options);
    }
    return model.locked(options.signal, async () => {
      const before = await model.meta(remote.name);
      const stored = await this.fromStore(model, remote, before);
      if (stored) {
        return stored;
      }
      if (before?.absent && before.url === remote.url && (await this.isStillAbsent(remote))) {
        return null;
      }
      try {
        const meta = await download(model, remote, before, options);
        return await model.openForReading(remote.name, meta);
      } catch (error) {
        if (error instanceof DownloadError && saysMissing(error) && !this.isNeeded(remote.name)) {
          await this.noteAbsent(model, remote);
        }
        throw error;
      }
    });
  }

  /** The file as it is stored, if it is, and is still what its server has. */
  private async fromStore(model: StoredModel, remote: Remote, meta: Meta | null): Promise<Source | null> {
    if (!meta?.complete || !isSame(meta, remote)) {
      return null;
    }
    const source = await model.openForReading(remote.name, meta);
    if (source && (await this.isCurrent(remote, meta))) {
      this.options.onProgress({ phase: "download", file: remote.name, loaded: meta.stored, total: meta.stored, fromCache: true });
      return source;
    }
    source?.close();
    return null;
  }

  /** Whether a stored file is what its server has, or nobody can say. */
  private async isCurrent(remote: Remote, meta: Meta): Promise<boolean> {
    const response = await this.glance(remote);
    return !response?.ok || sameVersion(version(response, 0), meta);
  }

  private async isStillAbsent(remote: Remote): Promise<boolean> {
    const response = await this.glance(remote);
    return !response || !response.ok || (response.headers.get("content-type") ?? "").startsWith("text/html");
  }

  /** A quick question about a file; null without an answer. */
  private async glance(remote: Remote): Promise<Response | null> {
    const { options } = this;
    if (this.layout.fixed || this.silent || !navigator.onLine) {
      return null;
    }
    options.onProgress({ phase: "locate", file: remote.name, loaded: 0, total: 0, fromCache: true });
    try {
      return await ask(remote.url, { method: "HEAD", signal: AbortSignal.any([options.signal, AbortSignal.timeout(PATIENCE)]) });
    } catch {
      options.signal.throwIfAborted();
      this.silent = true;
      return null;
    }
  }

  private async noteAbsent(model: StoredModel, { name, url }: Remote): Promise<void> {
    await model.removeFile(name);
    const nothing = { etag: null, lastModified: null, size: null, checksum: null, stored: 0, complete: false };
    await model.writeMeta(name, { ...nothing, url, absent: true });
  }
}

/** Whether a server's answer can mean that there is no such file: many answer so, or with a page of theirs. */
function saysMissing(error: DownloadError): boolean {
  return error.code === "not-found" || error.code === "web-page" || (error instanceof Refusal && error.status === 403);
}
