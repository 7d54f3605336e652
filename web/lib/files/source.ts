/** What all sources share. */

import { FileError } from "../errors";

/** Refuses a read that goes over the end. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > size) {
    throw new FileError("bad-file", `${name} is cut off: bytes ${offset} to ${offset + length} were wanted, and it has ${size}`);
  }
}

/** A number of bytes as people read it. */
export function bytes(count: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? count : count.toFixed(count < 10 ? 1 : 0)} ${units[unit]}`;
}

/** Lets the worker hear an abort in the midst of work that awaits nothing. */
export function breath(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** The last part of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether a file of this name holds weights. */
export function isWeights(name: string): boolean {
  return /\.(safetensors|gguf)$/i.test(name) || baseName(name).startsWith("streaming_");
}
