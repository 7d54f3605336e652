/** The page Learn: what it draws is what the command line and the package measure. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as commandLine from "./command-line";
import { expect, patiently, test, type App } from "./app";

const fastweightJson = <T>(...args: string[]): T[] => patiently(() => commandLine.fastweightJson<T>(...args));
const web = join(import.meta.dirname, "..");
const sample = (name: string): string => readFileSync(join(web, "app", "samples", `${name}.txt`), "utf8").trim();

/** About 2,000 tokens. */
const TEXT = sample("alice").slice(0, 7400).trim();
/** A few mini-batches and some tokens more. */
const SHORT = TEXT.slice(0, 700).trim();

interface Config {
  num_hidden_layers: number;
  num_attention_heads: number;
  mini_batch_size: number;
}
const config: Config = JSON.parse(readFileSync(join(web, "..", "models", "ttt-linear-stories-6m", "config.json"), "utf8"));
const { num_hidden_layers: layers, num_attention_heads: heads, mini_batch_size: size } = config;

const mean = (numbers: number[]): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** A column, all of whose numbers must be there and finite. */
function finite(column: (number | null)[] | undefined): number[] {
  expect(column?.filter((x) => x === null || !Number.isFinite(x))).toEqual([]);
  return column as number[];
}

/** The names of the lines of the moved chart. */
const lines = Array.from({ length: layers * heads }, (_, i) => `layer ${Math.floor(i / heads) + 1} head ${(i % heads) + 1}`);

async function openLearn(app: App): Promise<void> {
  await app.open("learn");
  // The text that is there from the beginning comes later than the page.
  await expect(app.at("learn-text")).toHaveValue(/Alice/);
}

test("the losses that are drawn are those of the command line", async ({ app, folder }) => {
  const [file, table] = [join(folder, "text.txt"), join(folder, "loss.csv")];
  writeFileSync(file, TEXT);
  const [evaluated] = fastweightJson<{ results: { tokens: number; loss: { mean: number } }[] }>("eval", "-f", file, "-c", "4096", "--csv", table);
  const report = evaluated?.results[0];
  const buckets = readFileSync(table, "utf8").trim().split("\n").slice(1).map((line) => line.split(",").slice(3, 7).map(Number)) as [number, number, number, number][];
  expect(report?.tokens).toBeGreaterThan(1800);
  expect(buckets.length).toBeGreaterThan(10);

  await openLearn(app);
  await app.read(TEXT);
  const { token, loss: [first, ...losses] = [], mean: running = [] } = await app.series("loss-chart");
  expect(token).toEqual(Array.from({ length: losses.length + 1 }, (_, i) => i));
  expect(first).toBeNull();
  const known = finite(losses);
  expect(known.length).toBe(report?.tokens);
  expect(Math.abs(mean(known) - (report?.loss.mean ?? NaN))).toBeLessThan(1e-3);
  for (const [from, to, tokens, loss] of buckets) {
    const inside = known.slice(from - 1, to);
    expect(inside.length).toBe(tokens);
    expect(Math.abs(mean(inside) - loss), `tokens ${from} to ${to}`).toBeLessThan(1e-3);
  }
  expect(running.at(-1)).toBeCloseTo(mean(known.slice(-64)), 6);
  await expect(app.at("read-summary")).toContainText(`${(report!.tokens + 1).toLocaleString("en")} tokens`);
  await expect(app.at("read-summary")).toContainText(`Mean loss ${mean(known).toFixed(2)} nats`);
  expect(await app.text("read-text")).toBe(TEXT);
  expect((await app.at("read-text").locator(".tok").count())).toBe(losses.length + 1);
});

