/** Results of devices that don't exist (tests/fixtures/bench), as values and as files for a page. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResults } from "../lib/index";

type Name = "before" | "after" | "software";

export function madeFile(name: Name): string {
  return join(import.meta.dirname, "..", "..", "tests", "fixtures", "bench", `made-${name}.json`);
}

export function madeResults(name: Name): BenchResults {
  return JSON.parse(readFileSync(madeFile(name), "utf8")) as BenchResults;
}

/** A file with this in it. */
export function resultsFile(name: string, content: unknown): { name: string; mimeType: string; buffer: Buffer } {
  return { name, mimeType: "application/json", buffer: Buffer.from(typeof content === "string" ? content : JSON.stringify(content)) };
}
