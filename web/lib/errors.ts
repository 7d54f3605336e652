/** What can go wrong, with a `code` that programs can tell apart. */

export type ErrorCode =
  /** WebGPU was asked for and this browser has none. */
  | "no-webgpu"
  /** The device is gone, and so was every attempt to get another. */
  | "device-lost"
  /** More memory than there is. */
  | "out-of-memory"
  /** A shader that this browser's compiler refused, or of which every variant gives wrong results here. */
  | "shader"
  /** Nothing at this address (404, or a name that no model has). */
  | "not-found"
  /** The server did not answer, or not in a way that a page may see (CORS). */
  | "network"
  /** A web page where a file was wanted. */
  | "web-page"
  /** A server's other answer than yes: its status is in the message. */
  | "http"
  /** This browser's storage is full. */
  | "storage-full"
  /** Files in this browser's storage that another tab, or a load under way, has open. */
  | "in-use"
  /** A download that isn't what its server said. */
  | "checksum"
  /** A file that is cut off, contradicts itself, or is none that a model is made of. */
  | "bad-file"
  /** A model family that the engine doesn't know. */
  | "unknown-architecture"
  /** A file that holds no results of the bench, or results of another version, or contradicts itself. */
  | "bad-results"
  /** A state of another model, or a damaged one. */
  | "bad-state"
  /** An option out of range: which, what was found and what would do. */
  | "bad-option"
  /** Nothing to go on from: read something first. */
  | "empty-prompt"
  /** The session's context is full. */
  | "context-full"
  /** The model has no tokenizer, or no chat template. */
  | "missing-part"
  /** It was disposed of. */
  | "disposed"
  /** A fault of ours: please report it. */
  | "internal";

/** An error of this package. */
export class FastweightError extends Error {
  override readonly name: string = "FastweightError";
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Getting a model's files. */
export class DownloadError extends FastweightError {
  override readonly name = "DownloadError";
  constructor(
    code: ErrorCode,
    message: string,
    /** The address. */
    readonly url: string,
    options?: ErrorOptions,
  ) {
    super(code, message, options);
  }
}

/** The device: none, lost, or too small. */
export class DeviceError extends FastweightError {
  override readonly name = "DeviceError";
}

/** A model's files, or a state's. */
export class FileError extends FastweightError {
  override readonly name = "FileError";
}

/** What a rejected promise holds after a signal was aborted. */
export function abortError(): DOMException {
  return new DOMException("The operation was aborted.", "AbortError");
}

/** An error as it goes through `postMessage`. */
export interface WireError {
  kind: "abort" | "download" | "device" | "file" | "other";
  code: ErrorCode;
  message: string;
  url?: string;
}

export function toWire(error: unknown): WireError {
  if (error instanceof DOMException && error.name === "AbortError") {
    return { kind: "abort", code: "internal", message: error.message };
  }
  if (error instanceof DownloadError) {
    return { kind: "download", code: error.code, message: error.message, url: error.url };
  }
  if (error instanceof FastweightError) {
    const kind = error instanceof DeviceError ? "device" : error instanceof FileError ? "file" : "other";
    return { kind, code: error.code, message: error.message };
  }
  // The engine's own errors tell what they are (`src/error.rs`).
  if (error instanceof Error && "kind" in error && "code" in error) {
    return { kind: error.kind, code: error.code, message: error.message } as WireError;
  }
  return { kind: "other", code: "internal", message: error instanceof Error ? error.message : String(error) };
}

export function fromWire(wire: WireError): Error {
  switch (wire.kind) {
    case "abort":
      return abortError();
    case "download":
      return new DownloadError(wire.code, wire.message, wire.url ?? "");
    case "device":
      return new DeviceError(wire.code, wire.message);
    case "file":
      return new FileError(wire.code, wire.message);
    case "other":
      return new FastweightError(wire.code, wire.message);
  }
}
