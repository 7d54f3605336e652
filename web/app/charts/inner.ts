/** The inner loss before and after each step, for one head, and small for all of them. */

import { csv, saveFile } from "../download";
import type { ReadingRecord, Selection } from "../record";
import { figure, type FigureElement } from "./figure";
import { Multiples } from "./multiples";
import { Plot, type Columns } from "./plot";

export class InnerChart {
  readonly element: FigureElement;
  private record: ReadingRecord | null = null;
  private columns: Columns = [[], [], []];
  private done = 0;
  private readonly plot: Plot;
  private readonly multiples: Multiples;

  constructor(private readonly selection: Selection) {
    this.plot = new Plot({
      label: "inner loss before and after each step of the chosen head",
      x: "token",
      y: "inner loss",
      height: 220,
      zero: false,
      band: "accent-band",
      lines: [
        { label: "before the step", colour: "surprise", width: 1.25, mark: "surprise" },
        { label: "after the step", colour: "accent", width: 1.25, mark: "accent" },
      ],
    });
    this.multiples = new Multiples(selection);
    this.element = figure(
      {
        title: "What each step gains",
        explanation:
          "After every few tokens a head corrects its fast weights. The upper line is its error on those tokens before the step, the lower one after: the green between them is what it learnt.",
        testId: "inner-chart",
        series: () => ({ token: this.columns[0] ?? [], before: this.columns[1] ?? [], after: this.columns[2] ?? [] }),
        download: () => {
          if (this.record === null) return;
          saveFile("inner-loss.csv", csv(["mini_batch", "position", "layer", "head", "before", "after", "moved"], this.record.innerRows()), "text/csv");
        },
      },
      this.plot.element,
      this.multiples.element,
    );
    selection.addEventListener("change", () => this.rebuild());
  }

  show(record: ReadingRecord): void {
    if (record !== this.record) {
      this.record = record;
      this.rebuild();
    } else this.extend();
  }

  private rebuild(): void {
    this.columns = [[], [], []];
    this.done = 0;
    this.extend();
  }

  private extend(): void {
    const { record, selection, columns } = this;
    if (record === null) return;
    for (; this.done < record.batches.length; this.done += 1) {
      const batch = record.batches[this.done];
      if (batch === undefined) break;
      columns[0]?.push(batch.position);
      columns[1]?.push(batch.before[selection.layer]?.[selection.head] ?? null);
      columns[2]?.push(batch.after[selection.layer]?.[selection.head] ?? null);
    }
    this.plot.set(columns);
    this.multiples.show(record);
  }
}
