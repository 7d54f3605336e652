/** What goes wrong with files has a name. */

import { chromium, expect, test } from "@playwright/test";
import { MB, weights, home, other, serve, open, fail, cached, script, withServers } from "./files-page";

withServers();

test.describe("what goes wrong has a name", () => {
  test("CORS", async ({ page }) => {
    serve({});
    other.serve({ "/a.gguf": weights });
    await page.goto(home.origin);
    const source = `${other.origin}/a.gguf`;
    const error = await fail(page, { source, names: ["a.gguf"] });
    expect(error).toMatchObject({ kind: "download", code: "network", url: source });
    expect(error.message).toContain("Access-Control-Allow-Origin");
    expect(await cached(page)).toEqual([]);
  });

  test("an answer other than yes", async ({ page }) => {
    serve({ "/a.gguf": { body: "", status: 503 }, "/b.gguf": { body: "", status: 403 } });
    await page.goto(home.origin);
    expect(await fail(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] })).toMatchObject({ code: "http" });
    expect(await fail(page, { source: `${home.origin}/b.gguf`, names: ["b.gguf"] })).toMatchObject({ code: "http" });
    expect(await fail(page, { source: `${home.origin}/c.gguf`, names: ["c.gguf"] })).toMatchObject({ code: "not-found" });
    expect(await fail(page, { source: `${home.origin}/none/`, names: ["config.json"] })).toMatchObject({ code: "not-found" });
    expect(await cached(page)).toEqual([]);
  });

  test("a web page", async ({ page }) => {
    serve({ "/a.gguf": { body: `\n<!DOCTYPE html><html>${"x".repeat(9_000_000)}`, rate: MB } });
    await page.goto(home.origin);
    for (const cache of [true, false]) {
      const start = Date.now();
      const error = await fail(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"], cache });
      expect(error).toMatchObject({ kind: "download", code: "web-page" });
      // At the first bytes, not at the last.
      expect(Date.now() - start).toBeLessThan(4_000);
    }
    expect(await cached(page)).toEqual([]);
  });

  for (const [when, quota] of [
    ["in the midst of it", 3 * MB],
    ["from the start", 0],
  ] as const) {
    test(`a full storage, ${when}`, async ({}, info) => {
      serve({ "/a.gguf": weights });
      // A private window, as tests have it, doesn't hold to its quota.
      const context = await chromium.launchPersistentContext(info.outputPath("profile"), info.project.use.launchOptions);
      const page = await context.newPage();
      await page.goto(home.origin);
      const session = await context.newCDPSession(page);
      await session.send("Storage.overrideQuotaForOrigin", { origin: home.origin, quotaSize: quota });
      const error = await fail(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] });
      expect(error, error.message).toMatchObject({ kind: "download", code: "storage-full" });
      expect(error.message).toContain("cache: false");
      expect(await cached(page)).toEqual([]);
      // And without storing it goes.
      await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"], cache: false });
      await session.send("Storage.overrideQuotaForOrigin", { origin: home.origin });
      await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] });
      await context.close();
    });
  }

  test("a storage that tells beforehand that it has no room", async ({ page, context }) => {
    serve({ "/a.gguf": weights });
    // Chromium tells all pages the same; others don't.
    home.files.get("/worker.js")!.body = `navigator.storage.estimate = async () => ({ quota: 10e6, usage: 5e6 });\n${script}`;
    await page.goto(home.origin);
    const error = await fail(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] });
    expect(error.message).toContain("takes 6.0 MB, and 5.0 MB are free");
    expect(await cached(page)).toEqual([]);
    await context.close();
  });

  test("a name that can't be one", async ({ page }) => {
    serve({});
    await page.goto(home.origin);
    for (const source of ["", "a/b", "../x", "x.gguf", "hf:org", "hf:org/name:../x"]) {
      expect(await fail(page, { source }), source).toMatchObject({ kind: "other", code: "bad-option" });
    }
  });
});
