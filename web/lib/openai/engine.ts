/** The engine: requests one after the other, on one model. */

import { abortError, FastweightError } from "../errors";
import type { LoadOptions, ModelSource, Piece, Progress } from "../types";
import { Conversation, type ChatModel, type Written } from "./conversation";
import { messagesOf, promptOf, readChat, readCompletion, refused, type Wanted } from "./request";
import { chatLogprobs, completionLogprobs, finishOf, head, usageOf } from "./responses";
import type { ChatChunk, ChatCompletion, ChatRequest, Completion, CompletionRequest, Finish, Usage } from "./types";

export interface InitProgressReport {
  /** 0 to 1. */
  progress: number;
  /** Seconds. */
  timeElapsed: number;
  text: string;
}

/** How to load models, and whom to tell. `onProgress` is the package's own. */
export interface EngineConfig extends LoadOptions {
  initProgressCallback?: (report: InitProgressReport) => void;
}

export type Load = (source: ModelSource, options?: LoadOptions) => Promise<ChatModel>;

/** Overloads of `create`: with `stream: true` it gives chunks. */
interface Create<Request, Whole, Chunk> {
  (request: Request & { stream: true }): Promise<AsyncIterable<Chunk>>;
  (request: Request & { stream?: false | null }): Promise<Whole>;
  (request: Request): Promise<AsyncIterable<Chunk> | Whole>;
}

