/** Firefox, on the system's own driver. */

import { anyPage, engineTests } from "./engine";
import { firefox } from "./firefox";

engineTests("Firefox", async (url) => {
  const browser = await firefox();
  const page = await browser.newPage();
  await page.goto(url);
  return anyPage(page, () => browser.close());
});
