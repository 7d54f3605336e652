/** What to measure, and how long. */

import { el, field, newId } from "../dom";
import { preflight, type BenchOptions, type BenchSection, type DeviceChoice } from "../../lib/index";

interface Part {
  id: string;
  label: string;
  hint: string;
  sections: readonly BenchSection[];
}

const parts: readonly Part[] = [
  { id: "device", label: "What the device can do", hint: "How fast it reads, copies and multiplies, and what a dispatch costs.", sections: ["device"] },
  { id: "kernels", label: "Every kernel", hint: "At the shapes that models give it, against what the device can do.", sections: ["kernels"] },
  { id: "models", label: "Models that fit", hint: "Tokens a second that TTT, Mamba and Transformers read and write.", sections: ["models", "forms"] },
];

/** A choice of one, as chips. */
function chips(title: string, name: string, options: readonly (readonly [value: string, label: string])[], chosen: string): { element: HTMLFieldSetElement; value(): string; choose(value: string): void } {
  const inputs = options.map(([value]) => el("input", { type: "radio", name: `bench-${name}`, value, id: `bench-${name}-${value}`, "data-testid": `bench-${name}-${value}` }));
  const choose = (value: string): void => inputs.forEach((input) => (input.checked = input.value === value));
  const element = el("fieldset", { class: "samples" }, el("legend", {}, title));
  options.forEach(([, label], index) => {
    const input = inputs[index];
    if (input !== undefined) element.append(el("span", { class: "chip" }, input, el("label", { for: input.id }, label)));
  });
  choose(chosen);
  return { element, value: () => inputs.find(({ checked }) => checked)?.value ?? chosen, choose };
}

export class BenchForm {
  readonly element: HTMLElement;
  private readonly device = chips("Device", "device", [["webgpu", "GPU, by WebGPU"], ["cpu", "CPU"]], "webgpu");
  private readonly length = chips("How long", "length", [["quick", "Quick: minutes"], ["full", "Full: up to hours"]], "quick");
  private readonly checks = new Map<Part, HTMLInputElement>();
  private readonly only = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "everything", "data-testid": "bench-only" });
  private readonly repetitions = el("input", { type: "number", inputmode: "numeric", min: 1, max: 10_000, step: 1, placeholder: "as usual", "data-testid": "bench-repetitions" });
  private readonly delay = el("input", { type: "number", inputmode: "decimal", min: 0, max: 3600, step: 0.1, placeholder: "0", "data-testid": "bench-delay" });
  constructor() {
    const found = el("p", { class: "hint", "data-testid": "bench-found" });
    const what = el("fieldset", { class: "checks" }, el("legend", {}, "What to measure"));
    for (const part of parts) {
      const input = el("input", { type: "checkbox", id: newId("part"), checked: true, "data-testid": `bench-part-${part.id}` });
      this.checks.set(part, input);
      what.append(el("div", { class: "check" }, input, el("label", { for: input.id }, part.label, el("span", { class: "hint" }, part.hint))));
    }
    this.element = el(
      "form",
      { class: "bench-form", "aria-label": "How to measure", novalidate: true, onsubmit: (event: Event) => event.preventDefault() },
      el("div", { class: "bench-device" }, this.device.element, found),
      this.length.element,
      what,
      el(
        "details",
        {},
        el("summary", { "data-testid": "bench-more" }, "More"),
        field("Only", this.only, "Kernels and models that have this in their name; several by commas."),
        el(
          "div",
          { class: "pair" },
          field("Samples of each figure", this.repetitions, "10 as usual, 3 if quick."),
          field("Rest before each, seconds", this.delay, "For devices that get hot."),
        ),
      ),
    );
    preflight().then(
      ({ webgpu, reason, fix }) => {
        found.textContent = webgpu ? reason : `${reason} ${fix ?? ""}`;
        // A software adapter is slower than the CPU device; who wants to measure it may.
        if (!webgpu || fix !== null) this.device.choose("cpu");
      },
      (error: unknown) => {
        found.textContent = error instanceof Error ? error.message : String(error);
        this.device.choose("cpu");
      },
    );
  }

  /** The options as they stand; what is out of range is the engine's to refuse. */
  options(): BenchOptions {
    const options: BenchOptions = {
      device: this.device.value() as DeviceChoice,
      quick: this.length.value() === "quick",
      sections: parts.flatMap((part) => (this.checks.get(part)?.checked ? part.sections : [])),
      only: this.only.value.split(",").map((name) => name.trim()).filter((name) => name !== ""),
    };
    if (this.repetitions.value !== "") options.repetitions = Number(this.repetitions.value);
    if (this.delay.value !== "") options.delay = Number(this.delay.value);
    return options;
  }
}
