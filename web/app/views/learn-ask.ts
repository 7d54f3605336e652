/** Read, then ask: the form and the comparison. */

import { button, el, field, show } from "../dom";
import { ask, type Answer, type Asked } from "../asking";
import { count, oneIn, times, visible } from "../format";
import type { Learning } from "../learning";
import { ready, watch } from "../model";
import { isAbort, ProblemPlace } from "../problems";
import { samples, sampleText, TALE } from "../samples";
import { Writer } from "../writer";
import { dialWords } from "./learn-read";
import type { Session } from "../../lib/index";

export function askSection(learning: Learning): HTMLElement {
  const text = el("textarea", { rows: 9, "data-testid": "ask-text", spellcheck: "false" });
  text.value = TALE;
  const lead = el("input", { type: "text", value: '"Good evening," said', autocomplete: "off", "data-testid": "ask-lead" });
  const phrase = el("input", { type: "text", value: "Mirabo", autocomplete: "off", "data-testid": "ask-phrase" });
  const other = el("select", { "data-testid": "ask-other" });
  for (const { id, title } of samples) other.append(el("option", { value: id }, title));
  other.value = "blaze";
  const go = button("Compare", { class: "primary", "data-testid": "ask-button" });
  const stop = button("Stop", { class: "primary", "data-testid": "ask-stop", hidden: true });
  const dialNote = el("p", { class: "hint" });
  const said = el("p", { class: "summary", role: "status", "data-testid": "ask-status" });
  const problem = new ProblemPlace();
  const result = el("div", { class: "answers", "data-testid": "ask-result", hidden: true });
  const writer = new Writer("What it writes after reading", "ask-output");
  const write = button("Write on from here", { "data-testid": "ask-write-on", hidden: true });
  show(false, writer.element);
  let running: AbortController | null = null;
  let kept: Session | null = null;
  let keptLead = "";

  const arrange = (): void => {
    const busy = running !== null;
    show(!busy, go, stop);
    show(busy || writer.busy, stop, go);
    show(kept !== null && !busy && !writer.busy, write, go);
    dialNote.hidden = learning.model !== null && !learning.model.info.learns;
    dialNote.textContent = `Learning is at ${dialWords(learning.scale)}. The dial above is for this too.`;
  };

  async function keep(session: Session | null): Promise<void> {
    const old = kept;
    kept = session;
    await old?.dispose();
  }

  async function start(): Promise<void> {
    if (running !== null || writer.busy) return;
    problem.clear();
    if (text.value.trim() === "" || lead.value.trim() === "" || phrase.value.trim() === "") {
      said.textContent = "It takes a text, a lead-in and a phrase.";
      return;
    }
    const controller = new AbortController();
    running = controller;
    const hadFocus = document.activeElement === go;
    show(false, writer.element);
    writer.clear();
    arrange();
    if (hadFocus) stop.focus();
    said.textContent = "It asks as soon as the model is here.";
    try {
      await keep(null);
      const model = await ready();
      const sample = samples.find(({ id }) => id === other.value) ?? samples[0];
      const question = { text: text.value, lead: lead.value, phrase: phrase.value, other: sample ? await sampleText(sample) : "", learning: learning.scale };
      const asked = await ask(model, question, controller.signal, (step) => (said.textContent = step));
      await keep(asked.session);
      keptLead = `\n\n${lead.value.trim()}`;
      said.textContent = "";
      result.replaceChildren(...picture(asked, phrase.value.trim(), sample?.title ?? "another text"));
      result.hidden = false;
    } catch (error) {
      said.textContent = isAbort(error) ? "Stopped." : "";
      problem.show(error);
    } finally {
      running = null;
      arrange();
    }
  }

  async function writeOn(): Promise<void> {
    if (kept === null) return;
    problem.clear();
    show(true, writer.element);
    const first = writer.text.text === "";
    const writing = writer.write(kept, first ? keptLead : "", { predict: 100 });
    arrange();
    stop.focus();
    try {
      await writing;
    } catch (error) {
      problem.show(error);
    } finally {
      arrange();
    }
  }

  go.addEventListener("click", () => void start());
  write.addEventListener("click", () => void writeOn());
  stop.addEventListener("click", () => {
    running?.abort();
    writer.stop();
  });
  learning.addEventListener("change", arrange);
  watch((state) => {
    if (state.kind !== "loading" || kept === null) return;
    running?.abort();
    writer.stop();
    kept = null;
    arrange();
  });
  arrange();

  return el(
    "section",
    { class: "band", "aria-labelledby": "ask-title" },
    el("h2", { id: "ask-title" }, "Read, then ask"),
    el(
      "p",
      { class: "lead" },
      "Mirabo is nobody: the name was made up for this tale. How likely does the model find it before it has read the tale, after, and after reading as much of something else?",
    ),
    el(
      "div",
      { class: "ask-form" },
      field("The text", text),
      el(
        "div",
        { class: "ask-fields" },
        field("Lead-in", lead, "What stands before the phrase when it is asked for."),
        field("Phrase", phrase, "How likely is it that exactly this comes next?"),
        field("The other text", other, "Cut to as many tokens, to tell remembering from warming up."),
        el("div", { class: "row" }, go, stop),
        dialNote,
      ),
    ),
    said,
    problem.element,
    result,
    el("div", { class: "row" }, write),
    writer.element,
  );
}

function picture(asked: Asked, phrase: string, other: string): HTMLElement[] {
  const { before, after, otherwise } = asked;
  const most = Math.max(-before.logprob, -after.logprob, -otherwise.logprob, 1e-6);
  const rows: [string, string, Answer, string][] = [
    ["before", "Before reading", before, "plain"],
    ["after", "After reading it", after, "accent"],
    ["other", `After ${other}, ${count(asked.otherLength)} tokens`, otherwise, "plain"],
  ];
  const gained = after.logprob - before.logprob;
  const better = after.logprob - otherwise.logprob;
  const than = (difference: number): string =>
    Math.abs(difference) < 0.05 ? "about as likely as" : (difference >= 0 ? `${times(difference)} times likelier than` : `${times(-difference)} times less likely than`);
  const headline = el(
    "p",
    { class: "headline", "data-testid": "ask-headline" },
    "After reading, ",
    el("q", {}, phrase),
    ` is ${than(gained)} before, and ${than(better)} after the other text.`,
  );
  const bars = el("ol", { class: "bars" });
  for (const [id, label, answer, kind] of rows) {
    const bar = el("span", { class: `bar ${kind}` });
    bar.style.width = `${((-answer.logprob / most) * 100).toFixed(2)}%`;
    const tokens = el("span", { class: "bar-tokens" });
    for (const token of answer.tokens) {
      tokens.append(el("span", { class: "bar-token" }, el("code", {}, visible(token.text)), ` ${token.loss === null ? "–" : oneIn(-token.loss)}`));
    }
    bars.append(
      el(
        "li",
        { "data-testid": `ask-${id}`, "data-logprob": answer.logprob },
        el("p", { class: "bar-head" }, el("span", {}, label), el("strong", {}, oneIn(answer.logprob)), el("span", { class: "hint" }, `${(-answer.logprob).toFixed(2)} nats`)),
        el("span", { class: "bar-track", "aria-hidden": true }, bar),
        tokens,
      ),
    );
  }
  return [
    headline,
    el("p", { class: "hint" }, `How surprising the phrase is after the lead-in, in nats: the shorter the bar, the better it is known. The text has ${count(asked.length)} tokens.`),
    bars,
  ];
}
