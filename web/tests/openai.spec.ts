import { expect, test } from "@playwright/test";
import { Engine, readConfig } from "../lib/openai/engine";
import type { ChatChunk, ChatMessage, ChatRequest, Completion, CompletionRequest } from "../lib/openai/types";
import type { LoadOptions, ModelSource } from "../lib/types";
import { FakeModel } from "./fake-model";

async function engineOn(model: FakeModel): Promise<Engine> {
  const engine = new Engine(async () => model);
  await engine.reload("fake");
  return engine;
}

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });

async function all<T>(chunks: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const chunk of chunks) {
    list.push(chunk);
  }
  return list;
}

test("a whole answer has OpenAI's shape", async () => {
  const engine = await engineOn(new FakeModel(["Hello there!"]));
  const response = await engine.chat.completions.create({ messages: [user("Hi")] });
  expect(response).toEqual({
    id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
    object: "chat.completion",
    created: expect.any(Number),
    model: "fake",
    choices: [{ index: 0, message: { role: "assistant", content: "Hello there!", refusal: null }, logprobs: null, finish_reason: "stop" }],
    usage: {
      // <user> Hi <end> <assistant>, and Hello there ! <end>
      prompt_tokens: 4,
      completion_tokens: 4,
      total_tokens: 8,
      prompt_tokens_details: { cached_tokens: 0 },
      extra: { prefill_tokens_per_s: 20, decode_tokens_per_s: 10, time_to_first_token_s: 0.05 },
    },
  });
  expect(Math.abs(response.created - Date.now() / 1000)).toBeLessThan(5);
  expect(await engine.getMessage()).toBe("Hello there!");
});

test("a stream has its role first, its reason last, and its usage after that", async () => {
  const engine = await engineOn(new FakeModel(["Hello there!", "Hello there!"]));
  const chunks = await all(await engine.chat.completions.create({ messages: [user("Hi")], stream: true, stream_options: { include_usage: true } }));
  const choice = (delta: object, finish_reason: string | null = null) => [{ index: 0, delta, logprobs: null, finish_reason }];
  expect(chunks.map(({ choices }) => choices)).toEqual([
    choice({ role: "assistant", content: "" }),
    choice({ content: "Hello" }),
    choice({ content: " there" }),
    choice({ content: "!" }),
    choice({}, "stop"),
    [],
  ]);
  expect(new Set(chunks.map(({ id, object, created, model }) => `${id} ${object} ${created} ${model}`)).size).toBe(1);
  expect(chunks[0]!.object).toBe("chat.completion.chunk");
  expect(chunks.map(({ usage }) => usage && usage.total_tokens)).toEqual([null, null, null, null, null, 8]);

  const without = await all(await engine.chat.completions.create({ messages: [user("Hi")], stream: true }));
  expect(without.some((chunk) => "usage" in chunk)).toBe(false);
  expect(without.at(-1)!.choices).toHaveLength(1);
});

test("logprobs are those of the tokens", async () => {
  const engine = await engineOn(new FakeModel(["Hé!", "Hé!", "Hé!"]));
  const request: ChatRequest = { messages: [user("Hi")], logprobs: true, top_logprobs: 2 };
  const whole = (await engine.chat.completions.create({ ...request, stream: false })).choices[0]!.logprobs!;
  expect(whole.refusal).toBeNull();
  expect(whole.content.map(({ token }) => token).join("")).toBe("Hé!<end>");
  expect(whole.content[1]).toEqual({
    token: "é",
    logprob: -0.25,
    bytes: [0xc3, 0xa9],
    top_logprobs: [
      { token: "é", logprob: -0.25, bytes: [0xc3, 0xa9] },
      { token: "other", logprob: -2, bytes: [...Buffer.from("other")] },
    ],
  });
  const bare = (await engine.chat.completions.create({ messages: [user("Hi")], logprobs: true })).choices[0]!.logprobs!;
  expect(bare.content[0]).toMatchObject({ token: "H", logprob: -0.25, top_logprobs: [] });
  const chunks = (await all(await engine.chat.completions.create({ ...request, stream: true }))) as ChatChunk[];
  expect(chunks.flatMap(({ choices }) => choices[0]!.logprobs?.content ?? [])).toEqual(whole.content);
});

test("parameters go where they belong", async () => {
  const model = new FakeModel(["One two three four."]);
  const engine = await engineOn(model);
  const response = await engine.chat.completions.create({
    messages: [user("Count")],
    temperature: 0,
    top_p: 0.5,
    max_completion_tokens: 2,
    seed: 7,
    stop: "x",
    n: 1,
    frequency_penalty: 0,
    presence_penalty: null,
    repetition_penalty: 1.1,
    top_k: 3,
    min_p: 0,
    model: "fake",
    user: "me",
  });
  expect(response.choices[0]).toMatchObject({ message: { content: "One two" }, finish_reason: "length" });
  const { signal, ...options } = model.prompts[0]!.options;
  expect(signal).toBeDefined();
  expect(options).toEqual({ temp: 0, topP: 0.5, predict: 2, seed: 7, stop: ["x"], repeatPenalty: 1.1, topK: 3, minP: 0 });
});