export class Engine {
  readonly chat: { completions: { create: Create<ChatRequest, ChatCompletion, ChatChunk> } };
  readonly completions: { create: Create<CompletionRequest, Completion, Completion> };
  private loaded: { model: ChatModel; conversation: Conversation; name: string } | null = null;
  private interruption: AbortController | null = null;
  private message = "";
  private turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly load: Load,
    private readonly config: EngineConfig = {},
  ) {
    const chat = async (request: ChatRequest) => (request.stream ? this.chatChunks(request) : this.chatWhole(request));
    const completion = async (request: CompletionRequest) => (request.stream ? this.completionChunks(request) : this.completionWhole(request));
    this.chat = { completions: { create: chat as Create<ChatRequest, ChatCompletion, ChatChunk> } };
    this.completions = { create: completion as Create<CompletionRequest, Completion, Completion> };
  }

  setInitProgressCallback(callback: (report: InitProgressReport) => void): void {
    this.config.initProgressCallback = callback;
  }

  /** Loads a model in place of the one that is loaded. */
  async reload(source: ModelSource): Promise<void> {
    await this.unload();
    const { initProgressCallback, ...options } = this.config;
    const start = performance.now();
    const tell = (progress: number, text: string) =>
      this.config.initProgressCallback?.({ progress, timeElapsed: (performance.now() - start) / 1000, text });
    const onProgress = (progress: Progress) => {
      tell(...share(progress));
      options.onProgress?.(progress);
    };
    const model = await this.load(source, { ...options, onProgress });
    const name = typeof source === "string" || source instanceof URL ? String(source) : model.info.name;
    this.loaded = { model, conversation: new Conversation(model), name };
    tell(1, `${name} is loaded`);
  }

  async unload(): Promise<void> {
    this.interruptGenerate();
    await this.inTurn(async () => {
      const { loaded } = this;
      this.loaded = null;
      await loaded?.conversation.dispose();
      await loaded?.model.dispose();
    });
  }

  /** Forgets the conversation. */
  async resetChat(): Promise<void> {
    await this.inTurn(async () => {
      this.message = "";
      await this.loaded?.conversation.reset();
    });
  }

  /** Ends the text that is being written; what there is of it is the answer, with the finish reason `abort`. */
  interruptGenerate(): void {
    this.interruption?.abort();
  }

  /** The last text that was written. */
  async getMessage(): Promise<string> {
    return this.message;
  }

  private current() {
    if (!this.loaded) {
      throw new FastweightError("disposed", "no model is loaded: call reload first");
    }
    return this.loaded;
  }

  private async chatWhole(request: ChatRequest): Promise<ChatCompletion> {
    const { name, conversation } = this.current();
    const wanted = readChat(request, name);
    const messages = messagesOf(request);
    const { pieces, text, finish, usage } = await collect(this.write(wanted, () => conversation.prompt(messages), true));
    const logprobs = chatLogprobs(pieces, wanted.logprobs);
    const message = { role: "assistant", content: text, refusal: null } as const;
    return { ...head("chat.completion", name), choices: [{ index: 0, message, logprobs, finish_reason: finish }], usage };
  }

  private chatChunks(request: ChatRequest): AsyncGenerator<ChatChunk, void, void> {
    const { name, conversation } = this.current();
    const wanted = readChat(request, name);
    const messages = messagesOf(request);
    const start = head("chat.completion.chunk", name);
    const usage = wanted.includeUsage ? { usage: null } : {};
    const chunk = (delta: ChatChunk["choices"][0]["delta"], pieces: Piece[], finish: Finish | null): ChatChunk => {
      const logprobs = pieces.length > 0 ? chatLogprobs(pieces, wanted.logprobs) : null;
      return { ...start, choices: [{ index: 0, delta, logprobs, finish_reason: finish }], ...usage };
    };
    const written = this.write(wanted, () => conversation.prompt(messages), true);
    return (async function* () {
      const ended = yield* pass(written, chunk({ role: "assistant", content: "" }, [], null), (piece) =>
        piece.text === "" && wanted.logprobs === null ? null : chunk({ content: piece.text }, [piece], null),
      );
      yield chunk({}, [], ended.finish);
      if (wanted.includeUsage) {
        yield { ...start, choices: [], usage: ended.usage };
      }
    })();
  }

  private async completionWhole(request: CompletionRequest): Promise<Completion> {
    const { name } = this.current();
    const wanted = readCompletion(request, name);
    const prompt = promptOf(request);
    const { pieces, text, finish, usage } = await collect(this.write(wanted, async () => prompt, false));
    const logprobs = completionLogprobs(pieces, wanted.logprobs, 0);
    const choice = { index: 0, text: (request.echo ? prompt : "") + text, logprobs, finish_reason: finish } as const;
    return { ...head("text_completion", name), choices: [choice], usage };
  }

  private completionChunks(request: CompletionRequest): AsyncGenerator<Completion, void, void> {
    const { name } = this.current();
    const wanted = readCompletion(request, name);
    const prompt = promptOf(request);
    const start = head("text_completion", name);
    const usage = wanted.includeUsage ? { usage: null } : {};
    let offset = 0;
    const chunk = (text: string, pieces: Piece[], finish: Finish | null): Completion => {
      const logprobs = pieces.length > 0 ? completionLogprobs(pieces, wanted.logprobs, offset) : null;
      offset += text.length;
      return { ...start, choices: [{ index: 0, text, logprobs, finish_reason: finish }], ...usage };
    };
    const written = this.write(wanted, async () => prompt, false);
    return (async function* () {
      const ended = yield* pass(written, request.echo ? chunk(prompt, [], null) : null, (piece) =>
        piece.text === "" && wanted.logprobs === null ? null : chunk(piece.text, [piece], null),
      );
      yield chunk("", [], ended.finish);
      if (wanted.includeUsage) {
        yield { ...start, choices: [], usage: ended.usage };
      }
    })();
  }

  /** Writes when it is this request's turn, which begins when the first piece is asked for. */
  private async *write(wanted: Wanted, prompt: () => Promise<string>, goOn: boolean): AsyncGenerator<Piece, Ended, void> {
    const done = await this.nextTurn();
    const interruption = (this.interruption = new AbortController());
    // Whoever stops listening doesn't want the rest; and a prompt that is being read can't be interrupted otherwise.
    const abandoned = new AbortController();
    let begun = false;
    interruption.signal.addEventListener("abort", () => begun || abandoned.abort());
    this.message = "";
    try {
      wanted.signal?.throwIfAborted();
      const { conversation, model } = this.current();
      const signal = wanted.signal ? AbortSignal.any([abandoned.signal, wanted.signal]) : abandoned.signal;
      const text = await prompt();
      const pieces = conversation.write(text, { ...wanted.options, signal }, goOn, interruption.signal);
      try {
        for (;;) {
          const { done: ended, value } = await pieces.next();
          if (ended) {
            return { finish: finishOf(value.result.finishReason), usage: usageOf(value) };
          }
          begun = true;
          this.message += value.text;
          yield value;
        }
      } catch (error) {
        if (wanted.signal?.aborted) {
          throw abortError();
        }
        if (begun || !interruption.signal.aborted) {
          throw error;
        }
        return { finish: "abort", usage: unread((await model.tokenize(text)).length) };
      } finally {
        abandoned.abort();
        await pieces.return(NOTHING).catch(() => {});
      }
    } finally {
      this.interruption = null;
      done();
    }
  }

  private async nextTurn(): Promise<() => void> {
    const before = this.turn;
    let done = () => {};
    this.turn = new Promise((resolve) => (done = resolve));
    await before;
    return done;
  }

  private async inTurn(act: () => Promise<void>): Promise<void> {
    const done = await this.nextTurn();
    try {
      await act();
    } finally {
      done();
    }
  }
}

