/** A text that grows: what was given and what the model writes, with its numbers. Pages bring the session. */

import { el } from "./dom";
import { bytes, count, milliseconds, rate } from "./format";
import { isAbort } from "./problems";
import { shadeLegend, ShadedText } from "./shaded-text";
import { memory, type FinishReason, type GenerateOptions, type GenerateResult, type Session } from "../lib/index";

const endings: Record<FinishReason, string> = {
  end: "by the model",
  stop: "at your stop text",
  length: "at the token limit",
  left: "by you",
};

const figures = ["Writing", "First token", "Read", "In the session", "Memory", "Seed", "Ended"] as const;
type Figure = (typeof figures)[number];

export class Writer {
  readonly element: HTMLElement;
  readonly text: ShadedText;
  private readonly values = new Map<Figure, HTMLElement>();
  private readonly said = el("p", { class: "sr", role: "status" });
  private readonly legend = shadeLegend();
  private running: AbortController | null = null;

  constructor(label: string, testId: string) {
    this.text = new ShadedText(label, testId, "Point at a token, or use the arrow keys, to see its numbers.", true);
    const list = el("dl", { class: "numbers", "data-testid": `${testId}-numbers` });
    for (const name of figures) {
      const value = el("dd", {}, "–");
      value.dataset["figure"] = name;
      this.values.set(name, value);
      list.append(el("div", {}, el("dt", {}, name), value));
    }
    this.element = el("div", { class: "writer" }, this.text.element, this.legend, this.text.readout, list, this.said);
    this.shade(false);
  }

  get busy(): boolean {
    return this.running !== null;
  }

  shade(on: boolean): void {
    this.element.classList.toggle("shading", on);
    this.legend.hidden = !on;
    this.text.readout.hidden = !on;
  }

  stop(): void {
    this.running?.abort();
  }

  clear(): void {
    this.text.clear();
    for (const value of this.values.values()) value.textContent = "–";
  }

  /** Gives `prompt` to the session and writes on. Rejects as the generation does; an abort is no failure. */
  async write(session: Session, prompt: string, options: GenerateOptions): Promise<GenerateResult | null> {
    const controller = new AbortController();
    this.running = controller;
    this.said.textContent = "Writing.";
    if (prompt !== "") this.text.append([{ text: prompt, loss: null, given: true }]);
    this.element.classList.add("writing");
    // drawn here, so that it is known of a text that is stopped too
    const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    this.set("Seed", String(seed));
    this.set("Ended", "–");
    const start = performance.now();
    let first = 0;
    let tokens = 0;
    let drawn = 0;
    try {
      const generation = session.generate(prompt, { ...options, seed, signal: controller.signal });
      generation.result.catch(() => {}); // the loop below throws the same
      for await (const piece of generation) {
        const now = performance.now();
        if (piece.id !== null) tokens += 1;
        if (first === 0) {
          first = now;
          this.set("First token", milliseconds(first - start));
        }
        this.text.append([{ text: piece.text, loss: piece.logprob === null ? null : -piece.logprob, top: piece.top }]);
        if (now - drawn > 200 && tokens > 1) {
          drawn = now;
          this.set("Writing", rate(((tokens - 1) * 1000) / (now - first)));
        }
      }
      const result = await generation.result;
      const { usage } = result;
      this.set("Writing", rate(usage.decodeRate));
      this.set("First token", milliseconds(usage.timeToFirstToken));
      this.set("Read", usage.prefillRate === 0 ? "–" : rate(usage.prefillRate));
      this.set("Ended", endings[result.finishReason]);
      this.said.textContent = `Written: ${count(usage.tokens)} tokens, ended ${endings[result.finishReason]}.`;
      return result;
    } catch (error) {
      if (!isAbort(error)) {
        this.said.textContent = "";
        throw error;
      }
      this.set("Ended", "by you");
      this.said.textContent = `Stopped after ${count(tokens)} tokens.`;
      return null;
    } finally {
      this.running = null;
      this.element.classList.remove("writing");
      this.text.flush();
      this.set("In the session", `${count(session.length)} tokens`);
      memory().then(
        ({ wasmBytes, deviceBytes }) => this.set("Memory", deviceBytes === 0 ? bytes(wasmBytes) : `${bytes(wasmBytes)}, GPU ${bytes(deviceBytes)}`),
        () => {},
      );
    }
  }

  private set(name: Figure, text: string): void {
    const value = this.values.get(name);
    if (value !== undefined) value.textContent = text;
  }
}

/** Words that join on: a space goes between unless one is there. */
export function joined(before: string, words: string): string {
  if (before === "" || words === "" || /\s$/.test(before) || /^[\s.,;:!?'")]/.test(words)) return words;
  return ` ${words}`;
}

export function placeholderFor(empty: boolean): string {
  return empty ? "How does the story begin?" : "Add words of your own, or leave this empty and let it write on";
}
