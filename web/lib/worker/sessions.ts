/** Sessions: their calls, one after the other. */

import { abortError, FastweightError } from "../errors";
import type { FastMatrix, MiniBatch, Piece, ReadToken } from "../types";
import type { Session } from "../wasm/fastweight.js";
import type { Call } from "../worker";
import type { WireGenerateOptions } from "../writing";

interface Line {
  session: Promise<Session>;
  /** The handles of its model's sessions, which live as long as the model. */
  siblings: Set<number>;
  /** Resolves when the calls so far are done. */
  last: Promise<unknown>;
}

const sessions = new Map<number, Line>();

/** Holds a session that is being opened, beside its model's others. Resolves to its tokens so far. */
export async function hold(siblings: Set<number>, handle: number, session: Promise<Session>): Promise<number> {
  siblings.add(handle);
  sessions.set(handle, { session, siblings, last: session.catch(() => {}) });
  return (await session).length();
}

/** Lets go of sessions, once their calls are done. */
export async function release(handles: Iterable<number>): Promise<void> {
  for (const handle of handles) {
    const line = sessions.get(handle);
    sessions.delete(handle);
    line?.siblings.delete(handle);
    await line?.last;
    (await line?.session.catch(() => null))?.free();
  }
}

/** Runs a call when those before it are done, and stops it when it is aborted. */
async function inLine<T>(line: Line, signal: AbortSignal, run: (session: Session) => Promise<T>) {
  const done = line.last.then(async () => {
    const open = await line.session;
    if (signal.aborted) throw abortError();
    open.clearCancel();
    const stop = () => open.cancel();
    signal.addEventListener("abort", stop);
    try {
      const value = await run(open);
      return { value, length: await open.length() };
    } finally {
      signal.removeEventListener("abort", stop);
      open.clearCancel();
    }
  });
  line.last = done.catch(() => {});
  return done;
}

/** One call of a session: its value, and the session's tokens after it. */
export async function callSession(call: Call, handle: number, method: string, ...args: unknown[]): Promise<unknown> {
  const line = sessions.get(handle);
  if (!line) throw new FastweightError("disposed", "the session was disposed of, or its model");
  if (method === "dispose") {
    await release([handle]);
    return { value: undefined, length: 0 };
  }
  const run = calls[method];
  if (!run) throw new TypeError(`a session has no method ${method}`);
  return inLine(line, call.signal, (session) => run(session, { ...call, siblings: line.siblings }, ...(args as never[])));
}

const calls: Record<string, (session: Session, call: Call & Pick<Line, "siblings">, ...args: never[]) => Promise<unknown>> = {
  async read(session, { tell }, text: string, observed: boolean): Promise<ReadToken[]> {
    return JSON.parse(await session.read(text, observed ? (line: string) => tell(JSON.parse(line) as MiniBatch) : null));
  },

  async score(session, _, text: string): Promise<ReadToken[]> {
    const fork = await session.fork();
    try {
      return JSON.parse(await fork.read(text, null));
    } finally {
      fork.free();
    }
  },

  async generate(session, call, prompt: string, options: WireGenerateOptions) {
    const fresh = (await session.length()) === 0;
    const start = performance.now();
    const promptTokens = prompt === "" ? 0 : await session.prefill(prompt);
    const read = performance.now();
    let [first, waited, left] = [read, 0, false];
    let drawn = 0;
    const onPiece = async (line: string): Promise<boolean> => {
      const piece: Piece = JSON.parse(line);
      const now = performance.now();
      if (piece.id !== null && drawn++ === 0) first = now;
      const more = (await call.ask(piece)) === true;
      waited += performance.now() - now;
      left ||= !more;
      return more;
    };
    const { finishReason, tokens, seed } = JSON.parse(await session.generate(JSON.stringify(options), onPiece));
    const decode = Math.max(performance.now() - first - waited, 0);
    const rate = (n: number, milliseconds: number) => (n > 0 && milliseconds > 0 ? (1000 * n) / milliseconds : 0);
    return {
      // A loop that is left at the last piece ended there all the same.
      finishReason: left && finishReason === null ? "left" : finishReason,
      seed,
      usage: {
        promptTokens,
        tokens,
        timeToFirstToken: first - start,
        decodeMilliseconds: decode,
        // The last token is read with the first that is drawn; a session that goes on had one that waited for this.
        prefillRate: rate(promptTokens - (fresh ? 1 : 0), read - start),
        decodeRate: rate(tokens - 1, decode),
      },
    };
  },

  // Every call tells the length.
  length: async () => undefined,
  logits: (session, _, ids: Uint32Array) => session.logits(ids),
  setLearning: (session, _, scale: number) => session.setLearning(scale),
  fork: async (session, { siblings }, handle: number) => hold(siblings, handle, Promise.resolve(await session.fork())),
  save: (session) => session.save(),
  reset: (session) => session.reset(),

  async fastWeights(session, _, layer: number, head: number): Promise<FastMatrix[]> {
    const matrices: (Omit<FastMatrix, "now" | "start"> & { now: number[]; start: number[] })[] = JSON.parse(
      await session.fastWeights(layer, head),
    );
    return matrices.map(({ now, start, ...rest }) => ({ ...rest, now: Float32Array.from(now), start: Float32Array.from(start) }));
  },
};