test("what isn't supported is refused by its name", async () => {
  const engine = await engineOn(new FakeModel([]));
  const messages = [user("Hi")];
  for (const [name, wrong] of Object.entries({
    n: 2,
    frequency_penalty: 0.5,
    presence_penalty: -1,
    logit_bias: { 5: 1 },
    tools: [{ type: "function" }],
    response_format: { type: "json_object" },
    top_logprobs: 3,
    temperature: 2.5,
    top_p: "much",
    max_tokens: 0,
    seed: -1,
    stop: [1],
    model: "gpt-4o",
    stream_options: { include_usage: true },
    reasoning_effort: "high",
    messages: [],
  })) {
    const create = engine.chat.completions.create({ messages, [name]: wrong } as ChatRequest);
    await expect(create, name).rejects.toMatchObject({ name: "FastweightError", code: "bad-option", message: expect.stringContaining(name) });
  }
  for (const message of [{ role: "tool", content: "x" }, { role: "user", content: [{ type: "image_url" }] }, { role: "user", content: null }]) {
    const create = engine.chat.completions.create({ messages: [message as ChatMessage] });
    await expect(create).rejects.toMatchObject({ code: "bad-option", message: expect.stringContaining("messages[0].") });
  }
  for (const [name, wrong] of Object.entries({ logprobs: 6, best_of: 2, suffix: "x", prompt: ["a", "b"] })) {
    const create = engine.completions.create({ prompt: "x", [name]: wrong } as CompletionRequest);
    await expect(create, name).rejects.toMatchObject({ code: "bad-option", message: expect.stringContaining(name) });
  }
  expect(() => readConfig({ appConfig: {} })).toThrow(/appConfig/);
});

test("a conversation that goes on reads only what is new", async () => {
  const model = new FakeModel(["First answer.", "Second answer.", "Other.", "Third."]);
  const engine = await engineOn(model);
  const messages: ChatMessage[] = [{ role: "system", content: "Be kind." }, user("One")];
  await engine.chat.completions.create({ messages });
  messages.push(assistant("First answer."), user("Two"));
  const second = await engine.chat.completions.create({ messages });
  // The end token is in the session, and isn't read again.
  expect(model.prompts[1]!.text).toBe("<user>Two<end><assistant>");
  expect(model.resets).toBe(1);
  expect(model.session_).toBe("<system>Be kind.<end><user>One<end><assistant>First answer.<end><user>Two<end><assistant>Second answer.<end>");
  const prompt = model.split(await model.chatPrompt(messages as { role: string; content: string }[])).length;
  expect(second.usage).toMatchObject({ prompt_tokens: prompt, prompt_tokens_details: { cached_tokens: prompt - 4 } });
  // Another conversation starts afresh.
  await engine.chat.completions.create({ messages: [user("Else")] });
  expect(model.prompts[2]!.text).toBe("<user>Else<end><assistant>");
  expect(model.resets).toBe(2);
  await engine.resetChat();
  await engine.chat.completions.create({ messages: [user("Else"), assistant("Other."), user("More")] });
  expect(model.prompts[3]!.text).toBe("<user>Else<end><assistant>Other.<end><user>More<end><assistant>");
});

test("an answer that was cut at its limit is gone on from, one that met a stop string isn't", async () => {
  const model = new FakeModel(["One two three.", "Four.", "Five six.", "Seven."]);
  const engine = await engineOn(model);
  await engine.chat.completions.create({ messages: [user("Count")], max_tokens: 2 });
  await engine.chat.completions.create({ messages: [user("Count"), assistant("One two"), user("On")] });
  expect(model.prompts[1]!.text).toBe("<end><user>On<end><assistant>");
  const stopped = await engine.chat.completions.create({ messages: [user("Count")], stop: ["six"] });
  expect(stopped.choices[0]).toMatchObject({ message: { content: "Five" }, finish_reason: "stop" });
  await engine.chat.completions.create({ messages: [user("Count"), assistant("Five"), user("On")] });
  expect(model.prompts[3]!.text).toBe("<user>Count<end><assistant>Five<end><user>On<end><assistant>");
});

test("without a template messages are paragraphs", async () => {
  const model = new FakeModel([" a cat.", " a dog."], { name: "fake", hasChatTemplate: false, contextLimit: null });
  const engine = await engineOn(model);
  await engine.chat.completions.create({ messages: [{ role: "system", content: "Stories." }, user("There was")] });
  expect(model.prompts[0]!.text).toBe("Stories.\n\nThere was");
  const messages: ChatMessage[] = [{ role: "system", content: "Stories." }, user("There was"), assistant(" a cat."), user("And")];
  await engine.chat.completions.create({ messages });
  expect(model.prompts[1]!.text).toBe("\n\nAnd");
});

test("an answer has no more tokens than the context takes", async () => {
  const model = new FakeModel(["a b c d e f g h"], { name: "fake", hasChatTemplate: true, contextLimit: 7 });
  const engine = await engineOn(model);
  const response = await engine.chat.completions.create({ messages: [user("Hi")] });
  expect(response.choices[0]!.finish_reason).toBe("length");
  expect(response.usage.total_tokens).toBe(7);
});

