/** Starts the engine's worker from the package's own text, so that it works from a bundler and from another origin alike. */
import EngineWorker from "./worker?worker&inline";

export function spawn(): Worker {
  return new EngineWorker({ name: "fastweight" });
}
