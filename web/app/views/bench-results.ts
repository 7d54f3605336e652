/** What a bench found, for people. */

import { BandwidthChart } from "../charts/bandwidth";
import { add, el, newId } from "../dom";
import { bandwidth, count, operations, percent, plural, seconds, short, workingSet } from "../format";
import { deviceName, median } from "../measured";
import type { BenchCeilings, BenchMeasurement, BenchResults, BenchSection } from "../../lib/index";

/** Machines that change more than this between sections measured something else before than after. */
const DRIFT = 0.05;

export class BenchResultsView {
  private readonly about = el("p", { class: "lead", "data-testid": "bench-about" });
  private readonly trust = el("div", { class: "bench-trust", "data-testid": "bench-trust" });
  private readonly ceilings = el("dl", { class: "numbers bench-ceilings", "data-testid": "bench-ceilings" });
  private readonly chart = new BandwidthChart();
  private readonly models = el("div", { "data-testid": "bench-models" });
  private readonly others = el("div", { "data-testid": "bench-others" });
  private readonly kernels = el("div", { "data-testid": "bench-kernels" });
  private readonly every = el("input", { type: "checkbox", id: newId("every"), "data-testid": "bench-every" });
  private readonly everyRow = el("div", { class: "check" }, this.every, el("label", { for: this.every.id }, "Show every variant, and not only the one that is chosen"));
  private readonly kernelsBox = el("section", { "aria-labelledby": "bench-kernels-title" }, el("h3", { id: "bench-kernels-title" }, "Kernels"), this.everyRow, this.kernels);
  private results: BenchResults | null = null;
  readonly element = el("div", { class: "bench-results" }, this.about, this.trust, this.ceilings, this.chart.element, this.models, this.others, this.kernelsBox);

  constructor() {
    this.every.addEventListener("change", () => this.showKernels());
  }

  show(results: BenchResults): void {
    this.results = results;
    const { device, engine, settings, date, ceilings, measurements } = results;
    const details = [
      device.driver,
      settings.quick ? "a quick run" : "a full run",
      settings.only.length > 0 && `only ${settings.only.join(", ")}`,
      `timed by the ${results.timer.kind === "timestamps" ? "device’s own stamps" : "clock"}`,
      `engine ${engine.version}`,
      date,
    ];
    this.about.replaceChildren(el("strong", {}, deviceName(results)), `: ${details.filter(Boolean).join(", ")}.`);
    this.trust.replaceChildren(...trust(results));
    this.ceilings.hidden = ceilings === null;
    this.chart.element.hidden = ceilings === null;
    if (ceilings !== null) {
      this.ceilings.replaceChildren(...ceilingNumbers(ceilings));
      this.chart.show(ceilings);
    }
    const of = (...sections: BenchSection[]) => measurements.filter(({ section }) => sections.includes(section));
    const [models, others] = [of("models"), of("forms", "long")];
    this.models.hidden = models.length === 0;
    this.models.replaceChildren();
    if (models.length > 0) {
      add(this.models, el("h3", {}, "Models"), el("p", { class: "explanation" }, "Of random weights: the speed does not depend on what they know."), modelTable(models));
    }
    this.others.hidden = others.length === 0;
    this.others.replaceChildren();
    if (others.length > 0) {
      add(this.others, el("h3", {}, "The inner step, token by token and in mini-batches"), otherTable(others));
    }
    this.showKernels();
  }

  private showKernels(): void {
    const all = this.results?.measurements.filter(({ section }) => section === "kernels") ?? [];
    this.kernelsBox.hidden = all.length === 0;
    this.everyRow.hidden = all.every(({ chosen }) => chosen);
    const rows = all.filter(({ chosen }) => chosen || this.every.checked);
    rows.sort((a, b) => a.name.localeCompare(b.name) || a.subject.localeCompare(b.subject) || (a.cache ?? "").localeCompare(b.cache ?? "") || Number(b.chosen) - Number(a.chosen));
    this.kernels.replaceChildren(kernelTable(rows, this.every.checked));
  }
}

/** How far the results can be trusted, plainly. */
function trust({ valid, invalid, complete, verified, sentinels }: BenchResults): HTMLElement[] {
  const lines: HTMLElement[] = [];
  const line = (kind: "good" | "bad", ...content: (string | HTMLElement)[]): void => void lines.push(el("p", { class: `trust ${kind}` }, ...content));
  if (valid) line("good", "Valid.");
  else line("bad", "Not valid:", el("ul", {}, ...invalid.map((why) => el("li", {}, why))));
  if (!complete) line("bad", "A partial result: the run did not get to its end.");
  if (verified !== null && verified.failures.length === 0 && verified.cases > 0) {
    line("good", `All ${count(verified.kernels)} kernels were right before they were timed, in ${plural(verified.cases, "case")} and ${plural(verified.variants, "variant")}.`);
  }
  const drift = Math.max(0, ...sentinels.map((sentinel) => sentinel.drift));
  if (sentinels.length > 1) {
    if (drift > DRIFT) line("bad", `The machine changed its speed by ${percent(drift)} meanwhile. Figures around that are marked †.`);
    else line("good", `The machine held its speed: the same work took the same time before and after, within ${percent(drift)}.`);
  }
  return lines;
}

