/** The engine's module. */

import init, { type InitOutput } from "../wasm/fastweight.js";
import address from "../wasm/fastweight_bg.wasm?url";

/** The most that the 32-bit memory of a wasm module holds, less what the engine itself takes. */
export const MOST_BYTES = 3.5e9;

let module: Promise<InitOutput> | null = null;

/** The module, fetched and compiled once. */
export function engine(): Promise<InitOutput> {
  module ??= init({ module_or_path: source() });
  // What failed once (a network that was away) may work the next time.
  module.catch(() => (module = null));
  return module;
}

/** Its address; or, in the npm package, its bytes, which a `connect-src` without `data:` must not keep us from. */
function source(): URL | Uint8Array<ArrayBuffer> {
  const [head, body] = address.split(",", 2);
  if (head?.startsWith("data:") && body) return Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  return new URL(address, self.location.href);
}
