/** The one model that is loaded, shared by all pages. */

import { Model, type LoadOptions, type ModelInfo, type ModelSource, type Progress } from "../lib/index";

export const SHIPPED = "ttt-linear-stories-6m";

export type ModelState =
  | { kind: "none" }
  | { kind: "loading"; source: ModelSource; progress: Progress | null }
  | { kind: "ready"; source: ModelSource; model: Model }
  | { kind: "failed"; source: ModelSource; error: unknown };

export type Choices = Pick<LoadOptions, "device" | "dtype" | "ctxSize" | "cacheType">;

let state: ModelState = { kind: "none" };
let choices: Choices = {};
/** What was loaded last, and how: the way back. */
let before: { source: ModelSource; choices: Choices } | null = null;
let running: AbortController | null = null;
let waiting: { resolve: (model: Model) => void; reject: (error: unknown) => void }[] = [];
const listeners = new Set<(state: ModelState) => void>();

function set(next: ModelState): void {
  state = next;
  for (const listener of listeners) listener(state);
}

export function current(): ModelState {
  return state;
}

/** The options that the model was last loaded with. */
export function lastChoices(): Choices {
  return choices;
}

/** The model that was there before the one that isn't: null if there was none, or it is the same. */
export function previous(): ModelSource | null {
  if (before === null || (state.kind === "failed" && state.source === before.source)) return null;
  return before.source;
}

/** Loads what was there before. */
export function back(): void {
  if (before !== null) void load(before.source, before.choices);
}

/** Calls `listener` now and whenever something changes. */
export function watch(listener: (state: ModelState) => void): () => void {
  listeners.add(listener);
  listener(state);
  return () => listeners.delete(listener);
}

/** Loads a model in place of the one there is. Never rejects: the state tells. */
export async function load(source: ModelSource, options: Choices = {}): Promise<void> {
  running?.abort();
  const controller = new AbortController();
  running = controller;
  choices = options;
  const old = state.kind === "ready" ? state.model : null;
  set({ kind: "loading", source, progress: null });
  try {
    await old?.dispose();
    const model = await Model.load(source, {
      ...options,
      signal: controller.signal,
      onProgress: (progress) => {
        if (running === controller) set({ kind: "loading", source, progress });
      },
    });
    if (running !== controller) {
      await model.dispose();
      return;
    }
    running = null;
    before = { source, choices: options };
    set({ kind: "ready", source, model });
    for (const { resolve } of waiting.splice(0)) resolve(model);
  } catch (error) {
    if (running !== controller) return;
    running = null;
    set(controller.signal.aborted ? { kind: "none" } : { kind: "failed", source, error });
    for (const { reject } of waiting.splice(0)) reject(error);
  }
}

export function cancel(): void {
  running?.abort();
}

/** The model, as soon as it is there. If none is loading, loads the one that was there before, or the shipped one. */
export async function ready(): Promise<Model> {
  if (state.kind === "ready") return state.model;
  const promise = new Promise<Model>((resolve, reject) => waiting.push({ resolve, reject }));
  if (state.kind === "none") void load(before?.source ?? SHIPPED, before?.choices ?? choices);
  else if (state.kind === "failed") void load(state.source, choices);
  return promise;
}

/** The folder that a file was chosen with. */
function folderOf(file: File): string | null {
  const [folder, rest] = file.webkitRelativePath.split("/");
  return folder && rest ? folder : null;
}

/** A source as people name it. */
export function nameOf(source: ModelSource): string {
  if (typeof source === "string") return source;
  if (source instanceof URL) return source.href;
  if (source instanceof File) return source.name;
  const files = source as readonly File[];
  const [first] = files;
  if (first === undefined) return "no files";
  return folderOf(first) ?? (files.length === 1 ? first.name : `${files.length} files`);
}

/** A model as people name it: files are seldom called anything that tells. */
export function modelName(source: ModelSource, info: ModelInfo): string {
  const file = /\.(safetensors|bin|json|pt)$/i.test(info.name);
  return file && !(source instanceof File) ? nameOf(source) : info.name;
}

const families: Record<string, string> = { ttt: "TTT", llama: "Transformer", mamba: "Mamba", mamba2: "Mamba-2" };

export function familyName(family: string): string {
  return families[family] ?? family;
}
