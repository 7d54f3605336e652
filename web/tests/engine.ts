/** The shipped model in a browser: what is asked of each. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import * as checks from "./checks";
import { fastweightJson } from "./command-line";
import { Site } from "./site";

/** A page of any driver. */
export interface AnyPage {
  evaluate<T, A>(run: (argument: A) => Promise<T>, argument: NoInfer<A>): Promise<T>;
  close(): Promise<void>;
}

/** A page of a driver, whose own `evaluate` has types of its own. */
export function anyPage(page: { evaluate(run: never, argument: unknown): Promise<unknown> }, close: () => Promise<void>): AnyPage {
  return { evaluate: (run, argument) => page.evaluate(run as never, argument) as never, close };
}

/** About 256 tokens that the model was not trained on. */
const TEXT = readFileSync(join(import.meta.dirname, "..", "app", "samples", "alice.txt"), "utf8").slice(0, 900);

interface Golden {
  ids: number[];
  positions: number[];
  logits: number[][];
}

/** Numbers of the public reference implementations. */
function golden(path: string): Golden {
  return JSON.parse(readFileSync(join(import.meta.dirname, "..", "..", "tests", "fixtures", path), "utf8"));
}

/** Software devices are slow, and CI's machines slower. */
const PATIENCE = 1_200_000;

/** The largest difference of two lists, as a share of the largest number of the second. */
function difference(found: number[], wanted: number[]): number {
  expect(found.length).toBe(wanted.length);
  const scale = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return found.reduce((most, x, i) => Math.max(most, Math.abs(x - (wanted[i] ?? NaN))), 0) / scale;
}

