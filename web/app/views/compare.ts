import { el } from "../dom";

export function compareView(): HTMLElement {
  return el(
    "section",
    { class: "page plain-page", "aria-labelledby": "compare-title" },
    el("h1", { id: "compare-title" }, "Compare"),
    el(
      "p",
      { class: "lead" },
      "Here you will lay reports of several devices, drivers and browsers side by side, and see where they differ by more than chance. It comes with the bench suite, which writes those reports and is not finished yet.",
    ),
  );
}
