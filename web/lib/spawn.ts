/** Starts the engine's worker: a file beside this one. (The npm package holds it inline: see `spawn.inline.ts`.) */
export function spawn(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "fastweight" });
}
