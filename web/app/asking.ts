/** Read, then ask: how likely a phrase is before a text was read, after it, and after another of the same length. */

import { joined } from "./writer";
import type { Model, ReadToken, Session } from "../lib/index";

export interface Question {
  text: string;
  lead: string;
  phrase: string;
  /** Another text, to be cut to the length of the first. */
  other: string;
  learning: number;
}

export interface Answer {
  logprob: number;
  tokens: ReadToken[];
}

export interface Asked {
  before: Answer;
  after: Answer;
  otherwise: Answer;
  /** Tokens of the text, and of the other one. */
  length: number;
  otherLength: number;
  /** The session that has read the text and nothing after it. */
  session: Session;
}

/** What the phrase follows: the lead-in, on a line of its own after a text. */
function leadAfter(text: boolean, lead: string): string {
  const trimmed = lead.trim();
  return text ? `\n\n${trimmed}` : trimmed;
}

export async function ask(model: Model, question: Question, signal: AbortSignal, progress: (step: string) => void): Promise<Asked> {
  const phrase = joined(question.lead.trim(), question.phrase.trim());
  const text = question.text.trim();
  const length = (await model.tokenize(text)).length;
  const others = await model.tokenize(question.other.trim());
  const other = others.slice(0, length).map(({ text: piece }) => piece).join("");
  const fresh = model.session();
  if (model.info.learns) await fresh.setLearning(question.learning);
  const sessions: Session[] = [fresh];
  const fork = async (): Promise<Session> => {
    signal.throwIfAborted();
    const session = await fresh.fork();
    sessions.push(session);
    return session;
  };
  const answer = async (session: Session, lead: string): Promise<Answer> => {
    await session.read(lead, { signal });
    return session.score(phrase, { signal });
  };
  try {
    progress("Asking before it has read anything.");
    const before = await answer(await fork(), leadAfter(false, question.lead));
    progress("Reading the text.");
    const session = await fork();
    await session.read(text, { signal });
    const asked = await session.fork();
    sessions.push(asked);
    const after = await answer(asked, leadAfter(true, question.lead));
    progress("Reading another text of the same length.");
    const elsewhere = await fork();
    await elsewhere.read(other, { signal });
    const otherwise = await answer(elsewhere, leadAfter(true, question.lead));
    sessions.splice(sessions.indexOf(session), 1);
    return { before, after, otherwise, length, otherLength: Math.min(length, others.length), session };
  } finally {
    for (const session of sessions) session.dispose().catch(() => {});
  }
}
