/** What models are loaded from, and with. */

/** A file in memory or on disk, such as one that was dropped on a page. */
export type ModelFile = File;

/**
 * Which model: the name of one that ships with the project (`"ttt-linear-stories-6m"`), `"hf:org/name"` with an optional
 * `@revision` and `:file-or-quantisation` (`"hf:org/name:Q8_0"`), the URL of a `.gguf` or `.safetensors` file or of a folder with a
 * `config.json`, or the files themselves.
 */
export type ModelSource = string | URL | ModelFile | readonly ModelFile[];

/** Where a model runs. `"auto"` takes the GPU unless it is missing or slower than the CPU. */
export type DeviceChoice = "auto" | "webgpu" | "cpu";

/** How a device holds matrices; by default each as its file has it. */
export type DType = "f32" | "f16" | "bf16" | "q8_0" | "q4_0" | "q4_1";

/** What loading is at. */
export type Phase = "locate" | "download" | "check" | "load";

/** How far loading has come. */
export interface Progress {
  phase: Phase;
  /** The file, as its folder names it; empty in the phase `load`. */
  file: string;
  /** Bytes so far, and in all; `total` is 0 where a server doesn't tell. */
  loaded: number;
  total: number;
  /** Whether the bytes come from this browser's own storage. */
  fromCache: boolean;
}

export interface LoadOptions {
  device?: DeviceChoice;
  dtype?: DType;
  /** Positions that a session of a Transformer may have; models with a state of fixed size ignore it. */
  ctxSize?: number;
  /** Numbers in a Transformer's cache. */
  cacheType?: "f32" | "f16";
  /** Refuse a model that needs more bytes than this for weights, state and buffers. */
  memory?: number;
  /** Keep downloads in this browser's storage (OPFS) for the next time. Default: true. */
  cache?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** A folder URL where models that ship with the project lie. Default: `models/` beside the page. */
  modelsUrl?: string | URL;
}

/** What a device is. */
export interface DeviceInfo {
  /** `"cpu"`, or what the browser says of the adapter. */
  name: string;
  kind: "webgpu" | "cpu";
  /** Why it was chosen, in a sentence. */
  why: string;
  /** What would give a better one, if anything would. */
  fix: string | null;
}

/** What a model is and takes, from its header alone. */
export interface Inspection {
  name: string;
  /** `"ttt"`, `"llama"`, `"mamba"`, `"mamba2"`. */
  family: string;
  sizes: Record<string, string>;
  tensors: number;
  parameters: number;
  /** Bytes of all files that would be downloaded. */
  downloadBytes: number;
  /** Bytes on the device: weights, the state of one session, and buffers. */
  weightBytes: number;
  stateBytes: number;
  bufferBytes: number;
  /** Whether the model learns while it reads. */
  learns: boolean;
  /** Whether it is known to fit; `reason` says why not. */
  fits: boolean;
  reason: string | null;
}

/** A model in this browser's storage. */
export interface CachedModel {
  /** What {@link ModelSource} it was loaded by. */
  url: string;
  files: { name: string; bytes: number; complete: boolean }[];
  bytes: number;
  /** Milliseconds since 1970. */
  lastUsed: number;
}

/** What this browser can do. */
export interface Preflight {
  webgpu: boolean;
  /** What is missing, in a sentence; or which adapter there is. */
  reason: string;
  /** What to switch on, if that would help. */
  fix: string | null;
}

/**
 * How the next token is drawn, and when to stop: the options of `fastweight generate` in camelCase. After `model.restore`, how tokens are drawn is by default as the
 * state has it, seed included, so that a text goes on as if it had not stopped.
 */
export interface GenerateOptions {
  /** Tokens at most. Default: 256. */
  predict?: number;
  /** Temperature; 0 takes the likeliest token. Default: 0.8. */
  temp?: number;
  /** Keep this many of the likeliest; 0 keeps all. Default: 40. */
  topK?: number;
  /** Keep the smallest set of likeliest with this probability; 1 keeps all. Default: 0.95. */
  topP?: number;
  /** Keep those at least this likely in relation to the likeliest; 0 keeps all. Default: 0.05. */
  minP?: number;
  /** Make recent tokens less likely; 1 is off. Default: 1. */
  repeatPenalty?: number;
  /** How many tokens are recent, at most 256. Default: 64. */
  repeatLastN?: number;
  /** Seed of the random numbers, a non-negative safe integer. Default: a new one each time. */
  seed?: number;
  /** End the text before one of these. */
  stop?: string | readonly string[];
  /** Report so many of the likeliest tokens at each step. Default: 0. */
  logprobs?: number;
  signal?: AbortSignal;
}

