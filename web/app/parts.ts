/** A text in parts, so that there is a moment between them to look at what was learnt. */

import type { Model } from "../lib/index";

/** Characters of a part, about 250 tokens. */
const PART = 1000;

/**
 * Parts that have together exactly the tokens of the whole: to a model, reading them one after the other is the same as reading the
 * text at once. A text that can't be cut so comes back whole.
 */
export async function parts(model: Model, text: string): Promise<string[]> {
  const cut: string[] = [];
  let from = 0;
  while (text.length - from > PART * 1.5) {
    const space = text.slice(from + PART, from + 2 * PART).search(/\w \w/);
    if (space < 0) break;
    const to = from + PART + space + 1;
    cut.push(text.slice(from, to));
    from = to;
  }
  cut.push(text.slice(from));
  const whole = await model.tokenize(text);
  let at = 0;
  for (const [index, part] of cut.entries()) {
    const tokens = await model.tokenize(part);
    // what a tokenizer puts before every text stands before the first part only
    const opening = index === 0 ? 0 : [0, 1, 2].find((skip) => tokens.slice(skip).every(({ id }, place) => id === whole[at + place]?.id));
    if (opening === undefined || tokens.length === opening) return [text];
    at += tokens.length - opening;
  }
  return at === whole.length ? cut : [text];
}
