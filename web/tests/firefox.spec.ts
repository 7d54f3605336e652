/** The shipped model in Firefox, on the system's own driver. */

import { readFileSync } from "node:fs";
import { expect, test } from "@playwright/test";
import type { Browser, Page } from "puppeteer-core";
import * as checks from "./checks";
import { firefox } from "./firefox";
import { Site } from "./site";

let site: Site;
let browser: Browser;
let page: Page;

test.beforeAll(async () => {
  site = await Site.open();
  browser = await firefox();
  page = await browser.newPage();
  page.on("console", (message) => console.log(message.text()));
  await page.goto(new URL("blank.html", site.url).href);
});

test.afterAll(async () => {
  await browser.close();
  await site.close();
});

test("gpu", async () => {
  test.setTimeout(900_000);
  let t = Date.now();
  const out = (x: unknown) => { console.log(JSON.stringify(x).slice(0, 1200), Date.now() - t); t = Date.now(); };
  out(await page.evaluate(checks.load, "cpu"));
  out(await page.evaluate(checks.greedy, ["cpu", checks.GREEDY.prompt, 64]));
  out(await page.evaluate(checks.load, "webgpu"));
  out(await page.evaluate(checks.greedy, ["webgpu", checks.GREEDY.prompt, 64]));
  out(await page.evaluate(checks.load, "auto"));
  const r = await page.evaluate(checks.learn, ["webgpu", readFileSync("../README.md", "utf8").slice(0, 800)]);
  out(r.miniBatches.slice(0, 3));
  out(await page.evaluate(checks.verify, ["webgpu", false]));
  expect(1).toBe(1);
});
