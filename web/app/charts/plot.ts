/** A line chart that grows: uPlot with the page's colours, a cursor for pointer and keyboard, and one drawing a frame at most. */

import uPlot from "uplot";
import { add, el, oncePerFrame } from "../dom";
import { short } from "../format";
import { themeChanged } from "../theme";
import { colour, FONT, type Colour } from "./colours";
import { legendItem } from "./figure";

export interface Line {
  label: string;
  colour: Colour;
  width?: number;
  /** Dots instead of a line. */
  dots?: boolean;
  /** The mark in the legend, by its class; none for a line that the legend leaves out. */
  mark?: string;
}

export interface PlotOptions {
  label: string;
  x: string;
  y: string;
  lines: Line[];
  height: number;
  /** Whether the y axis begins at 0. */
  zero?: boolean;
  /** Fill between the first two lines. */
  band?: Colour;
  format?: (value: number) => string;
  /** Writes a place on the x axis; by default a count. */
  place?: (x: number) => string;
  /** Writes the numbers of the axis. */
  axis?: (value: number) => string;
  /** What the cursor says of a point, after its x. */
  note?: (index: number) => string;
}

const plain = (value: number): string => String(Number(value.toPrecision(6)));

export type Columns = (number | null)[][];

export class Plot {
  readonly element: HTMLElement;
  private chart: uPlot | null = null;
  private data: Columns;
  private readonly canvas = el("div", { class: "plot", tabindex: 0, role: "group" });
  private readonly where = el("span", { class: "legend-where" });
  private readonly values: HTMLElement[] = [];
  private readonly observer = new ResizeObserver(() => this.resize());
  private readonly redraw = (): void => this.chart?.redraw(true, true);
  private readonly drawSoon = oncePerFrame(() => this.draw());

  constructor(private readonly options: PlotOptions) {
    this.data = [[], ...options.lines.map(() => [])];
    this.canvas.setAttribute("aria-label", `Chart: ${options.label}. Arrow keys move along it.`);
    const legend = el("p", { class: "legend", "aria-live": "polite" });
    for (const { label, mark } of options.lines) {
      const { item, value } = legendItem(label, mark ?? "none");
      if (mark !== undefined) legend.append(item);
      this.values.push(value);
    }
    add(legend, this.where);
    this.element = el("div", {}, legend, this.canvas);
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.observer.observe(this.canvas);
    themeChanged.addEventListener("change", this.redraw);
  }

  /** Shows these columns, the first of which is x. They may grow in place between calls. */
  set(data: Columns): void {
    this.data = data;
    this.drawSoon();
  }

  dispose(): void {
    this.observer.disconnect();
    themeChanged.removeEventListener("change", this.redraw);
    this.chart?.destroy();
    this.chart = null;
  }

  private draw(): void {
    if (!this.canvas.isConnected) return;
    if (this.chart === null) this.resize();
    this.chart?.setData(this.data as uPlot.AlignedData);
  }

  private resize(): void {
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    if (this.chart === null) this.chart = this.make(width);
    else if (this.chart.width !== width) this.chart.setSize({ width, height: this.options.height });
  }

  private make(width: number): uPlot {
    const { lines, height, band, y } = this.options;
    const axis = (label: string, size: number, extra: Partial<uPlot.Axis>): uPlot.Axis => ({
      label,
      labelFont: FONT,
      labelSize: 20,
      labelGap: 2,
      font: FONT,
      size,
      gap: 4,
      stroke: () => colour("ink-soft"),
      grid: { stroke: () => colour("line"), width: 1 },
      ticks: { show: false },
      ...extra,
    });
    const options: uPlot.Options = {
      width,
      height,
      padding: [8, this.options.place === undefined ? 18 : 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: (_chart, min, max) => [min ?? 0, Math.max(max ?? 0, (min ?? 0) + 1)] },
        y: { range: (_chart, min, max) => this.range(min ?? 0, max ?? 1) },
      },
      axes: [
        axis(this.options.x, 26, { grid: { show: false }, space: 60, values: (_chart, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? this.place(tick) : "")) }),
        axis(y, 44, { space: 34, values: (_chart, ticks) => ticks.map((tick) => (this.options.axis ?? plain)(tick)) }),
      ],
      series: [
        {},
        ...lines.map((line): uPlot.Series => {
          const stroke = (): string => colour(line.colour);
          const base: uPlot.Series = { label: line.label, stroke, spanGaps: false };
          if (line.dots) {
            return { ...base, width: 0, paths: () => null, points: { show: true, size: 3, width: 0, fill: stroke } };
          }
          return { ...base, width: line.width ?? 2, points: { show: false } };
        }),
      ],
      hooks: { setCursor: [(chart) => this.cursor(chart.cursor.idx ?? null)] },
    };
    if (band !== undefined) options.bands = [{ series: [1, 2], fill: () => colour(band) }];
    return new uPlot(options, this.data as uPlot.AlignedData, this.canvas);
  }

  private place(x: number): string {
    return this.options.place?.(x) ?? x.toLocaleString("en");
  }

  private range(min: number, max: number): [number, number] {
    if (this.options.zero === false && max > min) {
      const margin = 0.06 * (max - min);
      return [min - margin, max + margin];
    }
    return [Math.min(0, min), max <= 0 ? 1 : max * 1.06];
  }

  private cursor(index: number | null): void {
    const format = this.options.format ?? short;
    this.values.forEach((element, line) => {
      const value = index === null ? null : this.data[line + 1]?.[index];
      element.textContent = value === null || value === undefined ? "" : format(value);
    });
    const x = index === null ? undefined : this.data[0]?.[index];
    this.where.textContent = x === null || x === undefined || index === null ? "" : `${this.options.x} ${this.place(x)}${this.options.note?.(index) ?? ""}`;
  }

  private key(event: KeyboardEvent): void {
    const { chart } = this;
    const count = this.data[0]?.length ?? 0;
    if (chart === null || count === 0) return;
    const jump = event.shiftKey ? Math.max(1, Math.round(count / 20)) : 1;
    const step = { ArrowRight: jump, ArrowLeft: -jump, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(count - 1, (chart.cursor.idx ?? -1) + step));
    chart.setCursor({ left: chart.valToPos(this.data[0]?.[next] ?? 0, "x"), top: 10 });
  }
}