test("completions write on from a text", async () => {
  const model = new FakeModel([" upon a time.", " upon a time.", " upon"]);
  const engine = await engineOn(model);
  const whole = await engine.completions.create({ prompt: "Once", echo: true });
  expect(whole).toMatchObject({
    id: expect.stringMatching(/^cmpl-/),
    object: "text_completion",
    choices: [{ index: 0, text: "Once upon a time.", logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 1, completion_tokens: 5, total_tokens: 6 },
  });
  const chunks: Completion[] = await all(await engine.completions.create({ prompt: ["Once"], echo: true, stream: true, stream_options: { include_usage: true } }));
  expect(chunks.map(({ choices }) => choices[0]?.text)).toEqual(["Once", " upon", " a", " time", ".", "", undefined]);
  expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe("stop");
  expect(chunks.at(-1)!.usage!.total_tokens).toBe(6);
  const told = await engine.completions.create({ prompt: "Once", logprobs: 1 });
  expect(told.choices[0]!.logprobs).toEqual({
    tokens: [" upon", "<end>"],
    token_logprobs: [-0.25, -0.25],
    top_logprobs: [{ " upon": -0.25 }, { "<end>": -0.25 }],
    text_offset: [0, 5],
  });
});

test("an interruption ends the answer, an abort rejects it, and both leave the engine usable", async () => {
  const model = new FakeModel([...Array<string>(5).fill("a b c d e f g h"), "fine"], undefined, 20);
  const engine = await engineOn(model);
  const chunks: ChatChunk[] = [];
  for await (const chunk of await engine.chat.completions.create({ messages: [user("Hi")], stream: true, stream_options: { include_usage: true } })) {
    chunks.push(chunk);
    if (chunks.length === 3) {
      engine.interruptGenerate();
    }
  }
  expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe("abort");
  expect(chunks.at(-1)!.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 2 });
  // What there is of it can be gone on from.
  await engine.chat.completions.create({ messages: [user("Hi"), assistant("a b"), user("On")] });
  expect(model.prompts.at(-1)!.text).toBe("<end><user>On<end><assistant>");

  const early = engine.chat.completions.create({ messages: [user("Hi")] });
  while (model.prompts.length < 3) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  engine.interruptGenerate();
  expect(await early).toMatchObject({ choices: [{ message: { content: "" }, finish_reason: "abort" }], usage: { prompt_tokens: 4, completion_tokens: 0 } });

  const abort = new AbortController();
  setTimeout(() => abort.abort(), 70);
  const aborted = engine.chat.completions.create({ messages: [user("Hi")], signal: abort.signal });
  await expect(aborted).rejects.toMatchObject({ name: "AbortError" });

  // Whoever stops listening ends it, too.
  for await (const _ of await engine.chat.completions.create({ messages: [user("Hi")], stream: true })) {
    break;
  }
  expect(model.prompts.at(-1)!.options.signal!.aborted).toBe(true);
  const fine = await engine.chat.completions.create({ messages: [user("Hi")] });
  expect(fine.choices[0]!.message.content).toBe("fine");
});

test("requests wait for each other", async () => {
  const engine = await engineOn(new FakeModel(["a b c", "d e f"], undefined, 2));
  const [first, second] = await Promise.all(["One", "Two"].map((text) => engine.chat.completions.create({ messages: [user(text)] })));
  expect(first!.choices[0]!.message.content).toBe("a b c");
  expect(second!.choices[0]!.message.content).toBe("d e f");
});

test("loading reports its progress, and a new model takes the old one's place", async () => {
  const models = [new FakeModel(["a"]), new FakeModel(["b"])];
  const [first, second] = models;
  const loads: { source: ModelSource; options: LoadOptions | undefined }[] = [];
  const reports: number[] = [];
  const engine = new Engine(
    async (source, options) => {
      loads.push({ source, options });
      for (const loaded of [0, 50, 100]) {
        options?.onProgress?.({ phase: "download", file: "model.safetensors", loaded, total: 100, fromCache: false });
      }
      options?.onProgress?.({ phase: "load", file: "", loaded: 1, total: 2, fromCache: false });
      return models.shift()!;
    },
    { device: "cpu", initProgressCallback: ({ progress, timeElapsed, text }) => reports.push(progress) && expect(timeElapsed >= 0 && text !== "").toBe(true) },
  );
  await expect(engine.chat.completions.create({ messages: [user("Hi")] })).rejects.toMatchObject({ code: "disposed" });
  await engine.reload("one");
  expect(loads[0]).toMatchObject({ source: "one", options: { device: "cpu" } });
  expect(reports).toEqual([0, 0.45, 0.9, 0.95, 1]);
  await engine.reload("two");
  expect(first!.disposed).toBe(true);
  expect((await engine.chat.completions.create({ messages: [user("Hi")], model: "two" })).choices[0]!.message.content).toBe("b");
  await engine.unload();
  expect(second!.disposed).toBe(true);
  await expect(engine.completions.create({ prompt: "Hi" })).rejects.toMatchObject({ code: "disposed" });
});
