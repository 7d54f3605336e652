/**
 * Fastweight in the browser: models that learn while they read.
 *
 * ```ts
 * const model = await Model.load("ttt-linear-stories-6m");
 * const session = model.session();
 * await session.read("The old king called his three sons and said"); // it learns on this
 * for await (const { text } of session.generate("", { predict: 60 })) console.log(text);
 * ```
 */

import { connection } from "./connection";
import type { DeviceChoice, VerifyLine } from "./types";

export { bench, compare, readResults, report, type BenchOptions, type BenchProgress, type ResultsSource } from "./bench";
export { DeviceError, DownloadError, FastweightError, FileError, type ErrorCode } from "./errors";
export { Model } from "./model";
export { preflight } from "./preflight";
export type * from "./results";
export { Session } from "./session";
export type * from "./types";

export interface VerifyOptions {
  device?: DeviceChoice;
  /** Every case, and not only the small ones that are for every start. */
  thorough?: boolean;
  onKernel?: (line: VerifyLine) => void;
  signal?: AbortSignal;
}

/** The conformance check: every kernel, in every variant that the device can run, against the CPU's reference. */
export async function verify({ device = "webgpu", thorough = false, onKernel, signal }: VerifyOptions = {}): Promise<VerifyLine[]> {
  const lines: VerifyLine[] = [];
  const onEvent = (line: VerifyLine) => {
    lines.push(line);
    onKernel?.(line);
  };
  await connection().call("verify", [device, thorough], { signal, onEvent });
  return lines;
}

/** Bytes that the engine holds: its own memory, and buffers of the GPU. */
export function memory(): Promise<{ wasmBytes: number; deviceBytes: number }> {
  return connection().call("memory", []);
}