interface Ended {
  finish: Finish;
  usage: Usage;
}

/** What a generator is told that is ended before its end: nobody looks at it. */
const NOTHING = undefined as never as Written;

/** What a prompt would have taken whose reading was interrupted. */
function unread(tokens: number): Usage {
  return {
    prompt_tokens: tokens,
    completion_tokens: 0,
    total_tokens: tokens,
    prompt_tokens_details: { cached_tokens: 0 },
    extra: { prefill_tokens_per_s: 0, decode_tokens_per_s: 0, time_to_first_token_s: 0 },
  };
}

async function collect(written: AsyncGenerator<Piece, Ended, void>): Promise<Ended & { pieces: Piece[]; text: string }> {
  const pieces: Piece[] = [];
  for (;;) {
    const { done, value } = await written.next();
    if (done) {
      return { ...value, pieces, text: pieces.map((piece) => piece.text).join("") };
    }
    pieces.push(value);
  }
}

/** Passes pieces on as chunks, and ends the writing with them. */
async function* pass<Chunk>(
  written: AsyncGenerator<Piece, Ended, void>,
  first: Chunk | null,
  chunk: (piece: Piece) => Chunk | null,
): AsyncGenerator<Chunk, Ended, void> {
  let open = true;
  try {
    for (let begun = false; ; begun = true) {
      const { done, value } = await written.next();
      if (!begun && first !== null) {
        yield first;
      }
      if (done) {
        open = false;
        return value;
      }
      const next = chunk(value);
      if (next !== null) {
        yield next;
      }
    }
  } finally {
    if (open) {
      await written.return(undefined as never);
    }
  }
}

/** How far loading is, in all: most of it are the weights. */
function share({ phase, file, loaded, total }: Progress): [number, string] {
  const part = total > 0 ? Math.min(1, loaded / total) : 0;
  const percent = total > 0 ? ` ${Math.round(100 * part)}%` : "";
  switch (phase) {
    case "locate":
      return [0, `Looking for ${file}`];
    case "download":
    case "check":
      return [/\.(safetensors|gguf)$/i.test(file) ? 0.9 * part : 0, `${phase === "check" ? "Checking" : "Fetching"} ${file}${percent}`];
    case "load":
      return [1 - 0.1 * (1 - part), `Loading${percent}`];
  }
}

/** Refuses what this engine has no use for. */
export function readConfig(config: object): EngineConfig {
  const known = "initProgressCallback device dtype ctxSize cacheType memory cache onProgress signal modelsUrl".split(" ");
  for (const [name, value] of Object.entries(config)) {
    if (value !== undefined && !known.includes(name)) {
      throw refused(name, "is not supported: models are named by their address, or hf:org/name");
    }
  }
  return config as EngineConfig;
}
