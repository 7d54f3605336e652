/** Responses, whole and in chunks. */

import type { FinishReason, Piece } from "../types";
import type { Written } from "./conversation";
import type { ChatLogprobs, CompletionLogprobs, Finish, TokenLogprob, TopLogprob, Usage } from "./types";

/** What stands at the head of a response and all of its chunks. */
export function head<T extends string>(object: T, model: string): { id: string; object: T; created: number; model: string } {
  const prefix = object === "text_completion" ? "cmpl" : "chatcmpl";
  return { id: `${prefix}-${crypto.randomUUID().replaceAll("-", "")}`, object, created: Math.floor(Date.now() / 1000), model };
}

export function finishOf(reason: FinishReason): Finish {
  return ({ end: "stop", stop: "stop", length: "length", left: "abort" } as const)[reason];
}

export function usageOf({ result, cachedTokens }: Written): Usage {
  const { usage } = result;
  const prompt = cachedTokens + usage.promptTokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: usage.tokens,
    total_tokens: prompt + usage.tokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    extra: {
      prefill_tokens_per_s: usage.prefillRate,
      decode_tokens_per_s: usage.decodeRate,
      time_to_first_token_s: usage.timeToFirstToken / 1000,
    },
  };
}

const encoder = new TextEncoder();

function logprobOf(token: string, logprob: number): TopLogprob {
  return { token, logprob, bytes: [...encoder.encode(token)] };
}

/** A drawn token with its alternatives; null for text that was held back. */
function tokenOf({ id, text, logprob, top }: Piece, alternatives: number): TokenLogprob | null {
  if (id === null || logprob === null) {
    return null;
  }
  // The piece's text may be that of earlier tokens, too.
  const own = top.find((other) => other.id === id)?.text ?? text;
  return { ...logprobOf(own, logprob), top_logprobs: top.slice(0, alternatives).map((other) => logprobOf(other.text, other.logprob)) };
}

export function chatLogprobs(pieces: Piece[], alternatives: number | null): ChatLogprobs | null {
  if (alternatives === null) {
    return null;
  }
  return { content: pieces.flatMap((piece) => tokenOf(piece, alternatives) ?? []), refusal: null };
}

export function completionLogprobs(pieces: Piece[], alternatives: number | null, offset: number): CompletionLogprobs | null {
  if (alternatives === null) {
    return null;
  }
  const all: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  for (const piece of pieces) {
    const token = tokenOf(piece, alternatives);
    if (token) {
      all.tokens.push(token.token);
      all.token_logprobs.push(token.logprob);
      all.top_logprobs.push(Object.fromEntries(token.top_logprobs.map((other) => [other.token, other.logprob])));
      all.text_offset.push(offset);
    }
    offset += piece.text.length;
  }
  return all;
}
