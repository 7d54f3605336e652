/** A text being written. */

import type { CallOptions } from "./connection";
import type { Generation, GenerateOptions, GenerateResult, Piece } from "./types";

/** What goes to the worker of options. */
export interface WireGenerateOptions extends Omit<GenerateOptions, "signal" | "stop"> {
  /** The seed if neither the options nor a restored state have one. */
  newSeed: number;
  stop: string[];
}

/** What the worker tells at the end; the text is put together here. */
type Ended = Omit<GenerateResult, "text">;

/**
 * Pieces as they come. The worker draws a token only when it is asked for, so that a loop that is left leaves the session exactly there. If nobody
 * iterates, `result` asks for all of them.
 */
export class Writing implements Generation {
  private text = "";
  private started: Promise<GenerateResult> | null = null;
  private iterating = false;
  private readonly pieces: Piece[] = [];
  private ended = false;
  /** Tells the worker whether to go on. */
  private answer: ((more: boolean) => void) | null = null;
  /** Wakes whoever waits for a piece or the end. */
  private wake: (() => void) | null = null;

  constructor(
    private readonly signal: AbortSignal | undefined,
    private readonly call: (options: CallOptions) => Promise<Ended>,
  ) {}

  get result(): Promise<GenerateResult> {
    const result = this.start();
    if (!this.iterating) this.answer?.(true);
    return result;
  }

  [Symbol.asyncIterator](): AsyncIterator<Piece, undefined> {
    this.iterating = true;
    return { next: () => this.next(), return: () => this.leave() };
  }

  private start(): Promise<GenerateResult> {
    if (this.started) return this.started;
    const onEvent = (piece: Piece) => {
      this.text += piece.text;
      this.pieces.push(piece);
      this.wake?.();
      return new Promise<boolean>((resolve) => {
        this.answer = resolve;
        if (!this.iterating) resolve(true);
      });
    };
    const whole = (ended: Ended) => ({ text: this.text, ...ended });
    this.started = this.call({ signal: this.signal, onEvent }).then(whole);
    const end = () => {
      this.ended = true;
      this.wake?.();
    };
    // An iterator throws the error itself; nobody need have asked for the result.
    this.started.then(end, end);
    return this.started;
  }

  private async next(): Promise<IteratorResult<Piece, undefined>> {
    const result = this.start();
    const ready = this.pieces.shift();
    if (ready) return { done: false, value: ready };
    this.answer?.(true);
    this.answer = null;
    while (this.pieces.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const piece = this.pieces.shift();
    if (piece) return { done: false, value: piece };
    await result;
    return { done: true, value: undefined };
  }

  private async leave(): Promise<IteratorResult<Piece, undefined>> {
    this.answer?.(false);
    await this.started?.catch(() => {});
    return { done: true, value: undefined };
  }
}
