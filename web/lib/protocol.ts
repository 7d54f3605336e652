/** The messages between the page and the engine's worker. */

import type { WireError } from "./errors";

export type ToWorker =
  /** Call a method. */
  | { id: number; method: string; args: unknown[] }
  /** Abort a call. */
  | { abort: number }
  /** Tell a call something. */
  | { tell: number; event: string }
  /** Answer a question. */
  | { question: number; answer: unknown };

export type ToPage =
  | { id: number; value: unknown }
  | { id: number; error: WireError }
  /** Something that a call tells on its way; a question waits for its answer. */
  | { id: number; event: unknown; question: number | null }
  /** The module trapped. */
  | { crashed: string };
