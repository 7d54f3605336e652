/** The command line, as the tests compare the page with it. */

import { execFileSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** The file of the shipped model that the page loads. */
export const MODEL = join(root, "models", "ttt-linear-stories-6m", "ttt-linear-stories-6m.q8_0.gguf");

/** What `fastweight` prints on the CPU device, with the model that the page loads. */
export function fastweight(...args: string[]): string {
  const cargo = ["run", "--quiet", "--", "--device", "cpu", "--model", MODEL, "--quiet"];
  return execFileSync("cargo", [...cargo, ...args], { cwd: root, encoding: "utf8", maxBuffer: 64 << 20 });
}

export function fastweightJson<T>(...args: string[]): T[] {
  return fastweight("--json", ...args)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}