function ceilingNumbers(ceilings: BenchCeilings): HTMLElement[] {
  const most = (curve: BenchCeilings["read"]): number => Math.max(...curve.map(({ rate }) => rate));
  const last = ceilings.read.at(-1);
  const numbers: [string, string | null][] = [
    ["Reads, at most", bandwidth(most(ceilings.read))],
    [`Reads ${workingSet(last?.bytes ?? 0)}`, bandwidth(last?.rate ?? NaN)],
    ["Copies, at most", bandwidth(most(ceilings.copy))],
    ["Caches end at", ceilings.knee === null ? null : workingSet(ceilings.knee)],
    ["Multiplies, f32", operations(ceilings.f32)],
    ["Multiplies, f16", ceilings.f16 === null ? null : operations(ceilings.f16)],
    ["A dispatch", seconds(ceilings.dispatch)],
    ["A submit", seconds(ceilings.submit)],
    ["With a read-back", seconds(ceilings.read_back)],
  ];
  return numbers.flatMap(([name, value]) => (value === null ? [] : [el("div", {}, el("dt", {}, name), el("dd", {}, value))]));
}

/** A table that scrolls by itself where it is too wide. */
function table(label: string, head: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  return el(
    "div",
    { class: "scroll-x", tabindex: 0, role: "region", "aria-label": label },
    el(
      "table",
      { class: "bench-table" },
      el("caption", { class: "sr" }, label),
      el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, ...rows),
    ),
  );
}

function kernelTable(rows: readonly BenchMeasurement[], variants: boolean): HTMLElement {
  const cold = rows.some(({ cache }) => cache === "cold");
  const head = ["Kernel", ...(cold ? ["Weights"] : []), "Time", "Share of the ceiling"];
  return table(
    "Kernels",
    head,
    rows.map((row) => {
      const bar = el("span", { class: "share-bar", "aria-hidden": true }, el("span"));
      (bar.firstElementChild as HTMLElement).style.width = `${(100 * Math.min(1, row.share ?? 0)).toFixed(1)}%`;
      return el(
        "tr",
        {},
        el(
          "th",
          { scope: "row" },
          row.name,
          el("span", { class: "hint" }, row.subject),
          variants && row.variant !== null && el("span", { class: "hint variant" }, row.variant, row.chosen ? " (chosen)" : ""),
        ),
        cold && el("td", {}, row.cache === "cold" ? "in memory" : "in the caches"),
        el("td", { class: "number" }, `${seconds(median(row.samples))}${row.flagged ? " †" : ""}`),
        el("td", { class: "share" }, ...(row.share === null ? ["not known"] : [el("span", { class: "number" }, percent(row.share)), bar])),
      );
    }),
  );
}

/** Rows of whole models: reading and writing beside each other, by model, sequences side by side, and context. */
function modelTable(rows: readonly BenchMeasurement[]): HTMLElement {
  const pairs = new Map<string, { row: BenchMeasurement; read?: BenchMeasurement; write?: BenchMeasurement }>();
  for (const row of rows) {
    const key = `${row.subject} ${row.batch} ${row.work.context}`;
    const pair = pairs.get(key) ?? { row };
    pair[row.name.startsWith("tg") ? "write" : "read"] = row;
    pairs.set(key, pair);
  }
  const cell = (row: BenchMeasurement | undefined): HTMLElement =>
    el("td", { class: "number" }, ...(row === undefined ? ["–"] : [`${short(row.work.tokens / median(row.samples))}${row.flagged ? " †" : ""}`, el("span", { class: "hint" }, `${seconds(median(row.samples) / row.work.tokens)} each`)]));
  return table(
    "Models",
    ["Model", "Reads, tokens/s", "Writes, tokens/s"],
    [...pairs.values()].map(({ row, read, write }) => {
      const where = [row.batch > 1 && `${row.batch} side by side`, row.work.context > 0 && `after ${count(row.work.context)} tokens`].filter((part) => part !== false);
      return el("tr", {}, el("th", { scope: "row" }, row.subject, where.length > 0 && el("span", { class: "hint" }, where.join(", "))), cell(read), cell(write));
    }),
  );
}

/** Figures that are neither a kernel's nor a model's reading or writing. */
function otherTable(rows: readonly BenchMeasurement[]): HTMLElement {
  return table(
    "Other figures",
    ["Figure", "Time", "Time a token"],
    rows.map((row) => {
      const time = median(row.samples);
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, row.name, el("span", { class: "hint" }, row.subject)),
        el("td", { class: "number" }, `${seconds(time)}${row.flagged ? " †" : ""}`),
        el("td", { class: "number" }, row.work.tokens > 0 ? seconds(time / row.work.tokens) : "–"),
      );
    }),
  );
}