/** Declares the tests of a browser, whose page is opened at an address. */
export function engineTests(browser: string, open: (url: string) => Promise<AnyPage>): void {
  test.describe.configure({ mode: "serial", timeout: PATIENCE });
  let site: Site;
  let page: AnyPage;

  test.beforeAll(async () => {
    site = await Site.open();
    page = await open(new URL("blank.html", site.url).href);
  });

  test.afterAll(async () => {
    await page.close();
    await site.close();
  });

  test(`${browser}: the model loads onto the GPU and the CPU`, async () => {
    expect((await page.evaluate(checks.load, "webgpu")).kind).toBe("webgpu");
    // The weights went to the GPU tensor by tensor: of the module's own memory they took little.
    expect((await page.evaluate(checks.memory, null)).wasmBytes).toBeLessThan(64e6);
    const [before, held, after] = await page.evaluate(checks.sessionBytes, "webgpu");
    expect(held).toBeGreaterThan(before);
    expect(after).toBe(before);
    expect((await page.evaluate(checks.load, "cpu")).kind).toBe("cpu");
  });

  test(`${browser}: 64 greedy tokens are the command line's`, async () => {
    const { prompt, predict, gap } = checks.GREEDY;
    const lines = fastweightJson<{ id?: number | null }>("generate", prompt, "--temp", "0", "-n", String(predict));
    const wanted = lines.flatMap(({ id }) => id ?? []);
    expect(wanted.length).toBe(predict);
    for (const device of ["cpu", "webgpu"] as const) {
      const found = await page.evaluate(checks.greedy, [device, prompt, predict]);
      expect(found.gap, "the smallest gap between the two best").toBeGreaterThan(gap);
      expect(found.ids, device).toEqual(wanted);
      expect(found.usage.tokens).toBe(predict);
    }
  });

  test(`${browser}: logits of forced tokens are the CPU device's`, async () => {
    // Few: a software device takes seconds for each.
    const ids = golden("shipped-golden.json").ids.slice(0, 20);
    const cpu = await page.evaluate(checks.logits, ["cpu", ids]);
    const gpu = await page.evaluate(checks.logits, ["webgpu", ids]);
    expect(difference(gpu.whole, cpu.whole)).toBeLessThan(1e-3);
    expect(difference(gpu.stepwise, cpu.whole)).toBeLessThan(1e-3);
    expect(difference(cpu.stepwise, cpu.whole)).toBeLessThan(1e-3);
  });

  test(`${browser}: other families give the reference's logits`, async () => {
    for (const name of ["llama/gqa-untied", "mamba/golden"]) {
      const { ids, positions, logits } = golden(`${name}/golden.json`);
      for (const device of ["cpu", "webgpu"] as const) {
        const found = await page.evaluate(checks.logitsOf, [`fixtures/${name}/`, device, ids, positions]);
        expect(difference(found.flat(), logits.flat()), `${name} on ${device}`).toBeLessThan(1e-3);
      }
    }
  });

  test(`${browser}: a state goes from the GPU to the CPU and back`, async () => {
    const { prompt } = checks.GREEDY;
    const whole = await page.evaluate(checks.greedy, ["cpu", prompt, 20]);
    for (const way of [["webgpu", "cpu"], ["cpu", "webgpu"]] as const) {
      expect(await page.evaluate(checks.moveState, [...way, prompt, 10]), way.join(" to ")).toEqual(whole.ids);
    }
  });

  test(`${browser}: what it learns on the GPU is what the command line evaluates`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "fastweight-"));
    const file = join(folder, "text.txt");
    writeFileSync(file, TEXT);
    const [evaluated] = fastweightJson<{ results: { loss: { mean: number }; tokens: number }[] }>("eval", "-f", file);
    rmSync(folder, { recursive: true });
    const cpu = await page.evaluate(checks.learn, ["cpu", TEXT]);
    const gpu = await page.evaluate(checks.learn, ["webgpu", TEXT]);
    const losses = (found: typeof cpu) => found.losses.flatMap((loss) => loss ?? []);
    expect(losses(gpu).length).toBe(evaluated?.results[0]?.tokens);
    expect(Math.abs(gpu.meanLoss - (evaluated?.results[0]?.loss.mean ?? NaN))).toBeLessThan(1e-3);
    losses(gpu).forEach((loss, i) => expect(Math.abs(loss - (losses(cpu)[i] ?? NaN)), `token ${i}`).toBeLessThan(1e-3));
    // Every mini-batch that became full was told of, with all of its tokens.
    expect(gpu.told).toEqual(gpu.ids.slice(0, gpu.told.length));
    expect(gpu.miniBatches.length).toBe(Math.floor((gpu.ids.length - 1) / 16));
    gpu.miniBatches.forEach((miniBatch, i) => {
      expect(miniBatch.shape).toEqual([6, 4]);
      expect(miniBatch.after).toBeLessThan(miniBatch.before);
      expect(Math.abs(miniBatch.before - (cpu.miniBatches[i]?.before ?? NaN)) / miniBatch.before).toBeLessThan(1e-3);
      expect(Math.abs(miniBatch.moved - (cpu.miniBatches[i]?.moved ?? NaN))).toBeLessThan(1e-3);
    });
    expect(gpu.moved).toBeGreaterThan(0);
  });

  test(`${browser}: a lost device loses nothing`, async () => {
    const { broken, whole } = await page.evaluate(checks.loseDevice, ["webgpu", TEXT.slice(0, 300), 12]);
    expect(broken.ids).toEqual(whole.ids);
    expect(broken.length).toBe(whole.length);
    expect(broken.losses.length).toBe(whole.losses.length);
    broken.losses.forEach((loss, i) => expect(Math.abs((loss ?? 0) - (whole.losses[i] ?? 0)), `token ${i}`).toBeLessThan(1e-3));
  });

  test(`${browser}: every kernel passes its cases`, async () => {
    const lines = await page.evaluate(checks.verify, ["webgpu", false]);
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.flatMap(({ kernel, failures }) => failures.map((failure) => `${kernel}: ${JSON.stringify(failure)}`))).toEqual([]);
    for (const { kernel, cases, variants } of lines) expect(cases * variants.length, kernel).toBeGreaterThan(0);
  });
}
