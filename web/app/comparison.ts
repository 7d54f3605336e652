/** The results that are laid side by side. */

import { readResults, type BenchResults } from "../lib/index";

export interface Compared {
  file: File;
  results: BenchResults;
}

class Comparison extends EventTarget {
  entries: readonly Compared[] = [];
  /** What is wrong with files of the last ones that were given. */
  problems: readonly unknown[] = [];

  /** Takes files; each that is none of results is a problem of its own. */
  async add(files: readonly File[]): Promise<void> {
    const read = await Promise.allSettled(files.map(async (file) => ({ file, results: await readResults(file) })));
    const good = read.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    this.problems = read.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    this.entries = [...this.entries, ...good];
    this.changed();
  }

  remove(entry: Compared): void {
    this.problems = [];
    this.entries = this.entries.filter((one) => one !== entry);
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

export const comparison = new Comparison();
