/** The figures of a reading, and which layer and head they show. */

import { el, field } from "./dom";
import { HeatMap } from "./charts/heatmap";
import { InnerChart } from "./charts/inner";
import { LossChart } from "./charts/loss";
import { MovedChart } from "./charts/moved";
import { isAbort, toast } from "./problems";
import { Selection, type ReadingRecord } from "./record";
import type { FastMatrix, Model } from "../lib/index";

/** Milliseconds between two looks at the fast weights. */
const LOOK = 250;

type Weights = (layer: number, head: number) => Promise<FastMatrix[]>;

export class Figures {
  readonly element: HTMLElement;
  private readonly selection = new Selection();
  private readonly layer = el("select", { "data-testid": "layer-choice" });
  private readonly head = el("select", { "data-testid": "head-choice" });
  private readonly loss = new LossChart();
  private readonly inner = new InnerChart(this.selection);
  private readonly moved = new MovedChart(this.selection);
  private readonly heat = new HeatMap();
  private readonly title = el("h2", { id: "figures-title" }, "What you will see");
  private readonly learned: HTMLElement;
  private readonly still = el("p", { class: "notice", hidden: true, "data-testid": "no-learning" });
  private record: ReadingRecord | null = null;
  private weights: Weights | null = null;
  private looking = false;
  private lookedAt = 0;
  private again = false;

  constructor() {
    this.layer.addEventListener("change", () => this.selection.choose(this.layer.selectedIndex, this.selection.head));
    this.head.addEventListener("change", () => this.selection.choose(this.selection.layer, this.head.selectedIndex));
    this.selection.addEventListener("change", () => {
      this.layer.selectedIndex = this.selection.layer;
      this.head.selectedIndex = this.selection.head;
      this.heat.reset();
      void this.look(true);
    });
    this.learned = el(
      "div",
      { class: "figures-learned" },
      el("div", { class: "chooser", role: "group", "aria-label": "Which head the figures show" }, field("Layer", this.layer), field("Head", this.head)),
      this.inner.element,
      el("div", { class: "figures-pair" }, this.moved.element, this.heat.element),
    );
    this.element = el("section", { class: "figures empty", "aria-labelledby": "figures-title" }, this.title, this.loss.element, this.still, this.learned);
  }

  /** Shows a new reading. */
  start(record: ReadingRecord, model: Model, weights: Weights): void {
    const { info } = model;
    this.record = record;
    this.weights = weights;
    this.element.classList.remove("empty");
    this.title.textContent = "What it did while it read";
    this.learned.hidden = !info.learns;
    this.still.hidden = info.learns;
    this.still.textContent = "This model does not learn while it reads: its weights stay as they are, and there is nothing more to show than the loss.";
    this.fill(this.layer, info.layers);
    this.fill(this.head, info.heads);
    this.selection.choose(Math.min(this.selection.layer, Math.max(0, info.layers - 1)), Math.min(this.selection.head, Math.max(0, info.heads - 1)));
    this.heat.reset();
    this.update();
    void this.look(true);
  }

  /** Draws what has been added to the record. */
  update(): void {
    const { record } = this;
    if (record === null) return;
    this.loss.show(record);
    if (this.learned.hidden) return;
    this.inner.show(record);
    this.moved.show(record);
    void this.look(false);
  }

  end(): void {
    this.update();
    this.moved.fill();
    void this.look(true);
  }

  /** The session is gone: what was drawn stays. */
  release(): void {
    this.weights = null;
  }

  private fill(select: HTMLSelectElement, count: number): void {
    if (select.options.length === count) return;
    select.replaceChildren(...Array.from({ length: count }, (_, index) => el("option", { value: index }, String(index + 1))));
  }

  /** Fetches the fast weights of the chosen head: one request at a time, and not too often unless it `must`. */
  private async look(must: boolean): Promise<void> {
    if (this.looking) {
      this.again ||= must;
      return;
    }
    if (this.weights === null || this.learned.hidden || (!must && performance.now() - this.lookedAt < LOOK)) return;
    this.looking = true;
    const { layer, head } = this.selection;
    const { weights } = this;
    try {
      const matrices = await weights(layer, head);
      if (this.weights === weights) this.heat.show(matrices, `layer ${layer + 1}, head ${head + 1}`);
    } catch (error) {
      if (this.weights === weights && !isAbort(error)) {
        this.weights = null; // once is enough
        toast(error);
      }
    }
    this.looking = false;
    this.lookedAt = performance.now();
    if (this.again) {
      this.again = false;
      void this.look(true);
    }
  }
}
