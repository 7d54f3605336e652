/** The page's colours, as canvases want them: resolved for the present theme. */

import { themeChanged } from "../theme";

export type Colour = "ink" | "ink-soft" | "line" | "surface" | "accent" | "accent-faint" | "accent-band" | "surprise" | "surprise-faint" | "less" | "nothing" | "more";

const cache = new Map<Colour, string>();
let probe: HTMLElement | null = null;
themeChanged.addEventListener("change", () => cache.clear());

export function colour(name: Colour): string {
  let value = cache.get(name);
  if (value === undefined) {
    if (probe === null) {
      probe = document.createElement("i");
      probe.hidden = true;
      document.body.append(probe);
    }
    probe.style.color = `var(--${name})`;
    value = getComputedStyle(probe).color;
    cache.set(name, value);
  }
  return value;
}

/** Red, green and blue of an opaque colour. */
export function channels(name: Colour): [number, number, number] {
  const [red = 0, green = 0, blue = 0] = (colour(name).match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue];
}

export const FONT = '12px -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';
