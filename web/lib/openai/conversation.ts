/** A session that is kept from turn to turn, so that each turn costs only its own tokens. */

import type { FinishReason, GenerateOptions, GenerateResult, Generation, Message, ModelInfo, Piece } from "../types";

/** What is used of a model; {@link Model} is one. */
export interface ChatModel {
  readonly info: Pick<ModelInfo, "name" | "hasChatTemplate" | "contextLimit">;
  session(): ChatSession;
  tokenize(text: string): Promise<{ id: number; text: string }[]>;
  chatPrompt(messages: Message[]): Promise<string>;
  dispose(): Promise<void>;
}

/** What is used of a session. */
export interface ChatSession {
  readonly length: number;
  generate(prompt: string, options?: GenerateOptions): Generation;
  reset(): Promise<void>;
  dispose(): Promise<void>;
}

/** Tokens of an answer if nothing is said of their number. */
const DEFAULT_TOKENS = 1024;

/** What was written, and what it took. */
export interface Written {
  result: GenerateResult;
  /** Tokens of the prompt that had been read before. */
  cachedTokens: number;
}

export class Conversation {
  private session: ChatSession;
  /** What the session has read and written; null if that can't be said, or is nothing. */
  private known: { text: string; finish: FinishReason; last: number | null } | null = null;
  /** The text of end tokens. */
  private readonly ends = new Map<number, string | null>();

  constructor(private readonly model: ChatModel) {
    this.session = model.session();
  }

  /** How a conversation is written down: by the model's template, or as paragraphs. */
  async prompt(messages: Message[]): Promise<string> {
    return this.model.info.hasChatTemplate ? this.model.chatPrompt(messages) : paragraphs(messages);
  }

  /**
   * Writes on from a prompt, whose beginning isn't read again if `goOn` and the session has read it. An interruption ends the text between two
   * tokens, which leaves the session where it is.
   */
  async *write(prompt: string, options: GenerateOptions, goOn: boolean, interruption: AbortSignal): AsyncGenerator<Piece, Written, void> {
    let rest = goOn ? await this.rest(prompt) : null;
    this.known = null;
    if (rest === null) {
      await this.session.reset();
      rest = prompt;
    }
    const cachedTokens = this.session.length;
    const predict = await this.room(rest, options.predict ?? DEFAULT_TOKENS);
    const generation = this.session.generate(rest, { ...options, predict });
    let last: number | null = null;
    let result: GenerateResult;
    try {
      for await (const piece of generation) {
        last = piece.id ?? last;
        yield piece;
        if (interruption.aborted) {
          break;
        }
      }
      result = await generation.result;
    } catch (error) {
      // It is rejected as well, and whoever asks gets the error from here.
      generation.result.catch(() => {});
      throw error;
    }
    // A stop string is cut off from the text, or what may become one held back, and the session has read it.
    const isWhole = { end: true, length: true, left: !options.stop, stop: false }[result.finishReason];
    if (isWhole) {
      this.known = { text: prompt + result.text, finish: result.finishReason, last };
    }
    return { result, cachedTokens };
  }

  async reset(): Promise<void> {
    this.known = null;
    await this.session.reset();
  }

  dispose(): Promise<void> {
    return this.session.dispose();
  }

  /** What of a prompt the session has not read; null if it has read something else. */
  private async rest(prompt: string): Promise<string | null> {
    const { known } = this;
    if (!known || !prompt.startsWith(known.text) || prompt === known.text) {
      return null;
    }
    const rest = prompt.slice(known.text.length);
    if (known.finish !== "end" || known.last === null || !this.model.info.hasChatTemplate) {
      return rest;
    }
    // The session has the end token, which is no part of the answer's text but which the template writes after it.
    const end = await this.endText(known.last, rest);
    return end !== null && rest.startsWith(end) && rest !== end ? rest.slice(end.length) : null;
  }

  /** The text of an end token, found as the shortest beginning of a text that becomes this token. */
  private async endText(id: number, text: string): Promise<string | null> {
    const found = this.ends.get(id);
    if (found !== undefined) {
      return found;
    }
    let end: string | null = null;
    // A text may begin with an opening token.
    const at = (await this.model.tokenize(text)).slice(0, 2).findIndex((token) => token.id === id);
    for (let length = 1; at >= 0 && end === null && length <= Math.min(text.length, 64); length += 1) {
      const tokens = await this.model.tokenize(text.slice(0, length));
      if (tokens.length === at + 1 && tokens[at]!.id === id) {
        end = text.slice(0, length);
      }
    }
    this.ends.set(id, end);
    return end;
  }

  /** Tokens that the context still takes after a prompt, of those wanted. */
  private async room(prompt: string, wanted: number): Promise<number> {
    const { contextLimit } = this.model.info;
    if (contextLimit === null) {
      return wanted;
    }
    const taken = this.session.length + (await this.model.tokenize(prompt)).length;
    // Where there is no room at all, the engine says so.
    return Math.max(1, Math.min(wanted, contextLimit - taken));
  }
}

/** An answer follows what it was written on from, and each other turn begins a paragraph. */
function paragraphs(messages: Message[]): string {
  return messages.map(({ role, content }, i) => (i === 0 || role === "assistant" ? content : `\n\n${content}`)).join("");
}
