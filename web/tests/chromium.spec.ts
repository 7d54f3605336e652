/** The shipped model in Chromium, on SwiftShader and on the CPU device. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import * as checks from "./checks";
import { Site } from "./site";

let site: Site;
let page: Page;

test.beforeAll(async ({ browser }) => {
  site = await Site.open();
  page = await browser.newPage();
  page.on("console", (message) => console.log(message.text()));
  await page.goto(new URL("blank.html", site.url).href);
});

test.afterAll(async () => {
  await page.close();
  await site.close();
});

test("cpu", async () => {
  test.setTimeout(600_000);
  console.log(await page.evaluate(checks.load, "cpu"));
  console.log(await page.evaluate(checks.greedy, ["cpu", checks.GREEDY.prompt, 64]));
  const r = await page.evaluate(checks.learn, ["cpu", readFileSync("../README.md", "utf8").slice(0, 2000)]);
  console.log(JSON.stringify(r.miniBatches.slice(0, 3)), r.meanLoss, r.moved);
});
test("gpu", async () => {
  test.setTimeout(600_000);
  let t = Date.now();
  console.log(await page.evaluate(checks.load, "webgpu"), Date.now() - t);
  t = Date.now();
  console.log(await page.evaluate(checks.greedy, ["webgpu", checks.GREEDY.prompt, 64]), Date.now() - t);
  t = Date.now();
  const r = await page.evaluate(checks.learn, ["webgpu", readFileSync("../README.md", "utf8").slice(0, 500)]);
  console.log(JSON.stringify(r.miniBatches.slice(0, 3)), r.meanLoss, r.moved, Date.now() - t);
  t = Date.now();
  console.log(JSON.stringify(await page.evaluate(checks.verify, ["webgpu", false])).slice(0, 3000), Date.now() - t);
});
