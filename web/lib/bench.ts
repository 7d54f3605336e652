/** Measuring this browser's device, and laying results side by side. */

import { Connection, connection } from "./connection";
import type { BenchComparison, BenchResults, BenchSection } from "./results";
import type { DeviceChoice } from "./types";

export interface BenchProgress {
  /** The section under way; null while the kernels are verified, before the first. */
  section: BenchSection | null;
  /** How much of it is done, 0 to 1. */
  done: number;
  /** What is being measured. */
  what: string;
}

/** The options of `fastweight bench` in camelCase; times are in seconds. */
export interface BenchOptions {
  /** Default: `"auto"`. */
  device?: DeviceChoice;
  /** Default: `["device", "kernels", "models", "forms"]`. */
  sections?: readonly BenchSection[];
  /** A short run that covers every kernel. Default: false. */
  quick?: boolean;
  /** Samples of each figure. Default: 10, and 3 if quick. */
  repetitions?: number;
  /** Rest before each sample. Default: 0. */
  delay?: number;
  /** Load before the first sample. Default: 0. */
  sustain?: number;
  /** Measure only kernels and models with one of these in their names. Default: all. */
  only?: readonly string[];
  /** Seed of the order of the samples and of random weights. Default: 1. */
  seed?: number;
  /** Leave out models that need more bytes than this. Default: what a wasm module may have on the CPU, 4 GB on a GPU. */
  memory?: number;
  onProgress?: (progress: BenchProgress) => void;
  /** Called with a sentence about what is left out, and why. */
  onNote?: (note: string) => void;
  /** Called with the results so far after each section, and before the promise is rejected: what was measured outlives an abort, an error, a closed tab. */
  onPartial?: (results: BenchResults) => void;
  signal?: AbortSignal;
}

/** What the worker hears of the options. */
export type WireBenchOptions = Omit<BenchOptions, "onProgress" | "onNote" | "onPartial" | "signal"> & Pick<BenchResults["system"], "power">;

/** What the page hears of a run. */
export type BenchEvent = BenchProgress | { note: string } | { partial: BenchResults };

/** What makes figures worthless: a browser slows down what it doesn't show. */
const HIDDEN = "the tab was hidden";

/** Measures a device, in a worker of its own. A tab that is hidden meanwhile makes the results invalid, and they say so. */
export async function bench({ onProgress, onNote, onPartial, signal, ...options }: BenchOptions = {}): Promise<BenchResults> {
  const onEvent = (event: BenchEvent) => {
    if ("partial" in event) onPartial?.(event.partial);
    else if ("note" in event) onNote?.(event.note);
    else onProgress?.(event);
  };
  const own = new Connection();
  let forget = (): void => {};
  const onStart = (tell: (event: string) => void) => (forget = whenHidden(() => tell(HIDDEN)));
  try {
    const wire: WireBenchOptions = { ...options, power: await power() };
    return await own.call("bench", [wire], { signal, onEvent, onStart });
  } finally {
    forget();
    own.close();
  }
}

/** Calls `tell` if the page is hidden, now or later. Returns how to stop that. */
function whenHidden(tell: () => void): () => void {
  // A worker that uses this package is never shown.
  if (typeof document === "undefined") return () => {};
  const look = () => {
    if (document.visibilityState === "hidden") tell();
  };
  look();
  document.addEventListener("visibilitychange", look);
  return () => document.removeEventListener("visibilitychange", look);
}

/** Where the power comes from, as far as the browser tells a page. */
async function power(): Promise<BenchResults["system"]["power"]> {
  const { getBattery } = navigator as { getBattery?: () => Promise<{ charging: boolean }> };
  try {
    const battery = await getBattery?.call(navigator);
    if (battery) return battery.charging ? "mains" : "battery";
  } catch {
    // A policy may forbid it.
  }
  return "unknown";
}

/** A file of results, its text, or what `bench` gave. */
export type ResultsSource = File | string | BenchResults;

async function named(source: ResultsSource, place: number): Promise<[name: string, text: string]> {
  if (source instanceof File) return [source.name, await source.text()];
  return [`result ${place + 1}`, typeof source === "string" ? source : JSON.stringify(source)];
}

/** Reads and checks results. Rejects with the code `bad-results`, naming the file and what is wrong with it. */
export async function readResults(source: File | string): Promise<BenchResults> {
  const [name, text] = await named(source, 0);
  await connection().call("checkResults", [name, text]);
  return JSON.parse(text) as BenchResults;
}

/** One page of HTML that shows results side by side, what differs between them, and whether that is more than chance. It needs nothing but itself. */
export async function report(results: readonly ResultsSource[]): Promise<string> {
  return connection().call("report", [await Promise.all(results.map(named))]);
}

/**
 * What changed from one result to another, beyond noise. Where both device and engine differ, which of them made it can't be told, and it is refused with
 * the code `bad-option` unless `force` is set.
 */
export async function compare(a: ResultsSource, b: ResultsSource, { force = false } = {}): Promise<BenchComparison> {
  return connection().call("compare", [await Promise.all([a, b].map(named)), force]);
}
