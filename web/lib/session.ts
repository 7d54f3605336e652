/** Sessions: one text that a model reads, learns on and writes. */

import type { CallOptions, Connection } from "./connection";
import { FastweightError } from "./errors";
import { Writing, type WireGenerateOptions } from "./writing";
import type { FastMatrix, GenerateOptions, Generation, MiniBatch, ReadOptions, ReadResult, ReadToken } from "./types";

/** One sequence of a model, independent of every other. Calls on it wait for each other, in order. */
export class Session {
  private disposed = false;
  private tokens: number;

  /** @internal */
  constructor(
    private readonly connection: Connection,
    private readonly handle: number,
    opened: Promise<number>,
    length = 0,
  ) {
    this.tokens = length;
    // Whoever calls next hears of it: the worker answers every call of a session that could not be opened with the same error.
    opened.catch(() => {});
  }

  /** Tokens so far, read and written. */
  get length(): number {
    return this.tokens;
  }

  /** Reads a text: the model learns on it. Tells each token's loss, the negative log-probability given all before it. */
  async read(text: string, { signal, onMiniBatch }: ReadOptions = {}): Promise<ReadResult> {
    const start = performance.now();
    const onEvent = onMiniBatch && ((miniBatch: MiniBatch) => onMiniBatch(miniBatch));
    const tokens = await this.call<ReadToken[]>("read", [text, onMiniBatch !== undefined], { signal, onEvent });
    const losses = Float32Array.from(tokens, ({ loss }) => loss ?? NaN);
    const told = tokens.flatMap(({ loss }) => loss ?? []);
    const meanLoss = told.reduce((sum, loss) => sum + loss, 0) / told.length;
    return { tokens, losses, meanLoss, milliseconds: performance.now() - start };
  }

  /** Reads a prompt, if there is one, and writes on from it: pieces to iterate over, and a `result` to await. */
  generate(prompt: string, options: GenerateOptions = {}): Generation {
    const { signal, stop, ...others } = options;
    const newSeed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    const wire: WireGenerateOptions = { ...others, newSeed, stop: typeof stop === "string" ? [stop] : [...(stop ?? [])] };
    return new Writing(signal, (options) => this.call("generate", [prompt, wire], options));
  }

  /** How likely a text is as the continuation of the session, which stays as it is. */
  async score(text: string, { signal }: { signal?: AbortSignal } = {}): Promise<{ logprob: number; tokens: ReadToken[] }> {
    const tokens = await this.call<ReadToken[]>("score", [text], { signal });
    return { logprob: -tokens.reduce((sum, { loss }) => sum + (loss ?? 0), 0), tokens };
  }

  /** The logits after each token, `[tokens, vocabulary]` row by row; the tokens are taken in. */
  logits(ids: ArrayLike<number>): Promise<Float32Array> {
    return this.call("logits", [Uint32Array.from(ids)]);
  }

  /** Scales the inner learning rate from here on: 1 is the model as trained, 0 freezes the fast weights as they are. */
  setLearning(scale: number): Promise<void> {
    return this.call("setLearning", [scale]);
  }

  /** Another session with the same past. */
  async fork(): Promise<Session> {
    const handle = this.connection.handle();
    const length = await this.call<number>("fork", [handle]);
    return new Session(this.connection, handle, Promise.resolve(length), length);
  }

  /** The state as a file, which {@link Model.restore} and `fastweight generate --load-state` take. */
  save(): Promise<Uint8Array> {
    return this.call("save", []);
  }

  /** Forgets everything: back to the learned start. */
  reset(): Promise<void> {
    return this.call("reset", []);
  }

  /** The inner model of one head: what it has learnt so far, and its start. */
  fastWeights(layer: number, head: number): Promise<FastMatrix[]> {
    return this.call("fastWeights", [layer, head]);
  }

  /** Frees the session. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    const done = this.call<void>("dispose", []);
    this.disposed = true;
    await done;
  }

  private async call<T>(method: string, args: unknown[], options: CallOptions = {}): Promise<T> {
    if (this.disposed) throw new FastweightError("disposed", "the session was disposed of");
    const called = <T>(method: string, args: unknown[], options: CallOptions = {}) =>
      this.connection.call<{ value: T; length: number }>("session", [this.handle, method, ...args], options);
    try {
      const { value, length } = await called<T>(method, args, options);
      this.tokens = length;
      return value;
    } catch (error) {
      // What was taken in before an abort stays taken in.
      this.tokens = await called("length", []).then(({ length }) => length, () => this.tokens);
      throw error;
    }
  }
}
