/** W − W₀ of one matrix of one head, cell by cell. */

import { el, field, oncePerFrame } from "../dom";
import { count, short } from "../format";
import { themeChanged } from "../theme";
import { channels, colour } from "./colours";
import { figure, type FigureElement } from "./figure";
import { csv, saveFile } from "../download";
import type { FastMatrix } from "../../lib/index";

export class HeatMap {
  readonly element: FigureElement;
  private readonly canvas = el("canvas", { class: "heat", tabindex: 0, role: "application", "data-testid": "heat-canvas" });
  private readonly scale = el("canvas", { class: "heat-scale", width: 201, height: 1, "aria-hidden": true });
  private readonly least = el("span");
  private readonly most = el("span");
  private readonly readout = el("p", { class: "readout", "aria-live": "polite" });
  private readonly chooser = el("select", { "data-testid": "heat-matrix" });
  private readonly chooserField = field("Matrix", this.chooser);
  private matrices: FastMatrix[] = [];
  private where = "";
  private range = 0;
  private cursor: { row: number; column: number } | null = null;
  private readonly image = el("canvas");
  private readonly drawSoon = oncePerFrame(() => this.draw());

  constructor() {
    this.element = figure(
      {
        title: "What changed inside",
        explanation: "Every square is one number of the chosen head's fast weights: green has grown since the start, orange has shrunk, and the stronger the colour the more.",
        testId: "heat-map",
        series: () => ({ change: this.change() }),
        download: () => this.download(),
      },
      el("div", { class: "heat-controls" }, this.chooserField),
      this.canvas,
      el("div", { class: "heat-legend" }, this.least, this.scale, this.most),
      this.readout,
    );
    this.chooser.addEventListener("change", () => {
      this.range = 0;
      this.cursor = null;
      this.drawSoon();
    });
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(this.drawSoon).observe(this.element);
    themeChanged.addEventListener("change", this.drawSoon);
  }

  /** Starts a new scale: another head, or another text. */
  reset(): void {
    this.range = 0;
  }

  show(matrices: FastMatrix[], where: string): void {
    const names = matrices.map(({ name }) => name);
    if (names.join() !== this.matrices.map(({ name }) => name).join()) {
      const old = this.chooser.value;
      this.chooser.replaceChildren(...matrices.map(({ name, rows, columns }) => el("option", { value: name }, `${name} (${rows} × ${columns})`)));
      if (names.includes(old)) this.chooser.value = old;
    }
    this.chooserField.hidden = matrices.length < 2;
    this.matrices = matrices;
    this.where = where;
    this.drawSoon();
  }

  private get matrix(): FastMatrix | undefined {
    return this.matrices.find(({ name }) => name === this.chooser.value) ?? this.matrices[0];
  }

  private change(): number[] {
    const { matrix } = this;
    return matrix === undefined ? [] : Array.from(matrix.now, (value, index) => value - (matrix.start[index] ?? 0));
  }

  private draw(): void {
    const { matrix } = this;
    const width = this.canvas.clientWidth;
    if (matrix === undefined || width === 0) return;
    const { rows, columns } = matrix;
    const change = this.change();
    // A few numbers grow far beyond the others: the scale ends where all but one in a hundred are within. It only grows while a text is
    // read, so that colours can be compared over time.
    const sizes = Float32Array.from(change, Math.abs).sort();
    this.range = Math.max(this.range, sizes[Math.floor(0.99 * (sizes.length - 1))] ?? 0);
    const range = this.range || 1;
    this.image.width = columns;
    this.image.height = rows;
    const small = this.image.getContext("2d");
    const large = this.canvas.getContext("2d");
    if (small === null || large === null) return;
    const pixels = small.createImageData(columns, rows);
    const mix = mixer();
    change.forEach((value, index) => mix(value / range, pixels.data, index * 4));
    small.putImageData(pixels, 0, 0);
    const ratio = devicePixelRatio;
    const height = Math.min(Math.max(width * (rows / columns), 28), width * 1.2);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    large.imageSmoothingEnabled = false;
    large.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
    if (this.cursor !== null) {
      const [w, h] = [this.canvas.width / columns, this.canvas.height / rows];
      large.strokeStyle = colour("ink");
      large.lineWidth = 2 * ratio;
      large.strokeRect(this.cursor.column * w - ratio, this.cursor.row * h - ratio, w + 2 * ratio, h + 2 * ratio);
    }
    this.canvas.setAttribute("aria-label", `Heat map of the change of ${matrix.name}, ${this.where}: ${count(rows)} rows, ${count(columns)} columns. Arrow keys read single values.`);
    this.legend(range);
    this.say();
  }

