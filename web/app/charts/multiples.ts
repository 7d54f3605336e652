/** What each step gains, for all heads: a small picture each, in rows of layers. Also a way to choose one. */

import { el, oncePerFrame } from "../dom";
import type { ReadingRecord, Selection } from "../record";
import { themeChanged } from "../theme";
import type { MiniBatch } from "../../lib/index";
import { colour, FONT } from "./colours";

/** More heads than this, and only those of the chosen layer are drawn. */
const MOST = 72;
const HEIGHT = 46;
const LABEL = 22;

export class Multiples {
  readonly element: HTMLElement;
  private readonly canvas = el("canvas", { class: "multiples", role: "img", "data-testid": "inner-multiples" });
  private readonly note = el("p", { class: "hint" });
  private record: ReadingRecord | null = null;
  private cells: { layer: number; head: number; x: number; y: number; width: number }[] = [];
  private readonly drawSoon = oncePerFrame(() => this.draw());

  constructor(private readonly selection: Selection) {
    this.canvas.setAttribute("aria-label", "The share of the inner loss that each step removes, for all heads; choose one with the fields Layer and Head");
    this.element = el("div", { class: "multiples-box" }, this.note, this.canvas);
    this.canvas.addEventListener("click", (event) => {
      const { left, top } = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - left, event.clientY - top];
      const cell = this.cells.find((one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + HEIGHT);
      if (cell !== undefined) this.selection.choose(cell.layer, cell.head);
    });
    new ResizeObserver(this.drawSoon).observe(this.element);
    selection.addEventListener("change", this.drawSoon);
    themeChanged.addEventListener("change", this.drawSoon);
  }

  show(record: ReadingRecord): void {
    this.record = record;
    this.drawSoon();
  }

  private draw(): void {
    const batches = this.record?.batches ?? [];
    const layers = batches[0]?.before.length ?? 0;
    const heads = batches[0]?.before[0]?.length ?? 0;
    const width = this.element.clientWidth;
    this.element.hidden = layers === 0;
    if (layers === 0 || width === 0) return;
    const all = layers * heads <= MOST;
    const columns = all ? heads : Math.min(heads, 8);
    const shown = all ? Array.from({ length: layers }, (_, layer) => layer) : [this.selection.layer];
    const lines = Math.ceil(heads / columns);
    const most = this.scale(batches);
    const what = all ? "In all heads: a row is a layer, a column a head." : `In the heads of layer ${this.selection.layer + 1}.`;
    this.note.textContent = `The share of its error that each step removes, from 0 to ${(100 * most).toFixed(0)} %. ${what}`;
    const gap = 6;
    const height = shown.length * lines * (HEIGHT + gap);
    const scale = devicePixelRatio;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.style.height = `${height}px`;
    }
    const context = this.canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const cellWidth = (width - LABEL - gap * (columns - 1)) / columns;
    this.cells = [];
    shown.forEach((layer, row) => {
      context.fillStyle = colour("ink-soft");
      context.font = FONT;
      context.textBaseline = "middle";
      context.fillText(String(layer + 1), 2, row * lines * (HEIGHT + gap) + HEIGHT / 2);
      for (let head = 0; head < heads; head += 1) {
        const x = LABEL + (head % columns) * (cellWidth + gap);
        const y = (row * lines + Math.floor(head / columns)) * (HEIGHT + gap);
        this.cells.push({ layer, head, x, y, width: cellWidth });
        this.cell(context, layer, head, x, y, cellWidth, most);
      }
    });
  }

  /** Where the pictures end: few steps gain more. */
  private scale(batches: readonly MiniBatch[]): number {
    const stride = Math.max(1, Math.floor(batches.length / 64));
    const gains: number[] = [];
    for (let index = 0; index < batches.length; index += stride) {
      batches[index]?.before.forEach((row, layer) => row.forEach((_, head) => gains.push(gainOf(batches[index], layer, head))));
    }
    gains.sort((a, b) => a - b);
    return Math.max(0.01, Math.ceil(100 * (gains[Math.floor(0.98 * (gains.length - 1))] ?? 0)) / 100);
  }

  private cell(context: CanvasRenderingContext2D, layer: number, head: number, x: number, y: number, width: number, most: number): void {
    const batches = this.record?.batches ?? [];
    const chosen = layer === this.selection.layer && head === this.selection.head;
    context.strokeStyle = colour(chosen ? "accent" : "line");
    context.lineWidth = chosen ? 2 : 1;
    context.strokeRect(x + 1, y + 1, width - 2, HEIGHT - 2);
    const step = Math.max(1, Math.floor(batches.length / (width * 1.5)));
    const area = new Path2D();
    const base = y + HEIGHT - 3;
    area.moveTo(x + 3, base);
    for (let index = 0; index < batches.length; index += step) {
      const gain = gainOf(batches[index], layer, head);
      const px = x + 3 + ((width - 6) * index) / Math.max(1, batches.length - 1);
      area.lineTo(px, base - (HEIGHT - 6) * Math.max(0, Math.min(1, gain / most)));
    }
    area.lineTo(x + width - 3, base);
    context.fillStyle = colour("accent");
    context.fill(area);
  }
}

function gainOf(batch: MiniBatch | undefined, layer: number, head: number): number {
  const before = batch?.before[layer]?.[head] ?? 0;
  const after = batch?.after[layer]?.[head] ?? 0;
  return before > 0 ? 1 - after / before : 0;
}