test("every step is drawn: what it gains, how far it moved, and what changed", async ({ app, page, site }) => {
  const [layer, head] = [1, heads - 2];
  const wanted = await observed(page, site.url, SHORT, layer, head);
  expect(wanted.change.some((x) => x !== 0)).toBe(true);

  await openLearn(app);
  await app.read(SHORT);
  // By index: an option's text counts from 1.
  await app.at("layer-choice").selectOption({ index: layer });
  await app.at("head-choice").selectOption({ index: head });
  const { token = [] } = await app.series("loss-chart");
  const steps = Math.floor(token.length / size);
  expect(token.length % size).not.toBe(0);
  const positions = Array.from({ length: steps }, (_, i) => i * size);

  const moved = await app.series("moved-chart");
  expect(Object.keys(moved).sort()).toEqual(["token", ...lines].sort());
  expect(moved["token"]).toEqual(positions);
  for (const line of lines) {
    const column = finite(moved[line]);
    expect(column.length).toBe(steps);
    expect(Math.min(...column)).toBeGreaterThan(0);
  }
  expect(moved[`layer ${layer + 1} head ${head + 1}`]).toEqual(wanted.moved);

  const inner = await app.series("inner-chart");
  expect(inner["token"]).toEqual(positions);
  expect(finite(inner["before"])).toEqual(wanted.before);
  expect(finite(inner["after"])).toEqual(wanted.after);
  expect(wanted.before.length).toBe(steps);
  expect(mean(wanted.after)).toBeLessThan(mean(wanted.before));

  // It is fetched from the model when another head is chosen.
  await expect.poll(async () => (await app.series("heat-map"))["change"]).toEqual(wanted.change);
  await expect(app.at("heat-canvas")).toHaveAttribute("aria-label", new RegExp(`layer ${layer + 1}, head ${head + 1}: `));
});

/** What the package by itself tells of a text and one head. */
async function observed(page: App["page"], url: string, text: string, layer: number, head: number) {
  await page.goto(`${url}blank.html`);
  return page.evaluate(
    async ([text, layer, head]) => {
      const { Model } = (await import("/package/fastweight.js" as string)) as typeof import("../lib/index");
      const session = (await Model.load("ttt-linear-stories-6m", { device: "cpu" })).session();
      const [before, after, moved]: [number[], number[], number[]] = [[], [], []];
      await session.read(text, {
        onMiniBatch: (batch) => {
          before.push(batch.before[layer]![head]!);
          after.push(batch.after[layer]![head]!);
          moved.push(batch.moved[layer]![head]!);
        },
      });
      const [matrix] = await session.fastWeights(layer, head);
      return { before, after, moved, change: Array.from(matrix!.now, (x, i) => x - matrix!.start[i]!) };
    },
    [text, layer, head] as const,
  );
}

test("with the dial at 0 it reads and learns nothing", async ({ app, folder }) => {
  await openLearn(app);
  await app.at("learning-dial").fill("0");
  await expect(app.at("learning-value")).toContainText("frozen");
  await app.read(SHORT);
  const moved = await app.series("moved-chart");
  for (const line of lines) expect(new Set(finite(moved[line]))).toEqual(new Set([0]));
  const inner = await app.series("inner-chart");
  expect(inner["after"]).toEqual(inner["before"]);
  await expect.poll(async () => (await app.series("heat-map"))["change"]?.length).toBeGreaterThan(0);
  expect(new Set((await app.series("heat-map"))["change"])).toEqual(new Set([0]));

  const file = join(folder, "text.txt");
  writeFileSync(file, SHORT);
  const [evaluated] = fastweightJson<{ results: { loss: { mean: number } }[] }>("eval", "-f", file, "-c", "4096", "--learning", "0");
  const losses = finite((await app.series("loss-chart"))["loss"]?.slice(1));
  expect(Math.abs(mean(losses) - (evaluated?.results[0]?.loss.mean ?? NaN))).toBeLessThan(1e-3);
});

test("read in two goes, it goes on from what it has read", async ({ app }) => {
  await openLearn(app);
  const [first, second] = [SHORT.slice(0, 300).trim(), SHORT.slice(300).trim()];
  await app.read(`${first}\n\n${second}`);
  const whole = finite((await app.series("loss-chart"))["loss"]?.slice(1));
  await app.read(first);
  const tokens = (await app.series("loss-chart"))["token"]?.length ?? 0;
  await app.at("go-on").check();
  await app.read(second);
  const { token = [], loss } = await app.series("loss-chart");
  expect(token[0]).toBe(tokens);
  const rest = finite(loss);
  expect(rest.length).toBe(whole.length + 1 - tokens);
  rest.forEach((x, i) => expect(Math.abs(x - whole[tokens - 1 + i]!)).toBeLessThan(1e-4));
  await expect(app.at("state-line")).toContainText(`It has read ${whole.length + 1} tokens`);
});

