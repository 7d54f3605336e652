/** A state moves between the page and the command line, and both go on with the same text. */

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GREEDY } from "./checks";
import * as commandLine from "./command-line";
import { expect, patiently, test, type App } from "./app";

const fastweight = (...args: string[]): string => patiently(() => commandLine.fastweight(...args));
const { prompt } = GREEDY;
const web = join(import.meta.dirname, "..");
const TEXT = readFileSync(join(web, "app", "samples", "alice.txt"), "utf8").slice(0, 600).trim();

/** Gives a state to the page. */
async function take(app: App, file: string): Promise<void> {
  await app.at("state-file").setInputFiles(file);
}

/** Writes on from the state. Resolves to what is shown, from the beginning of it. */
async function writeOn(app: App, options: Record<string, number | string>): Promise<string> {
  await app.options(options, "keep-option");
  await app.at("learn-write-on").click();
  await expect(app.at("learn-write-on")).toBeVisible({ timeout: 60_000 });
  return app.text("learn-output");
}

async function save(app: App, file: string): Promise<string> {
  const [download] = await Promise.all([app.page.waitForEvent("download"), app.at("save-state").click()]);
  await download.saveAs(file);
  return download.suggestedFilename();
}

/** A page shows no space before a text. */
const shown = (text: string): string => text.trimStart();

test("saved on the command line, a text goes on in the page", async ({ app, folder }) => {
  const file = join(folder, "greedy.fwstate");
  fastweight("generate", prompt, "--temp", "0", "-n", "20", "--save-state", file);
  const wanted = fastweight("generate", "", "--load-state", file, "-n", "30");
  await app.open("learn");
  await expect(app.at("save-state")).toBeDisabled();
  await take(app, file);
  await expect(app.at("state-line")).toContainText(/It has read \d+ tokens/);
  expect(await writeOn(app, { temp: 0, predict: 30 })).toBe(shown(wanted));
});

test("a drawn text, too, with its seed", async ({ app, folder }) => {
  const file = join(folder, "drawn.fwstate");
  fastweight("generate", prompt, "-s", "11", "-n", "20", "--save-state", file);
  const wanted = fastweight("generate", "", "--load-state", file, "-n", "30");
  await app.open("learn");
  await take(app, file);
  expect(await writeOn(app, { seed: 11, predict: 30 })).toBe(shown(wanted));
});

test("saved in the page, a text goes on on the command line", async ({ app, folder }) => {
  await app.open("learn");
  await expect(app.at("learn-text")).toHaveValue(/Alice/);
  await app.read(TEXT);
  const file = join(folder, "read.fwstate");
  const name = await save(app, file);
  expect(name).toMatch(/^ttt-linear-stories-6m[\w.-]*-\d+\.fwstate$/);
  await expect(app.at("state-command")).toHaveText(`fastweight generate --load-state ${name}`);
  const options = { seed: 5, predict: 25 };
  const first = await writeOn(app, options);
  expect(first).toBe(shown(fastweight("generate", "", "--load-state", file, "-s", "5", "-n", "25")));

  // In the middle of a drawn text: the command line takes its options and its seed from the state.
  const middle = join(folder, "middle.fwstate");
  await save(app, middle);
  const whole = await writeOn(app, options);
  expect(whole).toBe(first + fastweight("generate", "", "--load-state", middle, "-n", "25"));
});

test("a state that can't be taken is refused, and the page goes on", async ({ app, folder }) => {
  const good = join(folder, "good.fwstate");
  fastweight("generate", prompt, "--temp", "0", "-n", "8", "--save-state", good);
  const bytes = readFileSync(good);
  const flipped = Buffer.from(bytes);
  flipped[bytes.length - 1000]! ^= 1;
  await app.open("learn");
  await take(app, good);
  await expect(app.at("state-line")).toContainText(/It has read \d+ tokens/);
  const line = await app.text("state-line");

  const messages = new Set<string>();
  const refused = async (file: string, content: Buffer): Promise<void> => {
    writeFileSync(file, content);
    await take(app, file);
    await expect(app.problem()).toHaveAttribute("data-code", "bad-state");
    messages.add(await app.problem().locator(".problem-message").innerText());
    await expect(app.at("state-line")).toHaveText(line);
    await take(app, good);
    await expect(app.problem()).toHaveCount(0);
  };
  await refused(join(folder, "flipped.fwstate"), flipped);
  await refused(join(folder, "half.fwstate"), bytes.subarray(0, bytes.length / 2));
  await refused(join(folder, "empty.fwstate"), Buffer.alloc(0));
  await refused(join(folder, "garbage.fwstate"), Buffer.from("not a state, but some text that somebody chose by mistake"));
  expect(messages.size).toBeGreaterThanOrEqual(3);
  const wanted = fastweight("generate", "", "--load-state", good, "-n", "10");
  expect(await writeOn(app, { temp: 0, predict: 10 })).toBe(shown(wanted));
});

/** The shipped model as a folder, with one of its learned start weights a little different. */
function another(folder: string): string {
  const model = join(folder, "another");
  cpSync(join(web, "..", "models", "ttt-linear-stories-6m"), model, { recursive: true, filter: (file) => !/gguf$/.test(file) });
  const file = join(model, "model.safetensors");
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { data_offsets: [number, number] }>;
  const [, start] = Object.entries(header).find(([name]) => /W1$/.test(name)) ?? [];
  bytes[8 + length + start!.data_offsets[0]]! ^= 1;
  writeFileSync(file, bytes);
  return model;
}

test("a state of another model is refused, and that model goes on", async ({ app, folder }) => {
  const state = join(folder, "state.fwstate");
  fastweight("generate", prompt, "--temp", "0", "-n", "8", "--save-state", state);
  await app.open("learn");
  await take(app, state);
  await expect(app.at("state-line")).toContainText(/It has read \d+ tokens/);

  await app.at("change-model").click();
  await app.at("model-folder").setInputFiles(another(folder));
  await app.at("confirm-load").click();
  await expect(app.at("model-line")).toContainText("another");
  await app.ready();
  await expect(app.at("state-line")).toContainText("It has read nothing yet");
  await take(app, state);
  await expect(app.problem()).toHaveAttribute("data-code", "bad-state");
  await expect(app.problem()).toContainText("fingerprint");
  await app.read(TEXT);
  expect((await writeOn(app, { predict: 10 })).length).toBeGreaterThan(0);
});
