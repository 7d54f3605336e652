/// <reference lib="webworker" />
/** The engine's worker: hears calls, runs them, tells of them. What the calls do is in `worker/`. */

import { abortError, toWire } from "./errors";
import type { ToPage, ToWorker } from "./protocol";
import { methods } from "./worker/methods";

/** What a call under way may do. */
export interface Call {
  signal: AbortSignal;
  /** What the page told it so far. */
  readonly heard: readonly string[];
  /** Tells the page something. */
  tell(event: unknown): void;
  /** Tells the page something and waits for its answer; an abort answers with `undefined`. */
  ask(event: unknown): Promise<unknown>;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
const calls = new Map<number, { abort: AbortController; heard: string[] }>();
const questions = new Map<number, (answer: unknown) => void>();
let nextQuestion = 1;

function post(message: ToPage): void {
  scope.postMessage(message);
}

function call(id: number, signal: AbortSignal, heard: string[]): Call {
  return {
    signal,
    heard,
    tell: (event) => post({ id, event, question: null }),
    ask: (event) =>
      new Promise((resolve) => {
        const question = nextQuestion++;
        const answer = (value: unknown) => {
          questions.delete(question);
          signal.removeEventListener("abort", stop);
          resolve(value);
        };
        const stop = () => answer(undefined);
        signal.addEventListener("abort", stop);
        questions.set(question, answer);
        post({ id, event, question });
      }),
  };
}

async function answer(id: number, method: string, args: unknown[]): Promise<void> {
  const abort = new AbortController();
  const heard: string[] = [];
  calls.set(id, { abort, heard });
  try {
    const run = methods[method];
    if (!run) throw new TypeError(`the worker has no method ${method}`);
    post({ id, value: await run(call(id, abort.signal, heard), ...(args as never[])) });
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) post({ crashed: error.message });
    else post({ id, error: toWire(abort.signal.aborted ? abortError() : error) });
  } finally {
    calls.delete(id);
  }
}

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ("abort" in data) calls.get(data.abort)?.abort.abort();
  else if ("tell" in data) calls.get(data.tell)?.heard.push(data.event);
  else if ("question" in data) questions.get(data.question)?.(data.answer);
  else void answer(data.id, data.method, data.args);
};
