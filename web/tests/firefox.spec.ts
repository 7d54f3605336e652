/** Firefox, on the system's own driver. */

import { engineTests, type AnyPage } from "./engine";
import { firefox } from "./firefox";

engineTests("Firefox", async (url) => {
  const browser = await firefox();
  const page = await browser.newPage();
  await page.goto(url);
  return { evaluate: (run, argument) => page.evaluate(run as never, argument), close: () => browser.close() } as AnyPage;
});
