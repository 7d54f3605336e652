/** Choosing a model: where it is, a look inside before anything is downloaded, and how it is to run. */

import { add, button, el, field, show } from "./dom";
import { ago, bytes } from "./format";
import { inspectionCard } from "./inspection";
import { current, lastChoices, load, nameOf, SHIPPED, type Choices } from "./model";
import { ProblemPlace } from "./problems";
import { Model, type DeviceChoice, type DType, type Inspection, type ModelSource } from "../lib/index";

const devices: Record<DeviceChoice, string> = { auto: "Automatic", webgpu: "GPU (WebGPU)", cpu: "CPU" };
const dtypes: (DType | "")[] = ["", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"];

export class ModelDialog {
  readonly element: HTMLDialogElement;
  private readonly device = el("select", { "data-testid": "device-choice" });
  private readonly dtype = el("select", { "data-testid": "dtype-choice" });
  private readonly context = el("input", { type: "number", min: 16, step: 1, placeholder: "as the model has it", "data-testid": "context-size" });
  private readonly cacheType = el("select", { "data-testid": "cache-type" });
  private readonly address = el("input", {
    type: "text",
    placeholder: "hf:org/name, or the address of a .gguf",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "data-testid": "model-address",
  });
  private readonly sources: HTMLElement;
  private readonly look = el("div", { class: "look", hidden: true, "data-testid": "inspection" });
  private readonly cached = el("div", { class: "cached", "data-testid": "cached-models" });
  private readonly problem = new ProblemPlace();
  private readonly again = button("Load the present model again with these", { class: "quiet", "data-testid": "reload-model", onclick: () => this.reload() });
  private inspecting: AbortController | null = null;

  constructor() {
    for (const [value, label] of Object.entries(devices)) this.device.append(el("option", { value }, label));
    for (const value of dtypes) this.dtype.append(el("option", { value }, value === "" ? "As in the file" : value));
    for (const value of ["f32", "f16"]) this.cacheType.append(el("option", { value }, value));
    const file = el("input", { type: "file", class: "sr", tabindex: -1, "aria-label": "Model files", accept: ".gguf,.safetensors,.json,.model", multiple: true, "data-testid": "model-file" });
    const folder = el("input", { type: "file", class: "sr", tabindex: -1, "aria-label": "Folder with a model", webkitdirectory: true, "data-testid": "model-folder" });
    for (const input of [file, folder]) {
      input.addEventListener("change", () => {
        const files = [...(input.files ?? [])];
        input.value = "";
        if (files.length > 0) void this.inspect(files);
      });
    }
    this.sources = el(
      "div",
      { class: "sources" },
      el(
        "section",
        {},
        el("h3", {}, "Ships with Fastweight"),
        el(
          "div",
          { class: "source-row" },
          el("div", {}, el("p", { class: "source-name" }, SHIPPED), el("p", { class: "hint" }, "TTT-Linear, 6 million parameters, 7 MB; writes fairy tales.")),
          button("Load", { "data-testid": "load-shipped", onclick: () => this.start(SHIPPED) }),
        ),
      ),
      el(
        "section",
        {},
        el("h3", {}, "From the web"),
        el(
          "form",
          {
            class: "address-row",
            onsubmit: (event: Event) => {
              event.preventDefault();
              const address = this.address.value.trim();
              if (address !== "") void this.inspect(address);
            },
          },
          field("Name or address", this.address),
          el("button", { type: "submit", "data-testid": "inspect-button" }, "Look inside"),
        ),
      ),
      el(
        "section",
        {},
        el("h3", {}, "From this device"),
        el("p", { class: "hint" }, "A .gguf file, or a folder with config.json and .safetensors. Dropping it anywhere on the page does the same."),
        el("div", { class: "row" }, button("Choose files", { onclick: () => file.click() }), button("Choose a folder", { onclick: () => folder.click() }), file, folder),
      ),
      this.cached,
    );
    const head = el(
      "div",
      { class: "dialog-head" },
      el("h2", { id: "model-dialog-title" }, "Choose a model"),
      button("Close", { class: "quiet", "data-testid": "close-dialog", onclick: () => this.element.close() }),
    );
    const how = el(
      "section",
      { class: "how" },
      el("h3", {}, "How it runs"),
      el("div", { class: "pair" }, field("Device", this.device, "Automatic takes a GPU, or the CPU where that is faster."), field("Hold weights as", this.dtype, "Smaller types take less memory and lose a little.")),
      el(
        "details",
        {},
        el("summary", {}, "For Transformers"),
        el("div", { class: "pair" }, field("Positions", this.context, "How many tokens a session can hold."), field("Cache", this.cacheType)),
      ),
      this.again,
    );
    this.element = el("dialog", { class: "dialog", "aria-labelledby": "model-dialog-title", "data-testid": "model-dialog" }, head, this.problem.element, this.look, this.sources, how);
    this.element.addEventListener("close", () => this.inspecting?.abort());
  }

  open(files?: File[]): void {
    this.problem.clear();
    const { device, dtype, ctxSize, cacheType } = lastChoices();
    this.device.value = device ?? "auto";
    this.dtype.value = dtype ?? "";
    this.context.value = ctxSize === undefined ? "" : String(ctxSize);
    this.cacheType.value = cacheType ?? "f32";
    this.back();
    if (!this.element.open) this.element.showModal();
    void this.listCached();
    if (files !== undefined) void this.inspect(files);
  }

  private choices(): Choices {
    const choices: Choices = { device: this.device.value as DeviceChoice };
    if (this.dtype.value !== "") choices.dtype = this.dtype.value as DType;
    if (this.context.value !== "") choices.ctxSize = Number(this.context.value);
    if (this.cacheType.value === "f16") choices.cacheType = "f16";
    return choices;
  }

  private start(source: ModelSource): void {
    this.element.close();
    void load(source, this.choices());
  }

  private reload(): void {
    const state = current();
    this.start(state.kind === "none" ? SHIPPED : state.source);
  }

  private back(): void {
    show(false, this.look, this.address);
    show(true, this.sources);
    show(true, this.again);
  }

  private async inspect(source: ModelSource): Promise<void> {
    this.inspecting?.abort();
    const controller = new AbortController();
    this.inspecting = controller;
    this.problem.clear();
    this.look.replaceChildren(
      el("p", { role: "status" }, `Reading what ${nameOf(source)} is…`),
      button("Cancel", {
        class: "quiet",
        onclick: () => {
          controller.abort();
          this.back();
        },
      }),
    );
    show(true, this.look);
    show(false, this.sources);
    show(false, this.again);
    let inspection: Inspection;
    try {
      inspection = await Model.inspect(source, { ...this.choices(), signal: controller.signal });
    } catch (error) {
      if (this.inspecting === controller) this.back();
      if (!controller.signal.aborted) this.problem.show(error);
      return;
    }
    if (controller.signal.aborted) return;
    const loadIt = button(inspection.fits ? "Load it" : "Try to load it all the same", {
      class: inspection.fits ? "primary" : "",
      "data-testid": "confirm-load",
      onclick: () => this.start(source),
    });
    this.look.replaceChildren(
      inspectionCard(inspection, typeof source === "string" || source instanceof URL),
      el("div", { class: "row" }, loadIt, button("Back", { class: "quiet", onclick: () => this.back() })),
    );
    loadIt.focus();
  }

  private async listCached(): Promise<void> {
    try {
      const models = await Model.cached();
      this.cached.replaceChildren();
      if (models.length === 0) return;
      const total = models.reduce((sum, model) => sum + model.bytes, 0);
      const list = el("ul", { class: "cached-list" });
      for (const model of models) {
        const complete = model.files.every((file) => file.complete);
        add(
          list,
          el(
            "li",
            { class: "source-row" },
            el(
              "div",
              {},
              el("p", { class: "source-name" }, model.url),
              el("p", { class: "hint" }, `${bytes(model.bytes)}${complete ? "" : ", not complete"}, last used ${ago(model.lastUsed)}`),
            ),
            el(
              "div",
              { class: "row" },
              button("Load", { "aria-label": `Load ${model.url}`, onclick: () => this.start(model.url) }),
              button("Remove", { class: "quiet", "aria-label": `Remove ${model.url}`, onclick: () => void this.remove(model.url) }),
            ),
          ),
        );
      }
      add(this.cached, el("section", {}, el("h3", {}, `Kept in this browser (${bytes(total)})`), list));
    } catch (error) {
      this.problem.show(error);
    }
  }

  private async remove(url: string): Promise<void> {
    try {
      await Model.remove(url);
    } catch (error) {
      this.problem.show(error);
    }
    await this.listCached();
  }
}
