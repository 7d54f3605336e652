/** The frame around a figure: title, one sentence that explains it, the drawing, and its numbers as a file. */

import { button, el } from "../dom";

/** Columns of numbers that a figure shows; also the property `series` of its element. */
export type Series = Record<string, (number | null)[]>;

export interface FigureElement extends HTMLElement {
  series: () => Series;
}

export interface FigureOptions {
  title: string;
  explanation: string;
  testId: string;
  series: () => Series;
  /** Saves its numbers. */
  download?: () => void;
}

export function figure(options: FigureOptions, ...content: HTMLElement[]): FigureElement {
  const element = el(
    "figure",
    { class: "figure", "data-testid": options.testId },
    el(
      "figcaption",
      {},
      el(
        "div",
        { class: "figure-head" },
        el("h3", {}, options.title),
        options.download !== undefined &&
          button("Download CSV", {
            class: "quiet small",
            "aria-label": `Download CSV: ${options.title}`,
            "data-testid": `${options.testId}-csv`,
            onclick: options.download,
          }),
      ),
      el("p", { class: "explanation" }, options.explanation),
    ),
    ...content,
  );
  return Object.assign(element, { series: options.series });
}

/** A legend: what each colour is, and the values under the cursor. */
export function legendItem(label: string, mark: string): { item: HTMLElement; value: HTMLElement } {
  const value = el("b", {});
  return { item: el("span", { class: "legend-item" }, el("i", { class: `mark-${mark}`, "aria-hidden": true }), `${label} `, value), value };
}
