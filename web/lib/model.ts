/** Models, as a page sees them: what they hold is in the worker. */

import { connection, type Connection } from "./connection";
import { FastweightError } from "./errors";
import { Session } from "./session";
import type { CachedModel, Inspection, LoadOptions, Message, ModelInfo, ModelSource, Progress } from "./types";

/** What goes to the worker of options: what can be copied. */
export interface WireLoadOptions extends Omit<LoadOptions, "onProgress" | "signal" | "modelsUrl"> {
  modelsUrl: string;
}

function copied({ onProgress: _, signal: __, modelsUrl, ...options }: LoadOptions): WireLoadOptions {
  return { ...options, modelsUrl: new URL(modelsUrl ?? "models/", document.baseURI).href.replace(/\/?$/, "/") };
}

/** Addresses as text, relative ones as the page means them; names and files as they are. */
function absolute(source: ModelSource): ModelSource {
  if (source instanceof URL) return source.href;
  if (typeof source === "string" && (/^\.{0,2}\//.test(source) || /\.(gguf|safetensors)$/i.test(source)) && !source.startsWith("hf:")) {
    return new URL(source, document.baseURI).href;
  }
  return source;
}

/** A model on a device. */
export class Model {
  private disposed = false;

  private constructor(
    private readonly connection: Connection,
    private readonly handle: number,
    /** Its family, sizes and device. The device is the one that it was loaded onto. */
    readonly info: ModelInfo,
  ) {}

  /**
   * Gets a model's files, from this browser's storage where they are there, and brings it to a device.
   *
   * @throws {@link DownloadError}, {@link FileError}, {@link DeviceError}, or an `AbortError`
   */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
    const engine = connection();
    const handle = engine.handle();
    const info = await engine.call<ModelInfo>("load", [handle, absolute(source), copied(options)], {
      signal: options.signal,
      onEvent: (progress: Progress) => options.onProgress?.(progress),
    });
    return new Model(engine, handle, info);
  }

  /** What a model is and takes, by its header alone: nothing of its weights is downloaded where the server takes range requests. */
  static async inspect(source: ModelSource, options: LoadOptions = {}): Promise<Inspection> {
    return connection().call<Inspection>("inspect", [absolute(source), copied(options)], {
      signal: options.signal,
      onEvent: (progress: Progress) => options.onProgress?.(progress),
    });
  }

  /** The models in this browser's storage. */
  static cached(): Promise<CachedModel[]> {
    return connection().call("cached", []);
  }

  /** Removes a model from this browser's storage. */
  static remove(source: ModelSource): Promise<void> {
    return connection().call("remove", [absolute(source)]);
  }

  /** A fresh session. */
  session(): Session {
    const handle = this.connection.handle();
    const opened = this.call<number>("session", handle);
    return new Session(this.connection, handle, opened);
  }

  /** A session that goes on from a state that {@link Session.save} or `fastweight generate --save-state` gave. */
  async restore(bytes: Uint8Array): Promise<Session> {
    const handle = this.connection.handle();
    const length = await this.call<number>("restore", handle, bytes);
    return new Session(this.connection, handle, Promise.resolve(length), length);
  }

  /** The tokens of a text, with those that the tokenizer puts before it. */
  tokenize(text: string): Promise<{ id: number; text: string }[]> {
    return this.call("tokenize", text);
  }

  /** A conversation as the model's template writes it down. */
  chatPrompt(messages: readonly Message[]): Promise<string> {
    return this.call("chatPrompt", messages);
  }

  /** What was asked of the device since the model was loaded: dispatches, passes, submits, bytes. */
  counters(): Promise<{ dispatches: number; passes: number; submits: number; bytesUp: number; bytesDown: number }> {
    return this.call("counters");
  }

  /** Breaks the GPU device as a driver or a sleeping tab may, to try what a page does then: its sessions go on, on another. */
  loseDevice(): Promise<void> {
    return this.call("loseDevice");
  }

  /** Frees the model and all of its sessions. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    const done = this.call<void>("dispose");
    this.disposed = true;
    await done;
  }

  private call<T>(method: string, ...args: unknown[]): Promise<T> {
    if (this.disposed) return Promise.reject(new FastweightError("disposed", "the model was disposed of"));
    return this.connection.call<T>("model", [this.handle, method, ...args]);
  }
}
