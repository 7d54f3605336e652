/** Numbers as people read them. */

const plain = new Intl.NumberFormat("en");

export function count(value: number): string {
  return plain.format(Math.round(value));
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${Math.round(value) === 1 ? one : many}`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${Math.round(value)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${scaled < 99.95 ? scaled.toFixed(1) : scaled.toFixed(0)} ${units[unit]}`;
}

export function parameters(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} billion`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e8 ? 0 : 1)} million`;
  return count(value);
}

export function milliseconds(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function rate(tokensPerSecond: number): string {
  if (!Number.isFinite(tokensPerSecond)) return "–";
  return `${tokensPerSecond < 10 ? tokensPerSecond.toFixed(1) : count(tokensPerSecond)} tokens/s`;
}

/** Two or three digits that matter, without an exponent where it can be avoided. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000) return count(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01) return value.toFixed(size >= 1 ? 2 : 3);
  return value.toExponential(1).replace("e-", " × 10⁻").replace(/⁻(\d+)$/, (_, digits: string) => `⁻${superscript(digits)}`);
}

/** “1 in 3,400”: the chance of something with this natural logarithm. */
export function oneIn(logprob: number): string {
  return `1 in ${big(Math.exp(-logprob))}`;
}

/** “27 times”, from a difference of logarithms. */
export function times(difference: number): string {
  return big(Math.exp(difference));
}

function big(value: number): string {
  if (!Number.isFinite(value)) return "more than can be counted";
  if (value < 9.95) return value.toFixed(1);
  if (value < 1e6) return count(Number(value.toPrecision(value < 100 ? 2 : 3)));
  for (const [size, name] of [
    [1e15, ""],
    [1e12, "trillion"],
    [1e9, "billion"],
    [1e6, "million"],
  ] as const) {
    if (value < size) continue;
    if (name === "") break;
    const scaled = value / size;
    return `${scaled < 10 ? scaled.toFixed(1) : count(scaled)} ${name}`;
  }
  const exponent = Math.floor(Math.log10(value));
  return `${(value / 10 ** exponent).toFixed(1)} × 10${superscript(String(exponent))}`;
}

function superscript(digits: string): string {
  return digits.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)] ?? "");
}

/** A token's text with what can't be seen made visible. */
export function visible(text: string): string {
  return text === "" ? "(part of a character)" : text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
}

export function ago(time: number): string {
  const minutes = (Date.now() - time) / 60_000;
  if (minutes < 2) return "just now";
  if (minutes < 90) return `${Math.round(minutes)} minutes ago`;
  if (minutes < 36 * 60) return `${Math.round(minutes / 60)} hours ago`;
  return `${Math.round(minutes / 60 / 24)} days ago`;
}

function scaled(value: number, units: readonly (readonly [number, string])[]): string {
  const last = units.length - 1;
  const [size, unit] = units.find(([size], index) => Math.abs(value) >= size * 0.9995 || index === last) ?? [1, ""];
  return `${short(value / size)} ${unit}`;
}

export function seconds(value: number): string {
  return scaled(value, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]);
}

/** Bytes a second, in powers of 1000 as makers of memory count. */
export function bandwidth(value: number): string {
  return scaled(value, [[1e12, "TB/s"], [1e9, "GB/s"], [1e6, "MB/s"]]);
}

/** Floating-point operations a second. */
export function operations(value: number): string {
  return scaled(value, [[1e12, "TFLOP/s"], [1e9, "GFLOP/s"], [1e6, "MFLOP/s"]]);
}

/** The size of a working set: a power of two mostly. */
export function workingSet(value: number): string {
  return scaled(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]).replace(/\.0+ /, " ");
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(Math.abs(share) < 0.0995 ? 1 : 0)} %`;
}

/** How long something takes, roughly. */
export function roughly(seconds: number): string {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `about ${Math.ceil(seconds / 5) * 5} seconds`;
  if (seconds < 90 * 60) return `about ${plural(Math.round(seconds / 60), "minute")}`;
  return `about ${plural(Math.round(seconds / 3600), "hour")}`;
}
