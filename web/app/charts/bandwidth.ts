/** How fast a device reads and copies, by how much of its memory it goes over. */

import { csv, saveFile } from "../download";
import { bandwidth, workingSet } from "../format";
import { figure, type FigureElement } from "./figure";
import { Plot, type Columns } from "./plot";
import type { BenchCeilings } from "../../lib/index";

export class BandwidthChart {
  readonly element: FigureElement;
  private columns: Columns = [[], [], []];
  private readonly plot = new Plot({
    label: "bytes a second of reading and of copying, by the size of the working set",
    x: "working set",
    y: "GB/s",
    height: 240,
    // Powers of two lie side by side.
    place: (x) => workingSet(2 ** x),
    format: (value) => bandwidth(value * 1e9),
    lines: [
      { label: "read", colour: "accent", mark: "accent" },
      { label: "copy", colour: "surprise", mark: "surprise" },
    ],
  });

  constructor() {
    this.element = figure(
      {
        title: "How fast it reaches its memory",
        explanation: "What is small enough stays in the caches and is read faster. Where the lines fall off, the caches end.",
        testId: "bandwidth-chart",
        series: () => ({ bytes: (this.columns[0] ?? []).map((x) => (x === null ? null : 2 ** x)), read: this.columns[1] ?? [], copy: this.columns[2] ?? [] }),
        download: () => saveFile("bandwidth.csv", csv(["bytes", "read_gb_s", "copy_gb_s"], this.rows()), "text/csv"),
      },
      this.plot.element,
    );
  }

  show({ read, copy }: BenchCeilings): void {
    const sizes = [...new Set([...read, ...copy].map(({ bytes }) => bytes))].sort((a, b) => a - b);
    const at = (curve: BenchCeilings["read"]) => sizes.map((size) => (curve.find(({ bytes }) => bytes === size)?.rate ?? NaN) / 1e9).map((rate) => (Number.isNaN(rate) ? null : rate));
    this.columns = [sizes.map(Math.log2), at(read), at(copy)];
    this.plot.set(this.columns);
  }

  private *rows(): Iterable<(number | null)[]> {
    for (const [index, x] of (this.columns[0] ?? []).entries()) {
      yield [2 ** (x ?? 0), this.columns[1]?.[index] ?? null, this.columns[2]?.[index] ?? null];
    }
  }
}
