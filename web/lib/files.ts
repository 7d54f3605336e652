/**
 * Where a model's files come from. All of this runs in the worker; the engine reads through {@link Folder} and {@link Source} and knows
 * nothing else of the browser.
 */

import type { ModelSource, Progress } from "./types";

/** Bytes at an offset. */
export interface Source {
  readonly name: string;
  readonly size: number;
  /** Exactly `length` bytes from `offset` on, or a rejection with a {@link FastweightError}. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Lets go of what it holds open. It can't be read after that. */
  close(): void;
}

/** A folder with a model's files. */
export interface Folder {
  /** What messages call it. */
  readonly name: string;
  /** The file that was meant, if the model was named by its weight file. */
  readonly file: string | null;
  /** The names of its files; null where they can't be listed, and have to be tried. */
  list(): Promise<string[] | null>;
  /** Opens a file; null if there is none of this name. */
  open(name: string): Promise<Source | null>;
  /** Closes all of its sources. To be called when nothing more is to be read, whether it went well or not. */
  close(): void;
}

/** How to get at files. */
export interface FetchOptions {
  /** Keep downloads for the next time. */
  cache: boolean;
  /** Read headers by range requests instead of downloading files. */
  headersOnly: boolean;
  /** Where models that ship with the project lie: an absolute URL that ends with a slash. */
  modelsUrl: string;
  /** The hub of `hf:` names. Default: https://huggingface.co. */
  hubUrl?: string;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}

export type Locate = (source: ModelSource, options: FetchOptions) => Promise<Folder>;
