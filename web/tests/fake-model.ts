/** A model that writes what it is told to, for tests of what is built upon models: a token is a word or a sign. */

import { abortError } from "../lib/errors";
import type { ChatModel, ChatSession } from "../lib/openai/conversation";
import type { GenerateOptions, GenerateResult, Generation, Message, Piece } from "../lib/types";

const END = "<end>";

export class FakeModel implements ChatModel {
  /** All prompts that were given to sessions, with their options. */
  readonly prompts: { text: string; options: GenerateOptions }[] = [];
  resets = 0;
  disposed = false;
  /** What a session read and wrote. */
  session_ = "";
  private readonly vocabulary: string[] = [END];

  constructor(
    /** The answers, one after the other. */
    readonly answers: string[],
    readonly info: { name: string; hasChatTemplate: boolean; contextLimit: number | null } = { name: "fake", hasChatTemplate: true, contextLimit: null },
    /** Milliseconds a token. */
    readonly pace = 0,
  ) {}

  split(text: string): { id: number; text: string }[] {
    const tokens = text.match(/<[a-z]+>| ?[\w']+|\s|[^\w\s]/g) ?? [];
    return tokens.map((token) => {
      const known = this.vocabulary.indexOf(token);
      return { id: known >= 0 ? known : this.vocabulary.push(token) - 1, text: token };
    });
  }

  async tokenize(text: string): Promise<{ id: number; text: string }[]> {
    // As tokenizers do, it doesn't show what special tokens are called.
    return this.split(text).map(({ id, text }) => ({ id, text: text === END ? "" : text }));
  }

  async chatPrompt(messages: Message[]): Promise<string> {
    return `${messages.map(({ role, content }) => `<${role}>${content}${END}`).join("")}<assistant>`;
  }

  async dispose(): Promise<void> {
    this.disposed = true;
  }

  session(): ChatSession {
    const model = this;
    let length = 0;
    return {
      get length() {
        return length;
      },
      async reset() {
        model.resets += 1;
        model.session_ = "";
        length = 0;
      },
      async dispose() {},
      generate(prompt: string, options: GenerateOptions = {}): Generation {
        model.prompts.push({ text: prompt, options });
        const promptTokens = model.split(prompt).length;
        length += promptTokens;
        model.session_ += prompt;
        let settle: { resolve(result: GenerateResult): void; reject(error: unknown): void };
        const result = new Promise<GenerateResult>((resolve, reject) => (settle = { resolve, reject }));
        const stops = [options.stop ?? []].flat();
        async function* write(): AsyncGenerator<Piece, void, void> {
          let text = "";
          let tokens = 0;
          let finishReason: GenerateResult["finishReason"] = "left";
          const end = () => {
            const usage = { promptTokens, tokens, timeToFirstToken: 50, decodeMilliseconds: 100, prefillRate: 20, decodeRate: 10 };
            settle.resolve({ text, finishReason, usage, seed: options.seed ?? 1 });
          };
          await new Promise((resolve) => setTimeout(resolve, model.pace));
          try {
            for (const { id, text: token } of model.split(model.answers.shift()! + END)) {
              await new Promise((resolve) => setTimeout(resolve, model.pace));
              if (options.signal?.aborted) {
                throw abortError();
              }
              if (tokens === options.predict) {
                finishReason = "length";
                break;
              }
              tokens += 1;
              length += 1;
              model.session_ += token;
              const top = [{ id, text: token, logprob: -0.25 }, { id: 0, text: "other", logprob: -2 }].slice(0, options.logprobs ?? 0);
              const told = options.logprobs ? { logprob: -0.25, top } : { logprob: null, top: [] };
              if (token === END) {
                finishReason = "end";
                yield { id, text: "", ...told };
                break;
              }
              if (stops.some((stop) => token.includes(stop))) {
                finishReason = "stop";
                yield { id, text: "", ...told };
                break;
              }
              text += token;
              yield { id, text: token, ...told };
            }
          } catch (error) {
            settle.reject(error);
            throw error;
          } finally {
            end();
          }
        }
        return { result, [Symbol.asyncIterator]: write };
      },
    };
  }
}
