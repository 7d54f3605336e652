/** The line under the header: which model, on which device and why, and how loading goes. */

import { add, button, el, show } from "./dom";
import { bytes } from "./format";
import { back, cancel, current, familyName, load, modelName, nameOf, previous, SHIPPED, lastChoices, watch, type ModelState } from "./model";
import { problemBox } from "./problems";
import { preflight, type Preflight, type Progress } from "../lib/index";

const phases: Record<Progress["phase"], string> = {
  locate: "Looking for the model",
  download: "Getting the model",
  check: "Checking the download",
  load: "Preparing the model",
};

export function startStatus(place: HTMLElement, changeModel: () => void): void {
  const modelLine = el("p", { class: "status-model", "data-testid": "model-line" });
  const deviceLine = el("div", { class: "status-device", "data-testid": "device-line" });
  const bar = el("progress", { "aria-label": "Loading the model", "data-testid": "load-progress", max: 1 });
  const cancelButton = button("Cancel", { class: "small", "data-testid": "cancel-load", onclick: cancel });
  const loadButton = button("Load the model", { class: "small", "data-testid": "load-model" });
  const backButton = button("Back", { class: "small", "data-testid": "back-to-model", onclick: back });
  const changeButton = button("Change model", { class: "small", "data-testid": "change-model", onclick: changeModel });
  const trouble = el("div", { role: "alert" });
  const said = el("p", { class: "sr", role: "status" });
  let browser: Preflight | null = null;

  add(
    place,
    el(
      "div",
      { class: "wrap status-row" },
      modelLine,
      el("div", { class: "status-actions" }, cancelButton, loadButton, backButton, changeButton),
      deviceLine,
    ),
    el("div", { class: "wrap" }, bar, trouble, said),
  );

  loadButton.addEventListener("click", () => {
    const state = current();
    void load(state.kind === "failed" ? state.source : SHIPPED, lastChoices());
  });

  const device = (state: ModelState): void => {
    if (state.kind === "ready") {
      const { name, kind, why, fix } = state.model.info.device;
      say(deviceLine, kind === "cpu" ? "On the CPU" : `On the GPU${name === "" ? "" : `, ${name}`}`, why, kind === "cpu" ? fix : null);
    } else if (browser !== null) {
      say(deviceLine, browser.webgpu ? "WebGPU is there" : "No WebGPU, so the CPU will do it", browser.reason, browser.fix);
    } else {
      deviceLine.textContent = "Looking at what this browser can do";
    }
  };

  let last = "";
  watch((state) => {
    show(state.kind === "loading", bar);
    show(state.kind === "loading", cancelButton, changeButton);
    show(state.kind === "failed" || (state.kind === "none" && previous() === null), loadButton, changeButton);
    const old = state.kind === "none" || state.kind === "failed" ? previous() : null;
    show(old !== null, backButton, changeButton);
    if (old !== null) backButton.textContent = `Back to ${nameOf(old)}`;
    if (state.kind !== last) trouble.replaceChildren();
    place.dataset["state"] = state.kind;
    device(state);
    switch (state.kind) {
      case "none":
        modelLine.textContent = "No model is loaded.";
        loadButton.textContent = "Load the model (7 MB)";
        break;
      case "loading":
        loading(state.progress, nameOf(state.source));
        break;
      case "ready": {
        const { info } = state.model;
        const name = modelName(state.source, info);
        modelLine.replaceChildren(
          el("strong", {}, name),
          ` ${familyName(info.family)}, ${info.learns ? "learns while it reads" : "does not learn while it reads"}, ${bytes(info.weightBytes)} of weights`,
        );
        if (last !== "ready") said.textContent = `${name} is ready.`;
        break;
      }
      case "failed":
        modelLine.textContent = `${nameOf(state.source)} could not be loaded.`;
        loadButton.textContent = "Try again";
        if (last !== "failed") trouble.append(problemBox(state.error));
        break;
    }
    last = state.kind;
  });

  function loading(progress: Progress | null, name: string): void {
    if (progress === null || progress.total === 0) bar.removeAttribute("value");
    else bar.value = progress.loaded / progress.total;
    const phase = phases[progress?.phase ?? "locate"];
    const amount =
      progress === null || progress.loaded === 0 || (progress.phase !== "download" && progress.total === 0)
        ? ""
        : progress.total > 0
          ? `, ${bytes(progress.loaded)} of ${bytes(progress.total)}`
          : `, ${bytes(progress.loaded)}`;
    const from = progress?.phase === "download" ? (progress.fromCache ? ", kept from last time" : ", from the network") : "";
    modelLine.replaceChildren(el("strong", {}, phase), ` ${progress?.file || name}${amount}${from}`);
    if (last !== "loading") said.textContent = `${phase}.`;
  }

  preflight().then(
    (result) => {
      browser = result;
      device(current());
    },
    (error: unknown) => {
      browser = { webgpu: false, reason: error instanceof Error ? error.message : String(error), fix: null };
      device(current());
    },
  );
}

function sentence(text: string): string {
  const trimmed = text.trim().replace(/\.$/, "");
  return trimmed === "" ? "" : `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}.`;
}

function say(line: HTMLElement, what: string, why: string, fix: string | null): void {
  line.replaceChildren(el("strong", {}, `${what}.`), ` ${sentence(why)}`);
  if (fix !== null) {
    const steps = el("details", { class: "fix" }, el("summary", {}, "What to switch on"), el("p", {}, sentence(fix)));
    add(line, " ", steps);
  }
}
