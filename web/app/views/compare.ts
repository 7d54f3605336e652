/** Results side by side: files in, the engine's report out. */

import { button, el, show } from "../dom";
import { saveFile } from "../download";
import { comparison, type Compared } from "../comparison";
import { deviceName, measured, resultsFile } from "../measured";
import { problemBox, ProblemPlace } from "../problems";
import { ReportFrame } from "../report-frame";
import { report } from "../../lib/index";

export function compareView(): HTMLElement {
  const choose = button("Choose files", { class: "primary", "data-testid": "compare-choose" });
  const input = el("input", { type: "file", class: "sr", tabindex: -1, multiple: true, accept: ".json,application/json", "aria-label": "Files of results", "data-testid": "compare-files" });
  const own = button("Add this browser’s last result", { "data-testid": "compare-own", hidden: true });
  const list = el("ul", { class: "compared", "aria-label": "Results in the report", "data-testid": "compare-list" });
  const said = el("p", { class: "summary", role: "status", "data-testid": "compare-status" });
  const bad = el("div", { class: "compare-problems", role: "alert" });
  const problem = new ProblemPlace();
  const frame = new ReportFrame();
  const save = button("Save the report", { "data-testid": "compare-save", hidden: true });
  let html = "";
  /** Which of several reports under way is the last. */
  let turn = 0;

  function item(entry: Compared): HTMLElement {
    const remove = button("Remove", {
      class: "quiet small",
      "aria-label": `Remove ${entry.file.name}`,
      onclick: () => {
        comparison.remove(entry);
        choose.focus();
      },
    });
    const { date, valid, complete } = entry.results;
    const doubts = [!valid && "not valid", !complete && "partial"].filter((doubt) => doubt !== false);
    return el(
      "li",
      {},
      el("p", {}, el("strong", {}, deviceName(entry.results)), el("span", { class: "hint" }, `${entry.file.name}, ${date}${doubts.map((doubt) => `, ${doubt}`).join("")}`)),
      remove,
    );
  }

  async function arrange(): Promise<void> {
    const mine = ++turn;
    const { entries, problems } = comparison;
    bad.replaceChildren(...problems.map(problemBox));
    problem.clear();
    list.replaceChildren(...entries.map(item));
    list.hidden = entries.length === 0;
    html = "";
    try {
      if (entries.length > 0) {
        const made = await report(entries.map(({ file }) => file));
        if (mine !== turn) return;
        html = made;
      }
      said.textContent = entries.length === 0 ? "" : `The report of ${entries.length === 1 ? "one result" : `${entries.length} results`} is below.`;
    } catch (error) {
      if (mine !== turn) return;
      said.textContent = "";
      problem.show(error);
    }
    frame.show(html);
    show(html !== "", save, choose);
  }

  const ownOrNot = (): void => show(measured.results !== null, own, choose);

  choose.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length > 0) void comparison.add(files);
  });
  own.addEventListener("click", () => {
    if (measured.results !== null) void comparison.add([resultsFile(measured.results)]);
  });
  save.addEventListener("click", () => saveFile("fastweight-report.html", html, "text/html"));
  comparison.addEventListener("change", () => void arrange());
  measured.addEventListener("change", ownOrNot);
  ownOrNot();
  void measured.restore();
  void arrange();

  return el(
    "section",
    { class: "page compare-page", "aria-labelledby": "compare-title" },
    el("h1", { id: "compare-title" }, "Compare devices, drivers and browsers"),
    el("p", { class: "lead" }, "Lay results side by side and see where they differ by more than chance. They stay in this tab."),
    el(
      "div",
      { class: "compare-drop" },
      el("p", {}, "Drop files of results here, or choose them."),
      el("div", { class: "row" }, choose, own, input),
      el("p", { class: "hint" }, "They come from the page ", el("a", { href: "#/bench" }, "Bench"), ", from ", el("code", {}, "fastweight bench --out FILE"), " on the command line, or from the folder results/ of the repository."),
    ),
    bad,
    problem.element,
    list,
    el("div", { class: "row compare-row" }, said, save),
    frame.element,
  );
}
