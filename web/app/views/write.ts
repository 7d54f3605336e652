/** The page on which the model writes. */

import { button, el, show } from "../dom";
import { modelName, ready, watch } from "../model";
import { ProblemPlace } from "../problems";
import { Sampling } from "../sampling";
import { joined, placeholderFor, Writer } from "../writer";
import type { Model, Session } from "../../lib/index";

const LEARNS = [
  "A small model that learns while it writes",
  "Part of this model is a second, smaller model. With every token that it reads or writes, the smaller one takes a step of training.",
] as const;
const STILL = "Its weights stay as they are while it reads and writes. To see a model that learns meanwhile, choose the one that ships.";

export function writeView(): HTMLElement {
  const prompt = el("textarea", { id: "prompt", rows: 2, "data-testid": "prompt", "aria-describedby": "prompt-keys" });
  prompt.value = "Once upon a time";
  const write = button("Write", { class: "primary", "data-testid": "write-button" });
  const stop = button("Stop", { class: "primary", "data-testid": "stop-button", hidden: true });
  const over = button("Start over", { class: "quiet", "data-testid": "start-over", hidden: true });
  const waiting = el("p", { class: "hint", role: "status", "data-testid": "write-waiting" });
  const problem = new ProblemPlace();
  const writer = new Writer("The text so far", "output");
  const sampling = new Sampling();
  const label = el("label", { for: "prompt" }, "Begin a story");

  const title = el("h1", { id: "write-title" }, LEARNS[0]);
  const lead = el("p", { class: "lead" }, LEARNS[1]);
  let model: Model | null = null;
  let session: Session | null = null;
  let busy = false;
  let stopped: (() => void) | null = null;

  sampling.onShade = (on) => writer.shade(on);
  show(false, writer.element);

  const arrange = (): void => {
    const empty = writer.text.text === "" && !busy;
    show(!busy, write, stop);
    show(busy, stop, write);
    show(!empty, writer.element);
    show(!empty && !busy, over, prompt);
    write.textContent = empty ? "Write" : "Write on";
    label.textContent = empty ? "Begin a story" : "Go on with";
    prompt.placeholder = placeholderFor(empty);
  };

  async function start(): Promise<void> {
    if (busy) return;
    problem.clear();
    const words = prompt.value;
    if (words.trim() === "" && writer.text.text === "") {
      prompt.focus();
      waiting.textContent = "Type a few words first: the model goes on from them.";
      return;
    }
    busy = true;
    const hadFocus = document.activeElement === write;
    arrange();
    if (hadFocus) stop.focus();
    try {
      if (model === null) waiting.textContent = "It writes as soon as the model is here.";
      const pressed = new Promise<null>((resolve) => (stopped = () => resolve(null)));
      const loaded = model ?? (await Promise.race([ready(), pressed]));
      if (loaded === null) return;
      model = loaded;
      waiting.textContent = "";
      session ??= model.session();
      const given = joined(writer.text.text, writer.text.text === "" ? words : words.trimEnd());
      prompt.value = "";
      const writing = writer.write(session, given, sampling.options());
      arrange();
      await writing;
    } catch (error) {
      problem.show(error);
      if (prompt.value === "" && session !== null && session.length === 0) {
        prompt.value = words; // nothing was read of it
        writer.clear();
      }
    } finally {
      waiting.textContent = "";
      busy = false;
      writer.text.flush();
      arrange();
    }
  }

  function stopWriting(): void {
    stopped?.();
    writer.stop();
  }

  async function startOver(): Promise<void> {
    const old = session;
    session = null;
    const first = writer.text.all.find(({ given }) => given)?.text ?? "";
    writer.clear();
    prompt.value = first;
    problem.clear();
    arrange();
    prompt.focus();
    await old?.dispose();
  }

  write.addEventListener("click", () => void start());
  stop.addEventListener("click", () => stopWriting());
  over.addEventListener("click", () => void startOver());
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void start();
    }
  });
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && busy && document.querySelector("dialog[open]") === null) stopWriting();
  });

  watch((state) => {
    if (state.kind === "ready") {
      const { learns } = state.model.info;
      const name = modelName(state.source, state.model.info);
      title.textContent = learns ? LEARNS[0] : `${name}, writing in this tab`;
      lead.textContent = learns ? LEARNS[1] : STILL;
    }
    if (state.kind === "loading" && model !== null) {
      // another model: what was written stays to be read, the session is gone with the old one
      writer.stop();
      problem.clear();
      model = null;
      session = null;
      const first = writer.text.all.find(({ given }) => given)?.text ?? "";
      writer.clear();
      if (prompt.value === "") prompt.value = first;
      arrange();
    }
  });
  arrange();

  return el(
    "div",
    { class: "page write-page" },
    el(
      "section",
      { class: "write-main", "aria-labelledby": "write-title" },
      title,
      lead,
      writer.element,
      problem.element,
      el(
        "div",
        { class: "composer" },
        label,
        prompt,
        el("div", { class: "row" }, write, stop, over, el("span", { class: "hint keys", id: "prompt-keys" }, "Ctrl + Enter writes, Esc stops")),
      ),
      waiting,
    ),
    el("aside", { class: "side", "aria-labelledby": "how-title" }, el("h2", { id: "how-title" }, "How it writes"), sampling.element),
  );
}
