/** What a request wants, in this package's words. Nothing that it says is ignored: what can't be done is refused by name. */

import { FastweightError } from "../errors";
import type { GenerateOptions, Message } from "../types";
import type { ChatMessage, ChatRequest, CompletionRequest } from "./types";

/** What can't be done otherwise, and is fine as it is. */
const ONLY: Record<string, (value: unknown) => boolean> = {
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  frequency_penalty: (value) => value === 0,
  presence_penalty: (value) => value === 0,
  logit_bias: (value) => typeof value === "object" && Object.keys(value!).length === 0,
  response_format: (value) => (value as { type?: unknown }).type === "text",
  tools: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === "none",
  modalities: (value) => Array.isArray(value) && value.every((kind) => kind === "text"),
  store: (value) => value === false,
  suffix: (value) => value === "",
};
const BOTH =
  "max_tokens temperature top_p top_k min_p repetition_penalty stop seed stream stream_options model user signal logprobs".split(" ");
const CHAT = [...BOTH, "messages", "max_completion_tokens", "top_logprobs"];
const COMPLETION = [...BOTH, "prompt", "echo"];
const STREAM_OPTIONS = ["include_usage"];

/** A request, read. */
export interface Wanted {
  /** Without `predict`, if it doesn't say. */
  options: GenerateOptions;
  /** Whether, and how many of the likeliest tokens to tell of each. */
  logprobs: number | null;
  includeUsage: boolean;
  signal: AbortSignal | null;
}

export function readChat(request: ChatRequest, model: string): Wanted {
  refuseOthers(request, CHAT);
  const { logprobs, top_logprobs: top, max_completion_tokens: most } = request;
  if (top != null && logprobs !== true) {
    throw refused("top_logprobs", "takes logprobs: true");
  }
  if (logprobs != null && typeof logprobs !== "boolean") {
    throw refused("logprobs", `is ${JSON.stringify(logprobs)}; wanted true or false`);
  }
  if (most != null && request.max_tokens != null && most !== request.max_tokens) {
    throw refused("max_completion_tokens", "differs from max_tokens, its former name; give one");
  }
  const told = logprobs === true ? count("top_logprobs", top ?? 0, 20) : null;
  return read({ ...request, max_tokens: most ?? request.max_tokens }, most != null ? "max_completion_tokens" : "max_tokens", model, told);
}

export function readCompletion(request: CompletionRequest, model: string): Wanted {
  refuseOthers(request, COMPLETION);
  const told = request.logprobs == null ? null : count("logprobs", request.logprobs, 5);
  if (request.echo === true && told !== null) {
    throw refused("echo", "with logprobs is not supported; Session.score gives those of a text");
  }
  return read(request, "max_tokens", model, told);
}

export function promptOf({ prompt }: CompletionRequest): string {
  const text = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof text !== "string") {
    throw refused("prompt", "is not one string");
  }
  return text;
}

/** The messages as a template takes them. */
export function messagesOf({ messages }: ChatRequest): Message[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw refused("messages", "is empty");
  }
  return messages.map((message, i) => {
    for (const [name, value] of Object.entries(message)) {
      if (name !== "role" && name !== "content" && value != null) {
        throw refused(`messages[${i}].${name}`, "is not supported");
      }
    }
    const { role } = message;
    if (!["system", "developer", "user", "assistant"].includes(role)) {
      throw refused(`messages[${i}].role`, `is ${JSON.stringify(role)}; wanted system, developer, user or assistant`);
    }
    // Developer is OpenAI's newer word for system.
    return { role: role === "developer" ? "system" : role, content: contentOf(message, i) };
  });
}

function contentOf({ content }: ChatMessage, i: number): string {
  if (typeof content === "string") {
    return content;
  }
  if (!Array.isArray(content)) {
    throw refused(`messages[${i}].content`, "is no text");
  }
  return content
    .map((part) => {
      if (part.type !== "text" || typeof part.text !== "string") {
        throw refused(`messages[${i}].content`, `has a part of type ${JSON.stringify(part.type)}; only text is supported`);
      }
      return part.text;
    })
    .join("");
}

type Common = Omit<CompletionRequest, "prompt" | "echo" | "logprobs">;

function read(request: Omit<ChatRequest, "logprobs"> | Common, most: string, model: string, logprobs: number | null): Wanted {
  if (request.model != null && request.model !== model) {
    throw refused("model", `is "${request.model}", and "${model}" is loaded; call reload to change it`);
  }
  if (request.stream_options != null && request.stream !== true) {
    throw refused("stream_options", "takes stream: true");
  }
  refuseOthers(request.stream_options ?? {}, STREAM_OPTIONS, "stream_options.");
  const options: GenerateOptions = {
    predict: request.max_tokens == null ? undefined : count(most, request.max_tokens, Number.MAX_SAFE_INTEGER, 1),
    temp: within("temperature", request.temperature, 0, 2),
    topP: within("top_p", request.top_p, 0, 1),
    topK: request.top_k == null ? undefined : count("top_k", request.top_k, 2 ** 32 - 1),
    minP: within("min_p", request.min_p, 0, 1),
    repeatPenalty: within("repetition_penalty", request.repetition_penalty, 0, Infinity),
    seed: request.seed == null ? undefined : count("seed", request.seed, Number.MAX_SAFE_INTEGER),
    stop: stopOf(request.stop),
    // A drawn token's own logarithm comes only with that of another.
    logprobs: logprobs === null ? undefined : Math.max(1, logprobs),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const includeUsage = request.stream_options?.include_usage === true;
  return { options: Object.fromEntries(given) as GenerateOptions, logprobs, includeUsage, signal: request.signal ?? null };
}

function stopOf(stop: string | string[] | null | undefined): string[] | undefined {
  const all = stop == null ? [] : Array.isArray(stop) ? stop : [stop];
  if (!all.every((text) => typeof text === "string" && text !== "")) {
    throw refused("stop", "has something other than texts");
  }
  return all.length > 0 ? all : undefined;
}

function within(name: string, value: number | null | undefined, least: number, most: number): number | undefined {
  if (value != null && !(typeof value === "number" && value >= least && value <= most)) {
    throw refused(name, `is ${JSON.stringify(value)}; wanted ${most === Infinity ? `at least ${least}` : `${least} to ${most}`}`);
  }
  return value ?? undefined;
}

function count(name: string, value: number, most: number, least = 0): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw refused(name, `is ${JSON.stringify(value)}; wanted a whole number, ${least} to ${most}`);
  }
  return value;
}

function refuseOthers(given: object, known: string[], where = ""): void {
  for (const [name, value] of Object.entries(given)) {
    if (value == null || known.includes(name)) {
      continue;
    }
    if (!ONLY[name]) {
      throw refused(where + name, "is not supported");
    }
    if (!ONLY[name](value)) {
      throw refused(where + name, `is ${JSON.stringify(value)}, which is not supported; leave it out`);
    }
  }
}

export function refused(name: string, why: string): FastweightError {
  return new FastweightError("bad-option", `${name} ${why}`);
}
