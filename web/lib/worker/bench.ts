/** Measuring: what the engine asks of the page, and what the page hears of it. */

import type { BenchEvent, WireBenchOptions } from "../bench";
import { readUserAgent } from "../preflight";
import type { BenchResults, BenchSection, BenchSettings } from "../results";
import { bench } from "../wasm/fastweight.js";
import type { Call } from "../worker";
import { adapterInfo, openDevice } from "./device";
import { MOST_BYTES } from "./wasm";

/** What the engine measures by: `Request` in `src/bench.rs`. */
interface BenchRequest {
  settings: BenchSettings;
  sections: readonly BenchSection[];
  system: BenchResults["system"];
  memory: number;
}

/** Who watches the engine. */
export interface BenchObserver {
  begins(section: BenchSection): void;
  progress(done: number, what: string): void;
  cancelled(): boolean;
  disturbed(): string | null;
  note(text: string): void;
  partial(results: string): void;
}

/** Systems and browsers as the results name them. */
const SYSTEMS = { windows: "windows", mac: "macos", ios: "ios", linux: "linux", android: "android", other: "unknown" } as const;
const BROWSERS = { chrome: "Chromium", firefox: "Firefox", safari: "Safari", other: "another browser" } as const;

/** No browser tells how much memory a GPU has: what few have less than. */
const GPU_BYTES = 4e9;

function system(power: BenchResults["system"]["power"]): BenchResults["system"] {
  const { name, version, system } = readUserAgent(navigator.userAgent);
  const browser = name === "other" ? BROWSERS.other : `${BROWSERS[name]} ${version}`;
  return { os: SYSTEMS[system], arch: "wasm32", browser, flags: {}, threads: 1, power, clock_mhz: null };
}

export async function runBench(call: Call, { device: choice = "auto", power, ...options }: WireBenchOptions): Promise<BenchResults> {
  const { quick = false, repetitions = quick ? 3 : 10, delay = 0, sustain = 0, only = [], seed = 1 } = options;
  const { device } = await openDevice(choice);
  const request: BenchRequest = {
    settings: { quick, repetitions, delay, sustain, only: [...only], seed },
    sections: options.sections ?? ["device", "kernels", "models", "forms"],
    system: system(power),
    memory: options.memory ?? (device.isCpu ? MOST_BYTES : GPU_BYTES),
  };
  const adapter = device.isCpu ? undefined : await adapterInfo();
  /** The engine hears of an adapter's name only what the browser calls its description, which is mostly nothing. */
  const named = (text: string): BenchResults => {
    const results: BenchResults = JSON.parse(text);
    results.device.name ||= adapter?.device || adapter?.architecture || adapter?.vendor || "WebGPU";
    results.device.vendor ||= adapter?.vendor ?? "";
    return results;
  };
  let section: BenchSection | null = null;
  let told = -Infinity;
  const observer: BenchObserver = {
    begins(next) {
      section = next;
      told = -Infinity;
    },
    progress(done, what) {
      const now = performance.now();
      // Messages to the page are work, too.
      if (now - told < 100) return;
      told = now;
      call.tell({ section, done, what } satisfies BenchEvent);
    },
    cancelled: () => call.signal.aborted,
    disturbed: () => call.heard[0] ?? null,
    note: (note) => call.tell({ note } satisfies BenchEvent),
    partial: (results) => call.tell({ partial: named(results) } satisfies BenchEvent),
  };
  try {
    return named(await bench(device, JSON.stringify(request), observer));
  } finally {
    device.free();
  }
}