  private legend(range: number): void {
    const context = this.scale.getContext("2d");
    if (context === null) return;
    const pixels = context.createImageData(201, 1);
    const mix = mixer();
    for (let x = 0; x <= 200; x += 1) mix(x / 100 - 1, pixels.data, x * 4);
    context.putImageData(pixels, 0, 0);
    this.least.textContent = `−${short(range)} or less`;
    this.most.textContent = `+${short(range)} or more`;
  }

  private say(): void {
    const { matrix, cursor } = this;
    if (matrix === undefined || cursor === null) {
      this.readout.textContent = "Point at a square, or use the arrow keys, to read its value.";
      return;
    }
    const index = cursor.row * matrix.columns + cursor.column;
    const [now, start] = [matrix.now[index] ?? 0, matrix.start[index] ?? 0];
    const change = now - start;
    this.readout.textContent = `${matrix.name}, row ${cursor.row + 1}, column ${cursor.column + 1}: ${signed(start)} at the start, ${signed(now)} now, change ${change >= 0 ? "+" : ""}${signed(change)}`;
  }

  private point(event: PointerEvent): void {
    const { matrix } = this;
    if (matrix === undefined) return;
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const inside = (share: number, size: number): number => Math.max(0, Math.min(size - 1, Math.floor(share * size)));
    this.cursor = { row: inside((event.clientY - top) / height, matrix.rows), column: inside((event.clientX - left) / width, matrix.columns) };
    this.drawSoon();
  }

  private key(event: KeyboardEvent): void {
    const { matrix } = this;
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (matrix === undefined || step === undefined) return;
    event.preventDefault();
    const { row, column } = this.cursor ?? { row: 0, column: 0 };
    const [down = 0, right = 0] = this.cursor === null ? [0, 0] : step;
    this.cursor = { row: Math.max(0, Math.min(matrix.rows - 1, row + down)), column: Math.max(0, Math.min(matrix.columns - 1, column + right)) };
    this.drawSoon();
  }

  private download(): void {
    const { matrix } = this;
    if (matrix === undefined) return;
    const rows = Array.from(matrix.now, (now, index) => [Math.floor(index / matrix.columns) + 1, (index % matrix.columns) + 1, matrix.start[index] ?? 0, now]);
    saveFile(`fast-weights-${matrix.name}.csv`, csv(["row", "column", "start", "now"], rows), "text/csv");
  }
}

function signed(value: number): string {
  return value < 0 ? `−${short(-value)}` : short(value);
}

/** Writes the colour of a value from −1 to 1. */
function mixer(): (value: number, pixels: Uint8ClampedArray, at: number) => void {
  const [less, nothing, more] = [channels("less"), channels("nothing"), channels("more")];
  return (value, pixels, at) => {
    const end = value < 0 ? less : more;
    const share = Math.min(1, Math.abs(value));
    for (let channel = 0; channel < 3; channel += 1) {
      pixels[at + channel] = (nothing[channel] ?? 0) + ((end[channel] ?? 0) - (nothing[channel] ?? 0)) * share;
    }
    pixels[at + 3] = 255;
  };
}
