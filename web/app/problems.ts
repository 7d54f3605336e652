/** What goes wrong, told: what happened, what to do, and the page goes on. */

import { add, button, el } from "./dom";
import { FastweightError, type ErrorCode } from "../lib/index";

const advice: Record<ErrorCode, string> = {
  "no-webgpu": "Choose the device “Automatic” or “CPU”, or use a browser with WebGPU.",
  "device-lost": "Load the model again; if it happens again, choose the CPU as the device.",
  "out-of-memory": "Close other tabs, choose a smaller model, or hold its weights in q8_0 or q4_0.",
  shader: "Choose the CPU as the device, and please report this with the name of your browser and GPU.",
  "not-found": "Check the name or the address.",
  network: "Check the connection and the address; or download the file yourself and drop it here.",
  "web-page": "The address leads to a web page. Use the link that downloads the file itself.",
  http: "The server refused. Try again later, or download the file and drop it here.",
  "storage-full": "Remove a model from this browser's storage, or free some space.",
  checksum: "The download was damaged. Try again.",
  "bad-file": "Download or convert the file again. Fastweight takes .gguf files, and folders with config.json and .safetensors.",
  "unknown-architecture": "Fastweight runs TTT, Llama-like Transformers, Mamba and Mamba-2.",
  "bad-state": "Load the state into the model that it was saved from.",
  "bad-results": "Choose a file that “fastweight bench --out FILE” or the page Bench of this version has written.",
  "bad-option": "Change the option and try again.",
  "empty-prompt": "Type a few words first.",
  "context-full": "Start over: this kind of model can hold only so many tokens at once.",
  "missing-part": "Choose a model that comes with it.",
  "in-use": "Close the other tab that uses it, and try again.",
  disposed: "Start over.",
  internal: "Start over or load the page again. It is a fault of ours: please report it.",
};

/** Someone pressed Stop, or something else took over: not a problem. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export interface Problem {
  code: ErrorCode;
  message: string;
  advice: string;
}

export function problem(error: unknown): Problem {
  const code = error instanceof FastweightError ? error.code : "internal";
  const message = error instanceof Error && error.message !== "" ? error.message : String(error);
  return { code, message: capitalised(message), advice: advice[code] };
}

/** A message begins like a sentence, unless it begins with a name or an address. */
function capitalised(message: string): string {
  return /^[a-z']+ /.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
}

/** A problem as a box to put beside what caused it. */
export function problemBox(error: unknown): HTMLElement {
  const { code, message, advice } = problem(error);
  return el(
    "div",
    { class: "problem", "data-testid": "problem", "data-code": code },
    el("p", { class: "problem-message" }, message),
    el("p", {}, advice),
  );
}

/** A place for problems: shows one, or none. Says it to a screen reader at once. */
export class ProblemPlace {
  readonly element = el("div", { role: "alert" });
  show(error: unknown): void {
    this.element.replaceChildren();
    if (!isAbort(error)) add(this.element, problemBox(error));
  }
  clear(): void {
    this.element.replaceChildren();
  }
}

/** Shows a problem that has no place of its own. */
export function toast(error: unknown): void {
  if (isAbort(error)) return;
  const place = document.getElementById("toasts");
  if (place === null) return;
  const box = el("div", { class: "toast", role: "alert" });
  place.append(box);
  add(box, problemBox(error), button("Close", { class: "quiet", onclick: () => box.remove() }));
  while (place.childElementCount > 3) place.firstElementChild?.remove();
}
