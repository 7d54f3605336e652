/**
 * What a page does with the package, the same in every browser. Each function is sent to the page as text: it may use nothing but its argument and
 * what it imports there.
 */

import type { DeviceChoice, DeviceInfo, GenerateResult, MiniBatch, VerifyLine } from "../lib/types";

type Package = typeof import("../lib/index");

declare global {
  /** The package, and models by device, for the checks of a page. */
  var fastweight: Package;
  var models: Map<DeviceChoice, Awaited<ReturnType<Package["Model"]["load"]>>>;
}

/** The greedy text of the tests: its two likeliest tokens never come closer than 0.04. */
export const GREEDY = { prompt: "The fox said to the wolf", predict: 64, gap: 0.02 };

/** Loads the package, and the shipped model onto a device. */
export async function load(device: DeviceChoice): Promise<DeviceInfo> {
  globalThis.fastweight ??= await import("/package/fastweight.js" as string);
  globalThis.models ??= new Map();
  const model = models.get(device) ?? (await fastweight.Model.load("ttt-linear-stories-6m", { device }));
  models.set(device, model);
  return model.info.device;
}

/** The code of the error that asking for WebGPU in vain gives. */
export async function missingWebGpu(_: null): Promise<string> {
  const failed = fastweight.Model.load("ttt-linear-stories-6m", { device: "webgpu" });
  return failed.then(() => "none", (error: { code: string }) => error.code);
}

/** Bytes that sessions take on the device: none, one and its fork, none again. */
export async function sessionBytes(device: DeviceChoice): Promise<[number, number, number]> {
  const bytes = async () => (await fastweight.memory()).deviceBytes;
  const before = await bytes();
  const session = models.get(device)!.session();
  const fork = await session.fork();
  const held = await bytes();
  await Promise.all([session.dispose(), fork.dispose()]);
  return [before, held, await bytes()];
}

export async function memory(_: null): Promise<{ wasmBytes: number; deviceBytes: number }> {
  return fastweight.memory();
}

export async function greedy([device, prompt, predict]: [DeviceChoice, string, number]): Promise<GenerateResult & { ids: (number | null)[]; gap: number }> {
  const session = models.get(device)!.session();
  const generation = session.generate(prompt, { temp: 0, predict, logprobs: 2 });
  const ids: (number | null)[] = [];
  let gap = Infinity;
  for await (const { id, top } of generation) {
    ids.push(id);
    gap = Math.min(gap, (top[0]?.logprob ?? 0) - (top[1]?.logprob ?? -Infinity));
  }
  await session.dispose();
  return { ...(await generation.result), ids, gap };
}

/** The logits after each of `ids`: of one run over all of them, and of runs over one token each. */
export async function logits([device, ids]: [DeviceChoice, number[]]): Promise<{ whole: number[]; stepwise: number[] }> {
  const session = models.get(device)!.session();
  const whole = Array.from(await session.logits(ids));
  await session.reset();
  const stepwise: number[] = [];
  for (const id of ids) stepwise.push(...(await session.logits([id])));
  await session.dispose();
  return { whole, stepwise };
}

/** The logits at some positions, of a model by its address. */
export async function logitsOf([url, device, ids, positions]: [string, DeviceChoice, number[], number[]]): Promise<number[][]> {
  const model = await fastweight.Model.load(new URL(url, location.href), { device });
  const all = await model.session().logits(ids);
  await model.dispose();
  const vocabulary = all.length / ids.length;
  return positions.map((position) => Array.from(all.subarray(position * vocabulary, (position + 1) * vocabulary)));
}

/** A greedy text that moves from one device to another half-way. */
export async function moveState([from, to, prompt, predict]: [DeviceChoice, DeviceChoice, string, number]): Promise<(number | null)[]> {
  const ids: (number | null)[] = [];
  const write = async (session: ReturnType<NonNullable<ReturnType<typeof models.get>>["session"]>, prompt: string) => {
    for await (const { id } of session.generate(prompt, { temp: 0, predict })) ids.push(id);
  };
  const before = models.get(from)!.session();
  await write(before, prompt);
  const after = await models.get(to)!.restore(await before.save());
  await write(after, "");
  await Promise.all([before.dispose(), after.dispose()]);
  return ids;
}

export async function verify([device, thorough]: [DeviceChoice, boolean]): Promise<VerifyLine[]> {
  return fastweight.verify({ device, thorough });
}

/** What *Learn* draws: losses and inner losses of a text, mini-batch by mini-batch. */
export async function learn([device, text]: [DeviceChoice, string]) {
  const session = models.get(device)!.session();
  const miniBatches: MiniBatch[] = [];
  const { tokens, meanLoss } = await session.read(text, { onMiniBatch: (miniBatch) => miniBatches.push(miniBatch) });
  const [w1] = await session.fastWeights(0, 0);
  await session.dispose();
  const mean = (numbers: number[][]) => numbers.flat().reduce((sum, x) => sum + x, 0) / numbers.flat().length;
  return {
    losses: tokens.map(({ loss }) => loss),
    meanLoss,
    told: miniBatches.flatMap(({ tokens }) => tokens.map(({ id }) => id)),
    ids: tokens.map(({ id }) => id),
    miniBatches: miniBatches.map(({ index, position, before, after, moved }) => ({
      index,
      position,
      before: mean(before),
      after: mean(after),
      moved: mean(moved),
      shape: [before.length, before[0]?.length],
    })),
    moved: w1 ? Math.hypot(...w1.now.map((x, i) => x - (w1.start[i] ?? 0))) : 0,
  };
}

/** What is written on from a state, with nothing said about how: its text, and the state after it. */
export async function goOn([device, state, predict]: [DeviceChoice, number[], number]): Promise<{ text: string; state: number[] }> {
  const session = await models.get(device)!.restore(Uint8Array.from(state));
  const { text } = await session.generate("", { predict }).result;
  const after = await session.save();
  await session.dispose();
  return { text, state: Array.from(after) };
}

/** A long read and a long text, with the device broken at the worst moments; what came of them, and what comes without. */
export async function loseDevice([device, text, predict]: [DeviceChoice, string, number]) {
  const model = models.get(device)!;
  const run = async (breaks: boolean) => {
    const session = model.session();
    const later = (milliseconds: number) => breaks && setTimeout(() => void model.loseDevice(), milliseconds);
    later(150);
    const { losses } = await session.read(text);
    const ids: (number | null)[] = [];
    let drawn = 0;
    for await (const { id } of session.generate("", { temp: 0, predict })) {
      ids.push(id);
      drawn += 1;
      // Between two tokens, and while one is being read back.
      if (drawn === 3 && breaks) await model.loseDevice();
      if (drawn === 5) later(5);
    }
    const { length } = session;
    await session.dispose();
    return { losses: Array.from(losses, (loss) => (Number.isNaN(loss) ? null : loss)), ids, length };
  };
  return { broken: await run(true), whole: await run(false) };
}
