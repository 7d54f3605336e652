/**
 * An engine with the face of OpenAI's API, and with the names that WebLLM has for it, so that code for either moves by one import:
 *
 * ```ts
 * import { CreateMLCEngine } from "fastweight/openai";
 * const engine = await CreateMLCEngine("ttt-linear-stories-6m", { initProgressCallback: ({ text }) => console.log(text) });
 * for await (const chunk of await engine.chat.completions.create({ messages, stream: true })) { … }
 * ```
 *
 * Models are named as everywhere in this package. What isn't supported is refused by name, never ignored.
 */

import { Model } from "./model";
import { Engine, readConfig, type EngineConfig } from "./openai/engine";
import type { ModelSource } from "./types";

export type { EngineConfig, InitProgressReport } from "./openai/engine";
export type * from "./openai/types";

/** An engine without a model yet: `reload` loads one. */
export class MLCEngine extends Engine {
  constructor(config: EngineConfig = {}) {
    super((source, options) => Model.load(source, options), readConfig({ ...config }));
  }
}

/** Loads a model. */
export async function CreateMLCEngine(source: ModelSource, config: EngineConfig = {}): Promise<MLCEngine> {
  const engine = new MLCEngine(config);
  await engine.reload(source);
  return engine;
}
