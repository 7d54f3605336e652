/** Says in a window, or a worker, what `preflight.spec.ts` asks for. */

import { preflight } from "../../lib/preflight";

declare global {
  interface Window {
    preflight: typeof preflight;
  }
}

if ("document" in globalThis) {
  window.preflight = preflight;
} else {
  preflight().then((found) => postMessage(found));
}
