import { el } from "../dom";

export function benchView(): HTMLElement {
  return el(
    "section",
    { class: "page plain-page", "aria-labelledby": "bench-title" },
    el("h1", { id: "bench-title" }, "Bench"),
    el(
      "p",
      { class: "lead" },
      "Here this page will measure your device: how fast it reads memory and multiplies, how close each kernel comes to that, and how many tokens a second the models read and write. It comes with the bench suite, which is not finished yet.",
    ),
  );
}
