import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The style of the engine's reports, which stands in them: a page that shows one must allow it. */
const reportStyle = createHash("sha256")
  .update(readFileSync(join(import.meta.dirname, "..", "engine", "src", "bench", "report", "style.css")))
  .digest("base64");

/** What the site may do, for hosts that set no headers and for the tests. Models may come from anywhere; scripts, only from the site. */
export const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  `style-src 'self' 'sha256-${reportStyle}'`,
  "img-src 'self' data: blob:",
  "connect-src *",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