/** What a drawn token gave. */
export interface Piece {
  /** Text that is now certain; may be empty. */
  text: string;
  /** The token; null for text that was held back until the end. */
  id: number | null;
  /** Natural logarithm of its probability, if `logprobs` is not 0. */
  logprob: number | null;
  /** The likeliest tokens, likeliest first, if `logprobs` is not 0. */
  top: { id: number; text: string; logprob: number }[];
}

/** Why a text ended: an end token, a stop string, the limit of tokens, or that the loop over its pieces was left. */
export type FinishReason = "end" | "stop" | "length" | "left";

export interface GenerateResult {
  text: string;
  finishReason: FinishReason;
  usage: {
    promptTokens: number;
    tokens: number;
    /** Milliseconds until the first token, and for all the others. */
    timeToFirstToken: number;
    decodeMilliseconds: number;
    /** Tokens a second, prompt and text; 0 where there was none to time. */
    prefillRate: number;
    decodeRate: number;
  };
  /** The seed that was used. */
  seed: number;
}

/** A text being written: pieces as they come, and the whole when it has ended. */
export interface Generation extends AsyncIterable<Piece> {
  /**
   * Resolves when the text has ended. Rejects if it failed or was aborted. Awaiting it without iterating writes the text too.
   */
  readonly result: Promise<GenerateResult>;
}

/** A token that was read. */
export interface ReadToken {
  id: number;
  /** Its text. A character of several tokens shows in its last. */
  text: string;
  /** Natural logarithm of its probability given all before it, negated; null for the first token of a session. */
  loss: number | null;
}

/** A mini-batch that was just learnt. */
export interface MiniBatch {
  /** Counted from the start of the session. */
  index: number;
  /** Position in the session of the first of `tokens`. */
  position: number;
  tokens: ReadToken[];
  /**
   * The inner loss before and after the step, `[layer][head]`, means over the tokens: ½‖LN(f(k; W)) − (v − k)‖². Empty for a model
   * that doesn't learn.
   */
  before: number[][];
  after: number[][];
  /** How far the fast weights are from their start: ‖W − W₀‖ / ‖W₀‖, `[layer][head]`. */
  moved: number[][];
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Called after each mini-batch. Costs some speed; without it nothing of it is computed. */
  onMiniBatch?: (miniBatch: MiniBatch) => void;
}

export interface ReadResult {
  tokens: ReadToken[];
  /** Losses of `tokens`, for plotting; NaN where there is none. */
  losses: Float32Array;
  /** Mean loss of those that have one, in nats a token. */
  meanLoss: number;
  milliseconds: number;
}

/** One matrix of a head's inner model, now and as it was learned in training, row by row. */
export interface FastMatrix {
  name: string;
  rows: number;
  columns: number;
  now: Float32Array;
  start: Float32Array;
}

/** How a message of a conversation is written down. */
export interface Message {
  role: "system" | "user" | "assistant" | (string & {});
  content: string;
}

/** One line of the conformance check: a kernel and how its variants did. */
export interface VerifyLine {
  kernel: string;
  cases: number;
  variants: string[];
  /** Variants that were not run in every case, because the driver would cut off their loops. */
  skipped: string[];
  /** The largest error as a share of its bound; over 1 is a failure. */
  worst: number;
  passed: boolean;
  failures: VerifyFailure[];
}

/** One variant that failed one case. */
export interface VerifyFailure {
  case: string;
  /** None if the case could not be run at all. */
  variant: string | null;
  /** The largest error, and the error allowed, as shares of the output's largest value. */
  error: number;
  bound: number;
  /** Where the error is: output, element, found and wanted. Or why it did not run. */
  at: string;
}

/** What a model has on the device. */
export interface ModelInfo {
  name: string;
  family: string;
  sizes: Record<string, string>;
  learns: boolean;
  /** Layers and heads with fast weights; 0 for a model that doesn't learn. */
  layers: number;
  heads: number;
  /** Tokens of a mini-batch; 0 for a model that doesn't learn. */
  miniBatch: number;
  vocabulary: number;
  /** Positions that a session may have; null without limit. */
  contextLimit: number | null;
  hasChatTemplate: boolean;
  device: DeviceInfo;
  weightBytes: number;
  stateBytes: number;
}
