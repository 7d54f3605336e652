/** Bundles a script for a test's page. */

import { fileURLToPath } from "node:url";
import { build } from "vite";

/** The code of `tests/pages/<name>`, with all that it imports. */
export async function bundle(name: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: "warn",
    build: {
      write: false,
      minify: false,
      target: "esnext",
      lib: { entry: fileURLToPath(new URL(`pages/${name}`, import.meta.url)), formats: ["es"] },
    },
  });
  const [output] = Array.isArray(result) ? result : [result];
  if (!output || !("output" in output)) {
    throw new Error(`${name} was not built`);
  }
  return output.output[0].code;
}
