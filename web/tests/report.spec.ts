/** The page that `fastweight bench report` makes: whole by itself, for everybody, at every width, in light and dark. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Page } from "@playwright/test";
import { fastweight } from "./command-line";

const fixtures = join(import.meta.dirname, "..", "..", "tests", "fixtures", "bench");
const pictures = join(import.meta.dirname, "..", "test-results", "screenshots");
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } };
/** The narrowest that is still in use. */
const NARROW = { width: 360, height: 740 };

test("a report of three results", async ({ browser }) => {
  test.setTimeout(90_000);
  const folder = mkdtempSync(join(tmpdir(), "fastweight-"));
  const file = join(folder, "report.html");
  // Two made, and one that was measured on lavapipe.
  const made = ["before", "after"].map((name) => join(fixtures, `made-${name}.json`));
  const results = [...made, join(import.meta.dirname, "..", "..", "results", "llvmpipe-vulkan.json")];
  fastweight("bench", "report", ...results, "--out", file);
  // Axe puts a script into the page, which its policy forbids; a second context looks at what a visitor gets.
  const contexts = [await browser.newContext(), await browser.newContext({ bypassCSP: true })];
  const [strict, bypassed] = (await Promise.all(contexts.map((context) => context.newPage()))) as [Page, Page];
  try {
    const url = pathToFileURL(file).href;
    const complaints: string[] = [];
    const requests: string[] = [];
    for (const page of [strict, bypassed]) {
      await page.context().setOffline(true);
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("request", (request) => requests.push(request.url()));
      await page.goto(url);
    }
    expect(complaints).toEqual([]);
    expect(new Set(requests)).toEqual(new Set([url]));

    // The style that the policy names by its hash is applied, and figures are drawn where they are seen.
    const figures = strict.locator("figure > svg");
    expect(await figures.count()).toBeGreaterThanOrEqual(2 + 3 + 6 + 1);
    for (const figure of await figures.all()) {
      const box = await figure.boundingBox();
      expect(box!.width).toBeGreaterThan(250);
      expect(box!.height).toBeGreaterThan(150);
      expect(await figure.locator(".mark").count()).toBeGreaterThan(2);
      await expect(figure).toHaveAttribute("aria-label", /.{10}/);
    }
    const outside = await strict.evaluate(() => {
      const numbers = (mark: Element) => [mark.getAttribute("cx"), mark.getAttribute("cy")].map(Number);
      return [...document.querySelectorAll("figure > svg circle.mark")].map(numbers).filter(([x, y]) => !(x! >= 40 && x! <= 400 && y! >= 0 && y! <= 240));
    });
    expect(outside).toEqual([]);
    expect(await strict.locator(".forest .mark").count()).toBeGreaterThan(20);
    const colour = await strict.locator("figure > svg .s1 .mark").first().evaluate((mark) => getComputedStyle(mark).fill);
    expect(colour).toBe("rgb(192, 79, 0)");

    for (const [width, size] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"] as const) {
        await bypassed.setViewportSize(size);
        await bypassed.emulateMedia({ colorScheme });
        await bypassed.screenshot({ path: join(pictures, `report-${width}-${colorScheme}.png`), fullPage: true });
        // Each width and each scheme once.
        if ((width === "phone") !== (colorScheme === "light")) continue;
        const { passes, violations } = await new AxeBuilder({ page: bypassed }).analyze();
        expect(passes.length).toBeGreaterThan(10);
        const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
        expect.soft(told, `${width}, ${colorScheme}`).toEqual([]);
      }
    }
    await bypassed.setViewportSize(NARROW);
    expect(await bypassed.evaluate(() => document.scrollingElement!.scrollWidth)).toBeLessThanOrEqual(NARROW.width);
  } finally {
    await Promise.all(contexts.map((context) => context.close()));
    rmSync(folder, { recursive: true });
  }
});
