/** What the page can call. */

import type { WireBenchOptions } from "../bench";
import { FastweightError } from "../errors";
import type { FetchOptions } from "../files";
import { cached, locate, remove } from "../files/locate";
import type { WireLoadOptions } from "../model";
import type { DeviceChoice, Inspection, Message, ModelInfo, ModelSource, Progress } from "../types";
import { checkResults, compare, inspect, Model, report, verify } from "../wasm/fastweight.js";
import type { Call } from "../worker";
import { runBench } from "./bench";
import { openDevice } from "./device";
import { Reopening } from "./reopening";
import { callSession, hold, release } from "./sessions";
import { engine, MOST_BYTES } from "./wasm";

/** A loaded model, and the sessions that it has opened. */
interface Loaded {
  model: Model;
  info: ModelInfo;
  sessions: Set<number>;
}

const models = new Map<number, Loaded>();

async function open(source: ModelSource, options: WireLoadOptions, call: Call, headersOnly: boolean): Promise<Reopening> {
  const how = (signal: AbortSignal, onProgress: (progress: Progress) => void): FetchOptions => ({
    cache: options.cache ?? true,
    headersOnly,
    modelsUrl: options.modelsUrl,
    signal,
    onProgress,
  });
  // Long after the call that loaded the model nobody listens any more.
  const again = () => locate(source, how(new AbortController().signal, () => {}));
  return new Reopening(await locate(source, how(call.signal, call.tell)), again);
}

/** What of the options the engine wants. */
function wanted({ dtype, ctxSize, cacheType, memory }: WireLoadOptions): string {
  return JSON.stringify({ dtype, ctxSize, cacheType, memory });
}

/** What people call a model: its weight file, if they named that, or its folder. */
function shortName(folder: Reopening): string {
  return folder.file ?? folder.name.replace(/\/+$/, "").split("/").pop() ?? folder.name;
}

const modelCalls: Record<string, (loaded: Loaded, ...args: never[]) => Promise<unknown>> = {
  session({ model, sessions }, handle: number) {
    return hold(sessions, handle, model.session());
  },

  restore({ model, sessions }, handle: number, bytes: Uint8Array) {
    const restored = async () => {
      const session = await model.session();
      await session.restore(bytes);
      return session;
    };
    return hold(sessions, handle, restored());
  },

  tokenize: async ({ model }, text: string) => JSON.parse(model.tokenize(text)),
  chatPrompt: async ({ model }, messages: Message[]) => model.chatPrompt(JSON.stringify(messages)),
  counters: async ({ model }) => JSON.parse(model.counters()),
  loseDevice: async ({ model }) => model.loseDevice(),
};

export const methods: Record<string, (call: Call, ...args: never[]) => Promise<unknown>> = {
  async load(call, handle: number, source: ModelSource, options: WireLoadOptions): Promise<ModelInfo> {
    await engine();
    call.tell({ phase: "locate", file: "", loaded: 0, total: 0, fromCache: false } satisfies Progress);
    const folder = await open(source, options, call, false);
    try {
      const { device, info: chosen } = await openDevice(options.device ?? "auto");
      call.signal.throwIfAborted();
      let told = 0;
      const onProgress = (loaded: number, total: number) => {
        const now = performance.now();
        if (now - told < 100 && loaded < total) return;
        told = now;
        call.tell({ phase: "load", file: "", loaded, total, fromCache: false } satisfies Progress);
      };
      const model = await Model.load(device, folder, wanted(options), onProgress);
      if (call.signal.aborted) {
        model.free();
        call.signal.throwIfAborted();
      }
      const info: ModelInfo = { ...JSON.parse(model.info()), name: shortName(folder), device: chosen };
      models.set(handle, { model, info, sessions: new Set() });
      return info;
    } finally {
      folder.close();
    }
  },

  async inspect(call, source: ModelSource, options: WireLoadOptions): Promise<Inspection> {
    await engine();
    const folder = await open(source, options, call, true);
    try {
      const found: Omit<Inspection, "downloadBytes" | "fits" | "reason"> = JSON.parse(await inspect(folder, wanted(options)));
      const needed = found.weightBytes + found.stateBytes + found.bufferBytes;
      const most = Math.min(MOST_BYTES, options.memory ?? Infinity);
      const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
      const reason = needed > most ? `it needs ${gigabytes(needed)}, and there are ${gigabytes(most)} at most` : null;
      const downloadBytes = [...folder.sizes.values()].reduce((sum, size) => sum + size, 0);
      return { ...found, name: shortName(folder), downloadBytes, fits: reason === null, reason };
    } finally {
      folder.close();
    }
  },

  cached: () => cached(),
  remove: (_, source: ModelSource) => remove(source),

  async model(_, handle: number, method: string, ...args: never[]): Promise<unknown> {
    const loaded = models.get(handle);
    if (!loaded) throw new FastweightError("disposed", "the model was disposed of");
    if (method === "dispose") {
      models.delete(handle);
      await release(loaded.sessions);
      loaded.model.free();
      return undefined;
    }
    const run = modelCalls[method];
    if (!run) throw new TypeError(`a model has no method ${method}`);
    return run(loaded, ...args);
  },

  session: callSession,

  async verify(call, choice: DeviceChoice, thorough: boolean): Promise<void> {
    await engine();
    const { device } = await openDevice(choice);
    try {
      await verify(device, thorough, (line: string) => {
        call.tell(JSON.parse(line));
        return !call.signal.aborted;
      });
      call.signal.throwIfAborted();
    } finally {
      device.free();
    }
  },

  async bench(call, options: WireBenchOptions) {
    await engine();
    return runBench(call, options);
  },

  async checkResults(_, file: string, text: string) {
    await engine();
    checkResults(file, text);
  },

  async report(_, files: [name: string, text: string][]) {
    await engine();
    return report(files.map(([name]) => name), files.map(([, text]) => text));
  },

  async compare(_, files: [name: string, text: string][], force: boolean) {
    await engine();
    return JSON.parse(compare(files.map(([name]) => name), files.map(([, text]) => text), force));
  },

  async memory() {
    const { memory } = await engine();
    let deviceBytes = 0;
    for (const { info, sessions } of models.values()) {
      if (info.device.kind === "webgpu") deviceBytes += info.weightBytes + sessions.size * info.stateBytes;
    }
    return { wasmBytes: memory.buffer.byteLength, deviceBytes };
  },
};
