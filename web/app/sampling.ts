/** The options of generation, as a form. */

import { button, el, field, newId } from "./dom";
import type { GenerateOptions } from "../lib/index";

interface NumberOption {
  name: "predict" | "temp" | "topK" | "topP" | "minP" | "repeatPenalty" | "repeatLastN" | "seed";
  label: string;
  hint: string;
  value: number | null;
  min: number;
  max: number;
  step: number;
}

const simple: NumberOption[] = [
  { name: "predict", label: "Tokens to write", hint: "At most; a token is about three quarters of a word.", value: 120, min: 1, max: 100_000, step: 1 },
  { name: "temp", label: "Temperature", hint: "0 always takes the likeliest token; higher is bolder.", value: 0.8, min: 0, max: 5, step: 0.05 },
];

const more: NumberOption[] = [
  { name: "topK", label: "Top k", hint: "Draw from this many of the likeliest; 0 is all.", value: 40, min: 0, max: 1_000_000, step: 1 },
  { name: "topP", label: "Top p", hint: "Draw from the fewest that have this probability together; 1 is all.", value: 0.95, min: 0, max: 1, step: 0.01 },
  { name: "minP", label: "Min p", hint: "Leave out those less likely than this share of the likeliest.", value: 0.05, min: 0, max: 1, step: 0.01 },
  { name: "repeatPenalty", label: "Repeat penalty", hint: "Above 1 makes recent tokens less likely.", value: 1, min: 0.1, max: 10, step: 0.05 },
  { name: "repeatLastN", label: "Recent tokens", hint: "How far back the penalty looks, 256 at most.", value: 64, min: 0, max: 256, step: 1 },
];

const seedOption: NumberOption = { name: "seed", label: "Seed", hint: "The same seed gives the same text; empty is a new one each time.", value: null, min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 };

export class Sampling {
  readonly element: HTMLElement;
  private readonly inputs = new Map<NumberOption["name"], HTMLInputElement>();
  private readonly stop: HTMLTextAreaElement;
  private readonly shade: HTMLInputElement;
  /** Called when shading is switched on or off. */
  onShade: (on: boolean) => void = () => {};

  /** Test ids begin with `prefix`. */
  constructor(private readonly prefix = "option") {
    this.stop = el("textarea", { rows: 2, "data-testid": `${prefix}-stop`, spellcheck: "false" });
    this.shade = el("input", { type: "checkbox", id: newId("shade"), "data-testid": `${prefix}-shade` });
    this.shade.addEventListener("change", () => this.onShade(this.shade.checked));
    this.element = el(
      "form",
      { class: "sampling", "aria-label": "How it writes", novalidate: true, onsubmit: (event: Event) => event.preventDefault() },
      el("div", { class: "pair" }, ...simple.map((option) => this.number(option))),
      el(
        "div",
        { class: "check" },
        this.shade,
        el("label", { for: this.shade.id }, "Shade each token by its probability"),
      ),
      el(
        "details",
        {},
        el("summary", { "data-testid": prefix === "option" ? "more-options" : `${prefix}-more` }, "More about drawing tokens"),
        el("div", { class: "pair" }, ...more.map((option) => this.number(option)), this.number(seedOption)),
        field("Stop at", this.stop, "Ends the text before one of these, one a line."),
        button("Back to the defaults", { class: "quiet", onclick: () => this.reset() }),
      ),
    );
  }

  get shading(): boolean {
    return this.shade.checked;
  }

  /** The options as they stand; throws no error: what is out of range is the engine's to refuse. */
  options(): GenerateOptions {
    const options: GenerateOptions = {};
    for (const [name, input] of this.inputs) {
      if (input.value.trim() !== "") options[name] = Number(input.value);
    }
    const stop = this.stop.value.split("\n").filter((line) => line !== "");
    if (stop.length > 0) options.stop = stop;
    options.logprobs = this.shade.checked ? 5 : 0;
    return options;
  }

  private reset(): void {
    for (const option of [...simple, ...more, seedOption]) {
      const input = this.inputs.get(option.name);
      if (input !== undefined) input.value = option.value === null ? "" : String(option.value);
    }
    this.stop.value = "";
  }

  private number(option: NumberOption): HTMLElement {
    const input = el("input", {
      type: "number",
      inputmode: "decimal",
      min: option.min,
      max: option.max,
      step: option.step,
      value: option.value,
      placeholder: option.value === null ? "new each time" : String(option.value),
      "data-testid": `${this.prefix}-${option.name}`,
    });
    this.inputs.set(option.name, input);
    return field(option.label, input, option.hint);
  }
}
