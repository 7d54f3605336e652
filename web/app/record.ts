/** What was measured while a text was read. */

import type { Cell } from "./download";
import type { MiniBatch, ReadToken } from "../lib/index";

/** Tokens that the running mean goes over. */
export const WINDOW = 64;

export class ReadingRecord {
  readonly tokens: ReadToken[] = [];
  /** Columns of the loss chart: position, loss, running mean. */
  readonly loss: (number | null)[][] = [[], [], []];
  readonly batches: MiniBatch[] = [];
  private next: number;
  private sum = 0;
  private counted = 0;
  private total = 0;

  constructor(start: number) {
    this.next = start;
  }

  /** Takes tokens that stand at `position` in the session; those it has already are skipped. Returns the new ones. */
  addTokens(position: number, tokens: readonly ReadToken[]): ReadToken[] {
    const fresh = tokens.slice(Math.max(0, this.next - position));
    const [xs, raw, mean] = this.loss as [(number | null)[], (number | null)[], (number | null)[]];
    for (const token of fresh) {
      const loss = token.loss !== null && Number.isFinite(token.loss) ? token.loss : null;
      xs.push(this.next);
      raw.push(loss);
      if (loss !== null) {
        this.sum += loss;
        this.total += loss;
        this.counted += 1;
      }
      const left = raw.length - 1 - WINDOW;
      const gone = left >= 0 ? raw[left] : null;
      if (gone !== null && gone !== undefined) this.sum -= gone;
      const inside = Math.min(WINDOW, this.counted);
      mean.push(inside >= 8 ? this.sum / inside : null);
      this.next += 1;
    }
    this.tokens.push(...fresh);
    return fresh;
  }

  addBatch(batch: MiniBatch): ReadToken[] {
    if (batch.before.length > 0) this.batches.push(batch);
    return this.addTokens(batch.position, batch.tokens);
  }

  get meanLoss(): number {
    return this.total / this.counted;
  }

  /** Where the next token stands. */
  get end(): number {
    return this.next;
  }

  *lossRows(): Iterable<Cell[]> {
    for (const [index, token] of this.tokens.entries()) {
      yield [this.loss[0]?.[index] ?? null, token.id, token.text, this.loss[1]?.[index] ?? null, this.loss[2]?.[index] ?? null];
    }
  }

  *innerRows(): Iterable<Cell[]> {
    for (const { index, position, before, after, moved } of this.batches) {
      for (const [layer, row] of before.entries()) {
        for (const [head, value] of row.entries()) {
          yield [index, position, layer + 1, head + 1, value, after[layer]?.[head] ?? null, moved[layer]?.[head] ?? null];
        }
      }
    }
  }
}

/** Which layer and head the figures show, counted from 0. */
export class Selection extends EventTarget {
  /** The last of each, until one is chosen: those learn most visibly. */
  layer = Infinity;
  head = Infinity;

  choose(layer: number, head: number): void {
    if (layer === this.layer && head === this.head) return;
    this.layer = layer;
    this.head = head;
    this.dispatchEvent(new Event("change"));
  }
}
