/** Every view in its states: for everybody, at every width, in light and dark; and pictures of them in test-results/screenshots. */

import { createServer } from "node:http";
import { createReadStream, statSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { POLICY } from "../policy";
import { App, expect, test } from "./app";
import { madeResults, resultsFile } from "./made-results";

const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1440, height: 900 };
/** The narrowest that is still in use. */
const NARROW = { width: 360, height: 740 };
const pictures = join(import.meta.dirname, "..", "test-results", "screenshots");

/** Looks at what is on the page, at both widths and in both schemes; at a state of less weight, in one scheme for each width. */
async function look(app: App, name: string, both = true): Promise<void> {
  const { page } = app;
  // Axe is a script, and the report's frame runs none: report.spec.ts looks at what stands in it.
  const frame = await page.$("iframe");
  const place = await frame?.evaluateHandle(({ parentElement }) => parentElement);
  for (const [width, size] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    await page.setViewportSize(size);
    for (const colorScheme of ["dark", "light"] as const) {
      if (!both && (size === PHONE) !== (colorScheme === "light")) continue;
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await frame?.evaluate((element) => element.remove());
      const { passes, violations } = await new AxeBuilder({ page }).analyze();
      expect(passes.length).toBeGreaterThan(10);
      const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
      expect.soft(told, `${name}, ${width}, ${colorScheme}`).toEqual([]);
      await place?.evaluate((element, child) => element!.append(child!), frame);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.screenshot({ path: join(pictures, `${name}-${width}.png`), fullPage: true });
  }
  await page.setViewportSize(NARROW);
  expect.soft(await page.evaluate(() => document.scrollingElement!.scrollWidth), `${name}, at 360 pixels`).toBeLessThanOrEqual(NARROW.width);
  await page.setViewportSize(DESKTOP);
}

test("write", async ({ app }) => {
  await app.open();
  await look(app, "write-empty", false);
  await app.at("option-shade").check();
  await app.write("Once upon a time", { temp: 0.8, seed: 7, predict: 160 });
  await look(app, "write");
});

test("learn", async ({ app }) => {
  await app.open("learn");
  await expect(app.at("learn-text")).toHaveValue(/Alice/);
  await look(app, "learn-empty", false);
  await app.read((await app.at("learn-text").inputValue()).slice(0, 1200));
  await app.at("ask-button").click();
  await expect(app.at("ask-result")).toBeVisible({ timeout: 60_000 });
  await app.options({ predict: 60 }, "keep-option");
  await app.at("learn-write-on").click();
  await expect(app.at("learn-write-on")).toBeVisible({ timeout: 60_000 });
  await app.at("save-state").click();
  await expect(app.at("state-command")).toBeVisible();
  await look(app, "learn");
});

test("bench and compare", async ({ app, page }) => {
  await app.open("compare");
  await look(app, "compare-empty", false);

  // What a run would leave.
  const results = JSON.stringify({ ...madeResults("before"), valid: false, invalid: ["the tab was hidden"] });
  await page.evaluate((text) => localStorage.setItem("fastweight-bench", text), results);
  await app.show("bench");
  await page.reload();
  await app.ready();
  await expect(app.at("bench-result")).toBeVisible();
  await app.at("bench-every").check();
  await look(app, "bench");
  await app.at("bench-compare").click();
  await app.at("compare-files").setInputFiles([resultsFile("other.json", madeResults("software")), resultsFile("nonsense.json", "nonsense")]);
  await expect(app.at("compare-status")).toContainText("2 results");
  await look(app, "compare", false);
});

test("choosing a model", async ({ app, site }) => {
  await app.open();
  await app.at("change-model").click();
  await expect(app.at("cached-models")).toContainText("ttt-linear-stories-6m");
  await look(app, "dialog");
  app.allowed = [/status of 404/];
  await app.at("model-address").fill(`${site.url}nothing.gguf`);
  await app.at("inspect-button").click();
  await expect(app.problem()).toBeVisible();
  await look(app, "dialog-problem", false);
  await app.at("model-address").fill(`${site.url}models/ttt-linear-stories-6m/ttt-linear-stories-6m.q8_0.gguf`);
  await app.at("inspect-button").click();
  await expect(app.at("fits")).toBeVisible();
  await look(app, "dialog-inspection", false);
});

test("a model that can't be loaded", async ({ app, page }) => {
  await page.context().route("**/*.gguf", (route) => route.fulfill({ status: 404 }));
  app.allowed = [/status of 404/];
  await page.goto(app.url);
  await expect(page.locator("#status")).toHaveAttribute("data-state", "failed");
  await look(app, "failed", false);
});

test("by keyboard alone", async ({ app, page }) => {
  await app.open();
  const focus = () => page.evaluate(() => document.activeElement?.getAttribute("data-testid") ?? null);
  const tabTo = async (testId: string): Promise<void> => {
    for (let i = 0; i < 40 && (await focus()) !== testId; i += 1) await page.keyboard.press("Tab");
    expect(await focus()).toBe(testId);
  };
  await tabTo("skip-link");
  await expect(app.at("skip-link")).toBeInViewport();
  await page.keyboard.press("Enter");
  await tabTo("prompt");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("Once there was a king");
  await page.keyboard.press("Tab");
  expect(await focus()).toBe("write-button");
  await tabTo("option-predict");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("100000");
  while ((await focus()) !== "write-button") await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await expect(app.at("stop-button")).toBeFocused();
  await expect.poll(async () => (await app.text("output")).length).toBeGreaterThan(30);
  await page.keyboard.press("Enter");
  await expect(app.at("write-button")).toBeFocused();
  expect(await app.figure("output", "Ended")).toBe("by you");

  // Ctrl + Enter in the prompt writes, Escape stops.
  await tabTo("prompt");
  await page.keyboard.press("Control+Enter");
  await expect(app.at("stop-button")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(app.at("write-button")).toBeVisible();

  // Each token tells its numbers to the arrow keys.
  await app.at("option-shade").check();
  await tabTo("output");
  await page.keyboard.press("End");
  await expect(page.locator(".write-page .readout")).not.toContainText("Point at a token");
});

test("the site works below another path", async ({ page }) => {
  const folder = join(import.meta.dirname, "..", "dist", "site");
  const types: Record<string, string> = { html: "text/html", js: "text/javascript", css: "text/css", wasm: "application/wasm", svg: "image/svg+xml" };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://site");
    const path = pathname.startsWith("/deep/path/") ? pathname.slice("/deep/path/".length) || "index.html" : null;
    if (path === null || !statSync(join(folder, path), { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": types[path.split(".").pop() ?? ""] ?? "application/octet-stream", "Content-Security-Policy": POLICY });
    createReadStream(join(folder, path)).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const app = new App(page, `http://127.0.0.1:${(server.address() as AddressInfo).port}/deep/path/`);
    await app.open();
    await app.write("Once upon a time", { predict: 5 });
    await app.show("learn");
    await expect(app.at("learn-text")).toHaveValue(/Alice/);
    expect(app.complaints).toEqual([]);
    expect(app.requests.filter((url) => !app.trusted.some((start) => url.startsWith(start)))).toEqual([]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
