/** Chromium with WebGPU off: the same, on the CPU device. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { chromiumOptions } from "../playwright.config";
import * as checks from "./checks";
import { fastweight, fastweightJson } from "./command-line";
import { anyPage } from "./engine";
import { Site } from "./site";

test.use({ launchOptions: { ...chromiumOptions, args: [...(chromiumOptions.args ?? []).filter((flag) => !flag.includes("webgpu")), "--disable-gpu"] } });

let site: Site;

test.beforeAll(async () => {
  site = await Site.open();
});

test.afterAll(() => site.close());

test("it says so, and writes and learns as the command line does", async ({ page: opened }) => {
  test.setTimeout(300_000);
  await opened.goto(new URL("blank.html", site.url).href);
  const page = anyPage(opened, () => opened.close());
  const device = await page.evaluate(checks.load, "auto");
  expect(device.kind).toBe("cpu");
  expect(device.why).toMatch(/WebGPU/);
  expect(device.fix).not.toBeNull();
  expect(await page.evaluate(checks.missingWebGpu, null)).toBe("no-webgpu");

  const { prompt, predict, gap } = checks.GREEDY;
  const lines = fastweightJson<{ id?: number | null }>("generate", prompt, "--temp", "0", "-n", String(predict));
  const found = await page.evaluate(checks.greedy, ["auto", prompt, predict] );
  expect(found.ids).toEqual(lines.flatMap(({ id }) => id ?? []));
  expect(found.gap).toBeGreaterThan(gap);

  // 2,000 tokens, and where in the text they lie.
  const text = readFileSync(join(import.meta.dirname, "..", "app", "samples", "alice.txt"), "utf8").slice(0, 7600);
  const folder = mkdtempSync(join(tmpdir(), "fastweight-"));
  writeFileSync(join(folder, "text.txt"), text);
  interface Bucket {
    from: number;
    to: number;
    loss: { mean: number };
  }
  const [evaluated] = fastweightJson<{ results: { tokens: number; loss: { mean: number }; positions: Bucket[] }[] }>(
    "eval", "--ctx-size", "4096", "-f", join(folder, "text.txt"),
  );
  rmSync(folder, { recursive: true });
  const wanted = evaluated?.results[0];
  const learnt = await page.evaluate(checks.learn, ["auto", text] );
  expect(learnt.ids.length).toBeGreaterThan(2000);
  expect(learnt.losses.flatMap((loss) => loss ?? []).length).toBe(wanted?.tokens);
  expect(Math.abs(learnt.meanLoss - (wanted?.loss.mean ?? NaN))).toBeLessThan(1e-3);
  for (const { from, to, loss } of wanted?.positions ?? []) {
    const those = learnt.losses.slice(from, to + 1).flatMap((loss) => loss ?? []);
    const mean = those.reduce((sum, x) => sum + x, 0) / those.length;
    expect(Math.abs(mean - loss.mean), `tokens ${from} to ${to}`).toBeLessThan(1e-3);
  }
});

test("a sampled text goes from the command line to the page and back as if it had not stopped", async ({ page: opened }) => {
  test.setTimeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), "fastweight-"));
  const [first, second] = [join(folder, "first.fwstate"), join(folder, "second.fwstate")];
  const options = ["--temp", "0.9", "--seed", "7"];
  const whole = fastweight("generate", "Once upon a time", ...options, "-n", "60");
  const start = fastweight("generate", "Once upon a time", ...options, "-n", "20", "--save-state", first);

  await opened.goto(new URL("blank.html", site.url).href);
  const page = anyPage(opened, () => opened.close());
  await page.evaluate(checks.load, "cpu");
  const middle = await page.evaluate(checks.goOn, ["cpu", Array.from(readFileSync(first)), 20]);
  writeFileSync(second, Uint8Array.from(middle.state));
  const end = fastweight("generate", "--load-state", second, "-n", "20");
  rmSync(folder, { recursive: true });
  expect(start + middle.text + end).toBe(whole);
});
