/** Requests and responses, as OpenAI's API has them. */

export interface TextPart {
  type: "text";
  text: string;
}

export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string | TextPart[];
}

/** What both kinds of requests may say. Null is as good as nothing. */
interface Sampling {
  /** Tokens at most. Default: 1024, or as many as the context still takes. */
  max_tokens?: number | null;
  /** 0 takes the likeliest token. Default: 0.8. */
  temperature?: number | null;
  /** Default: 0.95. */
  top_p?: number | null;
  /** Not OpenAI's, but of many servers; defaults as in `GenerateOptions`. */
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  stop?: string | string[] | null;
  seed?: number | null;
  /** Only 1, and 0, are supported. */
  n?: 1 | null;
  frequency_penalty?: 0 | null;
  presence_penalty?: 0 | null;
  stream_options?: { include_usage?: boolean } | null;
  /** The model that is loaded; another is refused. */
  model?: string | null;
  /** Who asks: nothing depends on it. */
  user?: string | null;
  signal?: AbortSignal | null;
}

export interface ChatRequest extends Sampling {
  messages: ChatMessage[];
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  /** 0 to 20, with `logprobs`. */
  top_logprobs?: number | null;
  response_format?: { type: "text" } | null;
  stream?: boolean | null;
}

export interface CompletionRequest extends Sampling {
  prompt: string | [string];
  echo?: boolean | null;
  /** 0 to 5. */
  logprobs?: number | null;
  stream?: boolean | null;
}

/** `abort` after `interruptGenerate`, as WebLLM has it. */
export type Finish = "stop" | "length" | "abort";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Tokens of the prompt that the session had read before. */
  prompt_tokens_details: { cached_tokens: number };
  /** Not OpenAI's, but WebLLM's. */
  extra: { prefill_tokens_per_s: number; decode_tokens_per_s: number; time_to_first_token_s: number };
}

export interface TopLogprob {
  token: string;
  logprob: number;
  bytes: number[];
}

export interface TokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}

export interface ChatLogprobs {
  content: TokenLogprob[];
  refusal: null;
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: 0;
    message: { role: "assistant"; content: string; refusal: null };
    logprobs: ChatLogprobs | null;
    finish_reason: Finish;
  }[];
  usage: Usage;
}

export interface ChatChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: 0;
    delta: { role?: "assistant"; content?: string };
    logprobs: ChatLogprobs | null;
    finish_reason: Finish | null;
  }[];
  /** With `stream_options.include_usage`: null until the last chunk, which has no choices. */
  usage?: Usage | null;
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

/** Whole, or a chunk of it: they have the same shape. */
export interface Completion {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: { index: 0; text: string; logprobs: CompletionLogprobs | null; finish_reason: Finish | null }[];
  usage?: Usage | null;
}
