/** A text, token by token: each shaded by how unexpected it was, with its numbers under the pointer or the arrow keys. */

import { el, oncePerFrame } from "./dom";
import { oneIn, visible } from "./format";

export interface ShadedToken {
  text: string;
  /** Minus the natural logarithm of its probability; null where there is none. */
  loss: number | null;
  /** What else could have come, likeliest first. */
  top?: readonly { text: string; logprob: number }[];
  /** Typed by the user, not by the model. */
  given?: boolean;
}

/** Nats at which the shade is full. */
export const FULL = 8;
const STEPS = 8;

function shade(loss: number | null): string {
  if (loss === null || Number.isNaN(loss)) return "";
  return `s${Math.max(0, Math.min(STEPS, Math.round((loss / FULL) * STEPS)))}`;
}

/** The scale of the shades. */
export function shadeLegend(): HTMLElement {
  const steps = el("span", { class: "shade-steps", "aria-hidden": true });
  for (let step = 0; step <= STEPS; step += 1) steps.append(el("span", { class: `s${step}` }));
  return el("p", { class: "legend" }, el("span", {}, "expected"), steps, el("span", {}, "a surprise (1 in 3,000)"));
}

interface Paragraph {
  element: HTMLParagraphElement;
  rest: Text | null;
}

export class ShadedText {
  readonly element: HTMLElement;
  /** The numbers of one token. */
  readonly readout = el("p", { class: "readout", "aria-live": "polite" });
  private readonly tokens: ShadedToken[] = [];
  private readonly spans: HTMLSpanElement[] = [];
  private paragraphs: Paragraph[] = [];
  private at = 0;
  private chosen = -1;
  /** Nothing but white space so far. */
  private blank = true;
  private pending: ShadedToken[] = [];
  private readonly flushSoon = oncePerFrame(() => this.flush());

  constructor(
    label: string,
    testId: string,
    private readonly hint: string,
    /** Scroll so that what is new stays in view. */
    private readonly follow: boolean,
  ) {
    this.element = el("div", { class: "shaded", tabindex: 0, role: "group", "aria-label": label, "data-testid": testId });
    this.element.addEventListener("pointerover", (event) => {
      const index = this.spans.indexOf(event.target as HTMLSpanElement);
      if (index >= 0) this.choose(index);
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.readout.textContent = hint;
    this.clear();
  }

  /** Empties it; shows `rest` in grey, as what is still to come. */
  clear(rest = ""): void {
    this.pending = [];
    this.tokens.length = 0;
    this.spans.length = 0;
    this.chosen = -1;
    this.at = 0;
    this.blank = true;
    this.readout.textContent = this.hint;
    const parts = rest === "" ? [""] : (rest.match(/[^\n]*\n+|[^\n]+$/g) ?? [rest]);
    this.paragraphs = parts.map((part) => {
      const node = part === "" ? null : document.createTextNode(part);
      const element = el("p", {}, node && el("span", { class: "rest" }, node));
      return { element, rest: node };
    });
    this.element.replaceChildren(...this.paragraphs.map(({ element }) => element));
    this.element.scrollTop = 0;
  }

  get all(): readonly ShadedToken[] {
    return this.tokens;
  }

  get text(): string {
    return this.tokens.map(({ text }) => text).join("");
  }

  append(tokens: readonly ShadedToken[]): void {
    this.pending.push(...tokens);
    this.flushSoon();
  }

  /** Drops what is still to come. */
  endRest(): void {
    this.flush();
    this.paragraphs = this.paragraphs.slice(0, this.at + 1);
    for (const paragraph of this.paragraphs) {
      paragraph.rest?.parentElement?.remove();
      paragraph.rest = null;
    }
    this.element.replaceChildren(...this.paragraphs.map(({ element }) => element));
  }

  flush(): void {
    if (this.pending.length === 0) return;
    const nearEnd = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 80;
    for (const token of this.pending.splice(0)) this.put(token);
    const last = this.spans.at(-1);
    if (!this.follow || last === undefined) return;
    if (this.paragraphs[this.at]?.rest) {
      const below = last.offsetTop - this.element.scrollTop - this.element.clientHeight * 0.66;
      if (below > 0) this.element.scrollTop += below;
    } else if (nearEnd) {
      this.element.scrollTop = this.element.scrollHeight;
    }
  }

  private put(token: ShadedToken): void {
    const { text } = token;
    // a text that goes on from another may begin with a space or empty lines: there is nothing before them here
    const shown = this.blank && this.paragraphs[this.at]?.rest === null ? text.replace(/^\s+/, "") : text;
    if (shown.trim() !== "") this.blank = false;
    const span = el("span", { class: `tok ${token.given ? "given" : ""} ${shade(token.loss)}` }, shown);
    let paragraph = this.paragraphs[this.at];
    if (paragraph === undefined || (paragraph.rest === null && !this.blank && paragraph.element.hasChildNodes() && this.needsParagraph(text))) {
      paragraph = { element: el("p"), rest: null };
      this.element.append(paragraph.element);
      this.paragraphs.push(paragraph);
      this.at = this.paragraphs.length - 1;
    }
    const restElement = paragraph.rest?.parentElement ?? null;
    paragraph.element.insertBefore(span, restElement);
    this.tokens.push(token);
    this.spans.push(span);
    this.consume(text);
  }

  /** Whether a text that grows begins a paragraph: the last token ended a line, and this one does not. */
  private needsParagraph(text: string): boolean {
    const last = this.tokens.at(-1)?.text ?? "";
    return last.endsWith("\n") && text !== "" && !text.startsWith("\n");
  }

  private consume(text: string): void {
    let left = text;
    while (left !== "") {
      const paragraph = this.paragraphs[this.at];
      if (!paragraph?.rest) return;
      const { data } = paragraph.rest;
      const length = Math.min(left.length, data.length);
      if (data.slice(0, length) !== left.slice(0, length)) return; // not the text that was announced: leave the rest be
      paragraph.rest.deleteData(0, length);
      left = left.slice(length);
      if (paragraph.rest.data === "") {
        paragraph.rest.parentElement?.remove();
        paragraph.rest = null;
        if (this.at + 1 < this.paragraphs.length) this.at += 1;
      }
    }
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || this.spans.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(this.spans.length - 1, this.chosen + step)));
    this.spans[this.chosen]?.scrollIntoView({ block: "nearest" });
  }

  private choose(index: number): void {
    this.spans[this.chosen]?.classList.remove("chosen");
    this.chosen = index;
    this.spans[index]?.classList.add("chosen");
    const token = this.tokens[index];
    if (token === undefined) return;
    const said =
      token.loss === null
        ? token.given
          ? "yours"
          : "no probability was asked for"
        : `${oneIn(-token.loss)}, loss ${token.loss.toFixed(2)} nats`;
    const others = (token.top ?? [])
      .filter(({ text }) => text !== token.text)
      .slice(0, 4)
      .map(({ text, logprob }) => `“${visible(text)}” ${(100 * Math.exp(logprob)).toFixed(0)} %`);
    this.readout.replaceChildren(
      el("code", {}, visible(token.text)),
      ` ${said}${others.length > 0 ? `; instead: ${others.join(", ")}` : ""}`,
    );
  }
}
