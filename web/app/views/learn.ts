/** The page on which the model reads, and shows what it learns. */

import { el } from "../dom";
import { Figures } from "../figures";
import { Learning } from "../learning";
import { watch } from "../model";
import { askSection } from "./learn-ask";
import { keepSection } from "./learn-keep";
import { readPanel } from "./learn-read";

const LEARNS =
  "An ordinary model reads with weights that never change. This one takes a step of training on every few tokens that it reads; here you see what each step did.";
const STILL = "This is an ordinary model: it reads with weights that never change. Choose a TTT model, such as the one that ships, to watch one learn.";

export function learnView(): HTMLElement {
  const learning = new Learning();
  const figures = new Figures();
  const lead = el("p", { class: "lead" }, LEARNS);
  watch((state) => {
    if (state.kind === "ready") lead.textContent = state.model.info.learns ? LEARNS : STILL;
  });
  return el(
    "div",
    { class: "page learn-page" },
    el("h1", {}, "Watch it learn"),
    lead,
    el("div", { class: "learn-grid" }, readPanel(learning, figures), figures.element),
    askSection(learning),
    keepSection(learning),
  );
}