test("reading stops, and the page says where", async ({ app }) => {
  await openLearn(app);
  await app.at("read-button").click();
  await expect.poll(async () => (await app.series("loss-chart"))["token"]?.length).toBeGreaterThan(0);
  await app.at("read-stop").click();
  await expect(app.at("read-summary")).toContainText(/^Stopped after [\d,]+ tokens/);
  const told = Number((await app.text("read-summary")).replace(/\D/g, ""));
  expect((await app.series("loss-chart"))["token"]?.length).toBe(told);
  await expect(app.at("state-line")).toContainText("It has read");
  await app.read(SHORT);
});

test("read, then ask: the numbers are the command line's", async ({ app, folder }) => {
  await app.open("learn");
  const [tale, lead, phrase] = await Promise.all(["ask-text", "ask-lead", "ask-phrase"].map((field) => app.at(field).inputValue()));
  const other = sample("silver-blaze");
  const tokens = (text: string): string[] => fastweightJson<{ tokens: string[] }>("tokenize", text)[0]!.tokens;
  const length = tokens(tale!).length;
  // Each character of a token as it is shown stands for one byte.
  const cut = Buffer.from(other).subarray(0, tokens(other).slice(0, length).join("").length).toString();

  /** The sum of the losses after each of these beginnings: of the phrase alone, the difference of two. */
  const texts = ["", `${tale}\n\n`, `${cut}\n\n`].flatMap((start) => [`${start}${lead}`, `${start}${lead} ${phrase}`]);
  const files = texts.map((text, i) => {
    const file = join(folder, `${i}.txt`);
    writeFileSync(file, text);
    return file;
  });
  const [evaluated] = fastweightJson<{ results: { tokens: number; loss: { mean: number } }[] }>("eval", "--each", "-c", "4096", "-f", ...files);
  const sums = evaluated!.results.map(({ tokens, loss }) => tokens * loss.mean);
  const [before, after, elsewhere] = [0, 2, 4].map((i) => sums[i]! - sums[i + 1]!);

  await app.at("ask-button").click();
  await expect(app.at("ask-result")).toBeVisible({ timeout: 60_000 });
  const shown = async (id: string): Promise<number> => Number(await app.page.locator(`li[data-testid="ask-${id}"]`).getAttribute("data-logprob"));
  const found = { before: await shown("before"), after: await shown("after"), other: await shown("other") };
  expect(found.before).toBeLessThan(0);
  expect(found.after).toBeGreaterThan(found.before);
  expect(found.after).toBeGreaterThan(found.other);
  expect(Math.abs(found.before - before!)).toBeLessThan(3e-3);
  expect(Math.abs(found.after - after!)).toBeLessThan(3e-3);
  expect(Math.abs(found.other - elsewhere!)).toBeLessThan(3e-3);
  await expect(app.page.locator('li[data-testid="ask-other"]')).toContainText(`Silver Blaze, ${length} tokens`);
  const likelier = Math.exp(found.after - found.before);
  await expect(app.at("ask-headline")).toContainText(`${Number(likelier.toPrecision(likelier < 100 ? 2 : 3)).toLocaleString("en")} times likelier than before`);

  await app.at("ask-write-on").click();
  await expect(app.at("ask-write-on")).toBeVisible({ timeout: 60_000 });
  expect((await app.text("ask-output")).length).toBeGreaterThan(100);
  expect(await app.figure("ask-output", "Ended")).toBe("at the token limit");
});

test("the numbers of a chart are a file", async ({ app }) => {
  await openLearn(app);
  await app.read(SHORT);
  const rows = async (chart: string): Promise<string[][]> => {
    const [download] = await Promise.all([app.page.waitForEvent("download"), app.at(`${chart}-csv`).click()]);
    const text = readFileSync(await download.path(), "utf8");
    return text.trim().split("\r\n").map((line) => line.split(","));
  };
  const { token = [], loss = [] } = await app.series("loss-chart");
  const losses = await rows("loss-chart");
  expect(losses.length).toBeGreaterThan(token.length);
  const steps = Math.floor(token.length / size);
  const inner = await rows("inner-chart");
  expect(inner[0]).toEqual(["mini_batch", "position", "layer", "head", "before", "after", "moved"]);
  expect(inner.length).toBe(1 + steps * layers * heads);
  const cells = await rows("heat-map");
  const { change = [] } = await app.series("heat-map");
  expect(cells.slice(1).map(([, , start, now]) => Number(now) - Number(start))).toEqual(change);
  expect(losses.some((row) => row.includes(String(loss.at(-1))))).toBe(true);
});
