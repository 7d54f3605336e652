/** Reading a text, and watching the model learn on it. */

import { button, el, field, show } from "../dom";
import type { Figures } from "../figures";
import { count, milliseconds, rate } from "../format";
import type { Learning } from "../learning";
import { ready, watch } from "../model";
import { parts } from "../parts";
import { isAbort, ProblemPlace } from "../problems";
import { ReadingRecord } from "../record";
import { samples, sampleText } from "../samples";
import { shadeLegend, ShadedText } from "../shaded-text";
import type { Model, Session } from "../../lib/index";

export function dialWords(scale: number): string {
  if (scale === 0) return "0: frozen";
  return scale === 1 ? "1: as trained" : `${scale.toFixed(1)}: ${scale < 1 ? "weaker" : "stronger"} than trained`;
}

export function readPanel(learning: Learning, figures: Figures): HTMLElement {
  const text = el("textarea", { id: "learn-text", rows: 12, "data-testid": "learn-text", spellcheck: "false" });
  const credit = el("p", { class: "hint", "data-testid": "credit" });
  const dial = el("input", { type: "range", min: 0, max: 2, step: 0.1, value: 1, "data-testid": "learning-dial" });
  const dialValue = el("output", { class: "dial-value", "data-testid": "learning-value" }, dialWords(1));
  const dialField = field("Learning", dial, "Scales its steps. At 0 the fast weights stay as they are: it reads, and learns nothing.");
  dialField.querySelector("label")?.after(dialValue);
  const goOn = el("input", { type: "checkbox", id: "go-on", "data-testid": "go-on" });
  const goOnRow = el("div", { class: "check", hidden: true }, goOn, el("label", { for: "go-on" }, "Go on from what it has read so far"));
  const read = button("Read", { class: "primary", "data-testid": "read-button" });
  const stop = button("Stop", { class: "primary", "data-testid": "read-stop", hidden: true });
  const edit = button("Edit the text", { class: "quiet", "data-testid": "edit-text", hidden: true });
  const summary = el("p", { class: "summary", role: "status", "data-testid": "read-summary" });
  const bar = el("progress", { "aria-label": "Reading", hidden: true, max: 1 });
  const problem = new ProblemPlace();
  const shaded = new ShadedText("The text, shaded by how unexpected each token was", "read-text", "Point at a token, or use the arrow keys, to see its loss.", true);
  const chooser = el("fieldset", { class: "samples" }, el("legend", {}, "Which text"));
  const source = el("div", { class: "read-source" }, el("label", { class: "sr", for: "learn-text" }, "The text to read"), text, credit);
  const result = el("div", { class: "reader", hidden: true }, shaded.element, el("div", { class: "reader-foot" }, shadeLegend(), edit), shaded.readout);
  let running: AbortController | null = null;

  const choices = new Map<string, HTMLInputElement>();
  for (const { id, title } of [...samples, { id: "own", title: "Your own" }]) {
    const input = el("input", { type: "radio", name: "sample", value: id, id: `sample-${id}`, "data-testid": `sample-${id}` });
    choices.set(id, input);
    chooser.append(el("span", { class: "chip" }, input, el("label", { for: input.id }, title)));
    input.addEventListener("change", () => void choose(id));
  }

  function showSource(): void {
    show(false, result);
    show(true, source);
    show(false, edit);
  }

  async function choose(id: string): Promise<void> {
    showSource();
    const sample = samples.find((one) => one.id === id);
    credit.textContent = sample?.credit ?? "";
    if (sample === undefined) {
      text.select();
      text.focus();
      return;
    }
    try {
      const words = await sampleText(sample);
      if (choices.get(id)?.checked) text.value = words;
    } catch (error) {
      problem.show(error);
    }
  }

  const arrange = (): void => {
    const busy = running !== null;
    show(!busy, read, stop);
    show(busy, stop, read);
    read.disabled = learning.busy !== null && !busy;
    show(!busy && !result.hidden, edit, read);
    show(busy, bar);
    chooser.disabled = busy;
    show(learning.session !== null && learning.session.length > 0 && !busy, goOnRow);
    if (learning.session === null) goOn.checked = false;
  };

  async function session(model: Model): Promise<Session> {
    if (goOn.checked && learning.session !== null && learning.model === model) return learning.session;
    const fresh = model.session();
    await learning.take(model, fresh);
    return fresh;
  }

  async function start(): Promise<void> {
    if (running !== null || learning.busy !== null) return;
    problem.clear();
    const words = text.value.trim();
    if (words === "") {
      summary.textContent = "Paste a text first, or choose one of the samples.";
      edit.click();
      return;
    }
    const controller = new AbortController();
    running = controller;
    const hadFocus = document.activeElement === read;
    arrange();
    if (hadFocus) stop.focus();
    summary.textContent = "It reads as soon as the model is here.";
    try {
      const stopped = new Promise<never>((_, reject) => controller.signal.addEventListener("abort", () => reject(controller.signal.reason)));
      const model = await Promise.race([ready(), stopped]);
      stopped.catch(() => {});
      const using = await session(model);
      learning.busy = "read";
      await readInto(using, model, words, controller);
    } catch (error) {
      if (isAbort(error)) summary.textContent = "";
      else {
        summary.textContent = "";
        problem.show(error);
      }
    } finally {
      running = null;
      shaded.flush();
      learning.busy = null;
      arrange();
    }
  }

  async function readInto(using: Session, model: Model, words: string, controller: AbortController): Promise<void> {
    const start = using.length;
    const continued = start > 0 && !words.startsWith(" ") ? `\n\n${words}` : words;
    const record = new ReadingRecord(start);
    shaded.clear(continued);
    show(false, source, stop);
    show(true, result);
    if (model.info.learns) await using.setLearning(learning.scale);
    figures.start(record, model, (layer, head) => using.fastWeights(layer, head));
    summary.textContent = "Reading.";
    let chars = 0;
    let sum = 0;
    const began = performance.now();
    try {
      for (const part of model.info.learns ? await parts(model, continued) : [continued]) {
        const at = record.end;
        const { tokens } = await using.read(part, {
          signal: controller.signal,
          onMiniBatch: (batch) => {
            const fresh = record.addBatch(batch);
            shaded.append(fresh);
            for (const token of fresh) chars += token.text.length;
            bar.value = Math.min(1, chars / continued.length);
            figures.update();
          },
        });
        sum += tokens.length;
        const rest = record.addTokens(at, tokens);
        shaded.append(rest);
        for (const token of rest) chars += token.text.length;
        figures.update();
      }
      shaded.endRest();
      const taken = performance.now() - began;
      summary.textContent = `Read ${count(sum)} tokens in ${milliseconds(taken)} (${rate((1000 * sum) / taken)}). Mean loss ${record.meanLoss.toFixed(2)} nats a token: one among ${count(Math.exp(record.meanLoss))}, on average.`;
    } catch (error) {
      if (!isAbort(error)) throw error;
      summary.textContent = `Stopped after ${count(record.end)} tokens.`;
    } finally {
      figures.end();
    }
  }

  read.addEventListener("click", () => void start());
  stop.addEventListener("click", () => running?.abort());
  edit.addEventListener("click", () => {
    showSource();
    text.focus();
  });
  text.addEventListener("input", () => {
    const own = choices.get("own");
    if (own !== undefined) own.checked = true;
    credit.textContent = "";
  });
  dial.addEventListener("input", () => {
    learning.scale = Number(dial.value);
    dialValue.textContent = dialWords(learning.scale);
    learning.changed();
  });
  dial.addEventListener("change", () => {
    if (running === null && learning.model?.info.learns) learning.session?.setLearning(learning.scale).catch((error: unknown) => problem.show(error));
  });
  learning.addEventListener("change", arrange);
  watch((state) => {
    show(!(state.kind === "ready" && !state.model.info.learns), dialField);
    if (state.kind === "loading" && learning.session !== null) {
      running?.abort();
      figures.release();
      learning.drop();
    }
  });

  const [first] = samples;
  const firstChoice = first && choices.get(first.id);
  if (first && firstChoice) {
    firstChoice.checked = true;
    void choose(first.id);
  }
  arrange();

  return el(
    "div",
    { class: "read-panel" },
    chooser,
    el("div", { class: "read-controls" }, el("div", {}, read, stop), el("div", { class: "dial" }, dialField)),
    goOnRow,
    bar,
    summary,
    problem.element,
    source,
    result,
  );
}
