/** The results of this browser's last run, kept over a reload, as far as the run came. */

import { readResults, type BenchResults } from "../lib/index";

const KEY = "fastweight-bench";

class Measured extends EventTarget {
  private last: BenchResults | null = null;

  get results(): BenchResults | null {
    return this.last;
  }

  keep(results: BenchResults): void {
    this.set(results);
    try {
      localStorage.setItem(KEY, JSON.stringify(results));
    } catch {
      // storage may be forbidden, or full: they are still on the page
    }
  }

  /** Looks for what an earlier visit kept. What another version kept is dropped. */
  async restore(): Promise<void> {
    try {
      const text = localStorage.getItem(KEY);
      if (text === null) return;
      const results = await readResults(text);
      if (this.last === null) this.set(results);
    } catch {
      try {
        localStorage.removeItem(KEY);
      } catch {
        // nothing was kept, then
      }
    }
  }

  private set(results: BenchResults): void {
    this.last = results;
    this.dispatchEvent(new Event("change"));
  }
}

export const measured = new Measured();

/** The device, as people call it: with the browser that it was seen through. */
export function deviceName({ device, system }: BenchResults): string {
  const name = device.kind === "cpu" ? "CPU" : device.name;
  return system.browser === null ? name : `${name} in ${system.browser}`;
}

/** The file that results are kept in. */
export function resultsFile(results: BenchResults): File {
  const stem = `${results.device.name} ${results.system.browser ?? results.device.backend} ${results.date}`.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return new File([`${JSON.stringify(results, null, 2)}\n`], `${stem}.json`, { type: "application/json" });
}

/** The middle of the samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
