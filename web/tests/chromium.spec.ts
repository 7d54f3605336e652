/** Chromium, on SwiftShader where there is no GPU. */

import { chromium } from "@playwright/test";
import { anyPage, engineTests } from "./engine";
import { chromiumOptions } from "../playwright.config";

engineTests("Chromium", async (url) => {
  const browser = await chromium.launch(chromiumOptions);
  const page = await browser.newPage();
  await page.goto(url);
  return anyPage(page, () => browser.close());
});
