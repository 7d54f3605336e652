/** Chromium, on SwiftShader where there is no GPU. */

import { chromium } from "@playwright/test";
import { engineTests, type AnyPage } from "./engine";
import { chromiumOptions } from "../playwright.config";

engineTests("Chromium", async (url) => {
  const browser = await chromium.launch(chromiumOptions);
  const page = await browser.newPage();
  await page.goto(url);
  return { evaluate: (run, argument) => page.evaluate(run as never, argument), close: () => browser.close() } as AnyPage;
});
