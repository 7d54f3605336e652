/** The way to the engine's worker: calls with answers, events, and questions that the worker waits for. */

import { abortError, FastweightError, fromWire, type ErrorCode } from "./errors";
import type { ToPage, ToWorker } from "./protocol";
import { spawn } from "./spawn";

/** What becomes of a call on its way. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Called with each event of the call; what it returns, or resolves to, answers the event if it is a question. */
  onEvent?: ((event: never) => unknown) | undefined;
  /** Called once the call is under way, with the way to tell it something. */
  onStart?: ((tell: (event: string) => void) => void) | undefined;
}

interface Pending {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
  onEvent: ((event: never) => unknown) | undefined;
}

/** A worker with an engine in it. */
export class Connection {
  private readonly worker = spawn();
  private readonly pending = new Map<number, Pending>();
  private next = 1;
  /** What ended the worker, if anything did. */
  private ended: FastweightError | null = null;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<ToPage>) => void this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.end("internal", `the engine's worker failed: ${event.message || "it could not be started"}`);
    };
  }

  get isOver(): boolean {
    return this.ended !== null;
  }

  /** Numbers for what the worker holds. */
  handle(): number {
    return this.next++;
  }

  /** Calls one of the worker's methods. */
  call<T>(method: string, args: unknown[], { signal, onEvent, onStart }: CallOptions = {}): Promise<T> {
    if (this.ended) return Promise.reject(this.ended);
    if (signal?.aborted) return Promise.reject(abortError());
    const id = this.next++;
    const abort = () => this.post({ abort: id });
    signal?.addEventListener("abort", abort, { once: true });
    const answered = new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject, onEvent });
      this.post({ id, method, args });
    });
    onStart?.((event) => this.post({ tell: id, event }));
    return answered.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Ends the worker, with all that it holds. */
  close(): void {
    this.end("disposed", "the engine's worker was closed");
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private async hear(message: ToPage): Promise<void> {
    if ("crashed" in message) {
      this.end("internal", `the engine crashed: ${message.crashed}`);
      return;
    }
    const call = this.pending.get(message.id);
    if (!call) return;
    if ("event" in message) {
      const answer = await call.onEvent?.(message.event as never);
      if (message.question !== null) this.post({ question: message.question, answer });
      return;
    }
    this.pending.delete(message.id);
    if ("error" in message) call.reject(fromWire(message.error));
    else call.resolve(message.value as never);
  }

  /** A worker whose module trapped is of no use any more; the next connection gets a fresh one. */
  private end(code: ErrorCode, why: string): void {
    this.ended = new FastweightError(code, why);
    for (const call of this.pending.values()) call.reject(this.ended);
    this.pending.clear();
    this.worker.terminate();
  }
}

let current: Connection | null = null;

/** The connection that new models use. */
export function connection(): Connection {
  if (current === null || current.isOver) current = new Connection();
  return current;
}
