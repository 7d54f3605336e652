/** Measuring this browser's device. */

import { button, el, show } from "../dom";
import { saveFile } from "../download";
import { roughly } from "../format";
import { comparison } from "../comparison";
import { measured, resultsFile } from "../measured";
import { current, watch } from "../model";
import { isAbort, ProblemPlace } from "../problems";
import { BenchForm } from "./bench-form";
import { BenchResultsView } from "./bench-results";
import { bench, type BenchProgress, type BenchSection } from "../../lib/index";

const RESULTS = "https://github.com/fastweight/fastweight/tree/main/results";

const names: Record<BenchSection | "check", string> = {
  check: "checking the kernels",
  device: "what the device can do",
  kernels: "kernels",
  models: "models",
  forms: "forms of the inner step",
  long: "a long run",
};

/** Measuring beside a model that is being loaded would measure that, too. */
function quiet(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    const stop = watch(({ kind }) => {
      if (kind === "loading") return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

export function benchView(): HTMLElement {
  const form = new BenchForm();
  const start = button("Start", { class: "primary", "data-testid": "bench-start" });
  const cancel = button("Cancel", { class: "primary", "data-testid": "bench-cancel", hidden: true });
  const bar = el("progress", { "aria-label": "Measuring", max: 1, "data-testid": "bench-progress" });
  const part = el("p", { class: "summary", role: "status", "data-testid": "bench-status" });
  const what = el("p", { class: "hint bench-what", "data-testid": "bench-what" });
  const notes = el("ul", { class: "bench-notes hint", "aria-label": "Left out", hidden: true, "data-testid": "bench-notes" });
  const course = el("div", { class: "bench-course" }, bar, part, what, notes);
  const problem = new ProblemPlace();
  const view = new BenchResultsView();
  const save = button("Save the results", { "data-testid": "bench-save" });
  const compare = button("See the full report", { "data-testid": "bench-compare" });
  const result = el(
    "section",
    { class: "band bench-result", "aria-labelledby": "bench-result-title", hidden: true, "data-testid": "bench-result" },
    el("div", { class: "bench-result-head" }, el("h2", { id: "bench-result-title" }, "What it found"), el("div", { class: "row" }, save, compare)),
    view.element,
    el(
      "div",
      { class: "bench-send" },
      el("h3", {}, "Send yours"),
      el(
        "p",
        { class: "lead" },
        "Results from anyone are welcome, of slow devices as of fast ones. Save the file, put it into the folder ",
        el("a", { href: RESULTS }, "results/ of the repository"),
        ", and open a pull request. The file says which device, browser and system it is of, and names nobody.",
      ),
    ),
  );
  let running: AbortController | null = null;

  const arrange = (): void => {
    const busy = running !== null;
    show(!busy, start, cancel);
    show(busy, cancel, start);
    show(!busy, form.element, cancel);
    bar.hidden = !busy;
    what.hidden = !busy;
  };

  async function run(): Promise<void> {
    if (running !== null) return;
    problem.clear();
    const options = form.options();
    const sections = options.sections ?? [];
    if (sections.length === 0) {
      part.textContent = "Choose something to measure.";
      return;
    }
    const controller = new AbortController();
    running = controller;
    arrange();
    cancel.focus();
    bar.removeAttribute("value");
    what.textContent = "";
    notes.replaceChildren();
    notes.hidden = true;
    const pace = new Pace(sections);
    try {
      part.textContent = current().kind === "loading" ? "It measures as soon as the model is loaded." : "Starting.";
      await quiet(controller.signal);
      const results = await bench({
        ...options,
        signal: controller.signal,
        onPartial: (partial) => measured.keep(partial),
        onNote: (note) => {
          notes.append(el("li", {}, note));
          notes.hidden = false;
        },
        onProgress: (progress) => {
          const { title, overall, left } = pace.at(progress);
          if (part.textContent !== title) part.textContent = title;
          bar.value = overall;
          what.textContent = `${progress.what}${left}`;
        },
      });
      measured.keep(results);
      part.textContent = "Done.";
    } catch (error) {
      part.textContent = isAbort(error) ? "Cancelled. What was finished is kept." : "";
      problem.show(error);
    } finally {
      running = null;
      arrange();
    }
  }

  start.addEventListener("click", () => void run());
  cancel.addEventListener("click", () => running?.abort());
  save.addEventListener("click", () => {
    if (measured.results === null) return;
    const file = resultsFile(measured.results);
    saveFile(file.name, file, file.type);
  });
  compare.addEventListener("click", () => {
    if (measured.results !== null) void comparison.add([resultsFile(measured.results)]);
    location.hash = "#/compare";
  });
  measured.addEventListener("change", () => {
    if (measured.results === null) return;
    result.hidden = false;
    view.show(measured.results);
  });
  void measured.restore();
  arrange();

  return el(
    "div",
    { class: "page bench-page" },
    el(
      "section",
      { class: "bench-main", "aria-labelledby": "bench-title" },
      el("h1", { id: "bench-title" }, "How fast is this device?"),
      el(
        "p",
        { class: "lead" },
        "It measures how fast the device reads memory and multiplies, how close each kernel comes to that, and how many tokens a second models read and write.",
      ),
      form.element,
      el("div", { class: "row" }, start, cancel),
      course,
      problem.element,
    ),
    el(
      "aside",
      { class: "side", "aria-labelledby": "bench-good-title" },
      el("h2", { id: "bench-good-title" }, "A run that counts"),
      el(
        "ul",
        { class: "bench-good" },
        el("li", {}, "Close what else is running, and plug the machine in."),
        el("li", {}, "Leave this tab in front: a browser slows down a hidden tab, which makes the run invalid."),
        el("li", {}, "Every kernel is checked before it is timed. Wrong results have no speed."),
        el("li", {}, "Every figure is taken several times, among others in a random order. The same work before, between and after shows whether the machine held its speed."),
        el("li", {}, "What was finished is kept if you cancel, or close the tab."),
      ),
    ),
    result,
  );
}

/** How far a run has come. */
class Pace {
  private section: BenchSection | null = null;
  private since = performance.now();
  private overall = 0;
  private readonly parts: readonly (BenchSection | null)[];

  constructor(sections: readonly BenchSection[]) {
    this.parts = [null, ...sections];
  }

  at({ section, done }: BenchProgress): { title: string; overall: number; left: string } {
    const now = performance.now();
    if (section !== this.section) [this.section, this.since] = [section, now];
    const place = Math.max(0, this.parts.indexOf(section));
    this.overall = Math.max(this.overall, (place + done) / this.parts.length);
    const taken = (now - this.since) / 1000;
    // The first figures of a section tell little of the others.
    const left = done > 0.02 && taken > 2 ? `, ${roughly((taken * (1 - done)) / done)} left in this part` : "";
    return { title: `Part ${place + 1} of ${this.parts.length}: ${names[section ?? "check"]}.`, overall: this.overall, left };
  }
}
