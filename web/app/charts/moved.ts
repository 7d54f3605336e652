/** How far the fast weights have moved from their start. */

import { el } from "../dom";
import { percent } from "../format";
import type { ReadingRecord, Selection } from "../record";
import { figure, type FigureElement } from "./figure";
import { Plot, type Columns } from "./plot";

/** More heads than this, and only those of the chosen layer are drawn. */
const MOST = 32;

export class MovedChart {
  readonly element: FigureElement;
  private record: ReadingRecord | null = null;
  private columns: Columns = [[]];
  private heads: { layer: number; head: number }[] = [];
  private shape = "";
  private done = 0;
  private plot: Plot | null = null;
  private readonly place = el("div");
  private readonly table = el("div", { class: "scroll-x", tabindex: 0, role: "region", "aria-label": "Moved so far, by layer and head", "data-testid": "moved-table" });
  private cells: HTMLElement[][] = [];
  private tableAt = 0;

  constructor(private readonly selection: Selection) {
    this.element = figure(
      {
        title: "How far it has moved",
        explanation: "The distance of the fast weights from where training left them, as a share of their size. The bold line is the chosen head, the others are faint.",
        testId: "moved-chart",
        series: () => {
          const series: Record<string, (number | null)[]> = { token: this.columns[0] ?? [] };
          this.heads.forEach(({ layer, head }, index) => {
            series[`layer ${layer + 1} head ${head + 1}`] = this.columns[index + 1] ?? [];
          });
          return series;
        },
      },
      this.place,
      this.table,
    );
    selection.addEventListener("change", () => {
      if (this.record === null) return;
      this.shape = "";
      this.show(this.record);
    });
  }

  show(record: ReadingRecord): void {
    const layers = record.batches[0]?.moved.length ?? 0;
    const heads = record.batches[0]?.moved[0]?.length ?? 0;
    const shape = `${layers} ${heads}`;
    if (record !== this.record || shape !== this.shape) {
      this.record = record;
      this.shape = shape;
      this.build(layers, heads);
    }
    for (; this.done < record.batches.length; this.done += 1) {
      const batch = record.batches[this.done];
      this.columns[0]?.push(batch?.position ?? null);
      this.heads.forEach(({ layer, head }, index) => this.columns[index + 1]?.push(batch?.moved[layer]?.[head] ?? null));
    }
    this.plot?.set(this.columns);
    const now = performance.now();
    if (now - this.tableAt > 200) {
      this.tableAt = now;
      this.fill();
    }
  }

  /** The last numbers, once reading has ended. */
  fill(): void {
    const last = this.record?.batches.at(-1);
    if (last === undefined) return;
    const most = Math.max(1e-9, ...last.moved.flat());
    this.cells.forEach((row, layer) =>
      row.forEach((cell, head) => {
        const value = last.moved[layer]?.[head] ?? 0;
        cell.textContent = percent(value);
        cell.style.setProperty("--share", String(Math.round((100 * value) / most)));
        cell.classList.toggle("chosen", layer === this.selection.layer && head === this.selection.head);
      }),
    );
  }

  private build(layers: number, heads: number): void {
    this.done = 0;
    this.tableAt = 0;
    const all: { layer: number; head: number }[] = [];
    for (let layer = 0; layer < layers; layer += 1) for (let head = 0; head < heads; head += 1) all.push({ layer, head });
    this.heads = all.length <= MOST ? all : all.filter(({ layer }) => layer === this.selection.layer).slice(0, MOST);
    // the chosen one last, so that it is drawn over the others
    const chosen = ({ layer, head }: { layer: number; head: number }): boolean => layer === this.selection.layer && head === this.selection.head;
    this.heads.sort((a, b) => Number(chosen(a)) - Number(chosen(b)));
    this.columns = [[], ...this.heads.map(() => [])];
    this.plot?.dispose();
    this.plot = new Plot({
      label: "distance of the fast weights from their start",
      x: "token",
      y: "‖W − W₀‖ / ‖W₀‖",
      height: 200,
      format: percent,
      axis: (value) => `${Number((100 * value).toPrecision(4))} %`,
      lines: this.heads.map((one) =>
        chosen(one)
          ? { label: `layer ${one.layer + 1}, head ${one.head + 1}`, colour: "accent", width: 2.5, mark: "accent" }
          : { label: "", colour: "accent-faint", width: 1.25 },
      ),
    });
    this.place.replaceChildren(this.plot.element);
    this.buildTable(layers, heads);
    this.fill();
  }

  private buildTable(layers: number, heads: number): void {
    this.table.hidden = layers * heads > 96 || layers === 0;
    this.cells = [];
    if (this.table.hidden) return;
    const head = el("tr", {}, el("th", { scope: "col" }, "Layer"));
    for (let index = 1; index <= heads; index += 1) head.append(el("th", { scope: "col" }, `Head ${index}`));
    const body = el("tbody");
    for (let layer = 0; layer < layers; layer += 1) {
      const row = el("tr", {}, el("th", { scope: "row" }, String(layer + 1)));
      const cells: HTMLElement[] = [];
      for (let index = 0; index < heads; index += 1) {
        const cell = el("td", { onclick: () => this.selection.choose(layer, index) });
        cells.push(cell);
        row.append(cell);
      }
      this.cells.push(cells);
      body.append(row);
    }
    this.table.replaceChildren(el("table", { class: "moved-table" }, el("caption", { class: "sr" }, "Moved so far, by layer and head"), el("thead", {}, head), body));
  }
}
