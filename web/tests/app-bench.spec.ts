/** The page Bench: a kernel on the CPU, from start to file, and what must not be lost. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Download } from "@playwright/test";
import type { BenchResults } from "../lib/index";
import { expect, test, type App } from "./app";

/** Chooses kernels on the CPU, with few samples. */
async function chooseKernels(app: App, only: string): Promise<void> {
  await app.open("bench");
  await expect(app.at("bench-found")).toContainText("swiftshader");
  await app.at("bench-device-cpu").check();
  await app.at("bench-part-device").uncheck();
  await app.at("bench-part-models").uncheck();
  await app.at("bench-more").click();
  await app.at("bench-only").fill(only);
  await app.at("bench-repetitions").fill("2");
}

async function done(app: App, said: string): Promise<void> {
  await expect(app.at("bench-start")).toBeVisible({ timeout: 60_000 });
  await expect(app.at("bench-status")).toHaveText(said);
}

async function saved(app: App): Promise<{ results: BenchResults; download: Download }> {
  const [download] = await Promise.all([app.page.waitForEvent("download"), app.at("bench-save").click()]);
  return { results: JSON.parse(readFileSync(await download.path(), "utf8")) as BenchResults, download };
}

/** What the browser does to a page that is no longer looked at. */
async function hide(app: App): Promise<void> {
  await app.page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
}

test("a kernel is measured, shown, saved, and kept over a reload", async ({ app, folder }) => {
  await chooseKernels(app, "rms_norm");
  await expect(app.at("bench-result")).toBeHidden();
  await app.at("bench-start").click();
  await expect(app.at("bench-cancel")).toBeFocused();
  await expect(app.at("bench-progress")).toBeVisible();
  await expect(app.at("bench-status")).toContainText(/Part \d of 2: \w+/);
  await expect(app.at("bench-what")).toContainText(/\w+/);
  await done(app, "Done.");
  await expect(app.at("bench-trust")).toContainText("Valid.");
  await expect(app.at("bench-kernels").locator("tbody th").first()).toContainText("rms_norm");

  const { results, download } = await saved(app);
  expect(download.suggestedFilename()).toMatch(/^cpu-chromium-\d+-\d{4}-\d\d-\d\d\.json$/);
  expect(results).toMatchObject({ schema: "fastweight-bench/1", valid: true, invalid: [], complete: true, ceilings: null });
  expect(results.settings).toMatchObject({ quick: true, repetitions: 2, only: ["rms_norm"] });
  expect(results.system).toMatchObject({ arch: "wasm32", threads: 1 });
  expect(results.system.browser).toMatch(/^Chromium \d+$/);
  expect(new Set(results.measurements.map(({ section }) => section))).toEqual(new Set(["kernels"]));
  for (const { name, samples } of results.measurements) {
    expect(name).toContain("rms_norm");
    expect(samples.length).toBe(2);
    expect(samples.every((seconds) => seconds > 0)).toBe(true);
  }
  expect(results.sentinels.map(({ after }) => after)).toEqual(["start", "kernels"]);

  // What was saved is what the engine reads, and so is what the browser kept.
  const file = join(folder, download.suggestedFilename());
  await download.saveAs(file);
  await app.page.reload();
  await app.ready();
  await expect(app.at("bench-kernels").locator("tbody th").first()).toContainText("rms_norm");
  await app.at("bench-compare").click();
  await app.at("compare-files").setInputFiles(file);
  await expect(app.at("compare-list").locator("li")).toHaveCount(2);
  await expect(app.at("compare-status")).toContainText("2 results");
});

test("cancelled, it keeps what there is; hidden, it is not valid", async ({ app }) => {
  await chooseKernels(app, "");
  await app.at("bench-start").click();
  await expect(app.at("bench-status")).toHaveText("Part 2 of 2: kernels.", { timeout: 60_000 });
  await app.at("bench-cancel").click();
  await done(app, "Cancelled. What was finished is kept.");
  await expect(app.at("bench-start")).toBeFocused();
  await expect(app.problem()).toHaveCount(0);
  await expect(app.at("bench-trust")).toContainText("A partial result");
  const { results: cancelled } = await saved(app);
  expect(cancelled).toMatchObject({ complete: false, valid: true });
  expect(cancelled.sentinels.length).toBe(1);

  await app.at("bench-only").fill("rms_norm");
  await app.at("bench-start").click();
  await expect(app.at("bench-status")).toContainText(/Part \d of 2: \w+/);
  await hide(app);
  await done(app, "Done.");
  await expect(app.at("bench-trust")).toContainText("the tab was hidden");
  const { results: hidden } = await saved(app);
  expect(hidden).toMatchObject({ complete: true, valid: false, invalid: ["the tab was hidden"] });
});

test("options out of range are refused, and nothing chosen is said", async ({ app }) => {
  await chooseKernels(app, "rms_norm");
  await app.at("bench-repetitions").fill("0");
  await app.at("bench-start").click();
  await expect(app.problem()).toHaveAttribute("data-code", "bad-option");
  await expect(app.problem()).toContainText("1 to 10000");
  await app.at("bench-part-kernels").uncheck();
  await app.at("bench-start").click();
  await expect(app.at("bench-status")).toHaveText("Choose something to measure.");
  await expect(app.problem()).toHaveCount(0);
});
