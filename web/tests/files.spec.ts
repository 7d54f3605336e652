/** Files from servers, the storage, and those that were chosen. */

import { randomBytes } from "node:crypto";
import { expect, test } from "@playwright/test";
import { MB, weights, config, sha256, home, other, serve, ask, open, fail, cached, storedBytes, asked, model, NAMES, PAGE, withServers } from "./files-page";
import type { Opened } from "./pages/files-worker";

withServers();

test.describe("a model that ships", () => {
  test("is downloaded with progress, then found in the storage", async ({ page }) => {
    serve(model);
    await page.goto(home.origin);
    const first = await open(page, { source: "small", names: NAMES });
    expect(first.name).toBe("small");
    expect(first.file).toBeNull();
    expect(first.list).toBeNull();
    expect(first.files["model.safetensors"]).toEqual({ size: weights.length, sha256: sha256(weights) });
    expect(first.files["config.json"]).toEqual({ size: config.length, sha256: sha256(config) });
    expect(first.files["chat_template.jinja"]).toBeNull();
    const downloaded = first.progress.filter(({ file, phase }) => file === "model.safetensors" && phase === "download");
    expect(downloaded.at(-1)).toEqual({ phase: "download", file: "model.safetensors", loaded: 6 * MB, total: 6 * MB, fromCache: false });
    expect(downloaded.every(({ loaded }, i) => i === 0 || loaded >= downloaded[i - 1]!.loaded)).toBe(true);
    // Bytes as they are.
    expect(asked(home, "model.safetensors").at(-1)!.encoding).toBe("identity");

    home.asked.length = 0;
    const second = await open(page, { source: "small", names: NAMES });
    expect(second.files).toEqual(first.files);
    expect(second.progress.filter(({ phase }) => phase === "download").every(({ fromCache }) => fromCache)).toBe(true);
    expect(home.asked.filter(({ path }) => path.startsWith("/models/")).map(({ method }) => method)).toEqual(["HEAD", "HEAD", "HEAD"]);

    const [listed] = await cached(page);
    expect(listed).toMatchObject({ url: "small", bytes: 6 * MB + config.length });
    expect(listed!.files.map(({ name, complete }) => [name, complete])).toEqual([["config.json", true], ["model.safetensors", true]]);
    expect(Date.now() - listed!.lastUsed).toBeLessThan(60_000);
    await ask(page, { command: "remove", source: "small" });
    expect(await cached(page)).toEqual([]);
  });

  test("loads offline, once it is stored, and also what it doesn't have", async ({ page, context }) => {
    serve(model);
    await page.goto(home.origin);
    const first = await open(page, { source: "small", names: NAMES });
    // The page needs its worker's script, which is no concern here.
    await context.route("**/models/**", (route) => route.abort("internetdisconnected"));
    home.files.delete("/models/small/model.safetensors");
    const second = await open(page, { source: "small", names: NAMES });
    expect(second.files).toEqual(first.files);
  });

  test("is fetched anew when the server's file has changed", async ({ page }) => {
    serve(model);
    await page.goto(home.origin);
    await open(page, { source: "small", names: NAMES });
    const changed = randomBytes(6 * MB);
    home.files.set("/models/small/model.safetensors", { body: changed });
    const second = await open(page, { source: "small", names: NAMES });
    expect(second.files["model.safetensors"]!.sha256).toBe(sha256(changed));
  });

  test("that there is none of is not-found, by its name", async ({ page }) => {
    serve(model);
    await page.goto(home.origin);
    const error = await fail(page, { source: "smal", names: NAMES });
    expect(error).toMatchObject({ kind: "download", code: "not-found" });
    expect(error.message).toContain('"smal"');
    // Nor where a server answers everything with its start page.
    home.fallback = { body: PAGE, type: "text/html" };
    expect(await fail(page, { source: "smal", names: NAMES })).toMatchObject({ code: "web-page" });
    const found = await open(page, { source: "small", names: NAMES });
    expect(found.files["chat_template.jinja"]).toBeNull();
    expect(await cached(page)).toHaveLength(1);
  });
});

test.describe("a download that is broken off", () => {
  for (const [how, origin] of [
    ["of this origin", () => home],
    ["of another origin", () => other],
  ] as const) {
    test(`by an abort goes on where it was, ${how}`, async ({ page }) => {
      serve({});
      other.serve({});
      other.cors = "plain";
      origin().files.set("/a.gguf", { body: weights, rate: 8 * MB });
      await page.goto(home.origin);
      const source = `${origin().origin}/a.gguf`;
      expect(await fail(page, { source, names: ["a.gguf"], abortAt: 3 * MB })).toMatchObject({ kind: "abort" });
      expect((await cached(page))[0]!.files[0]).toMatchObject({ name: "a.gguf", complete: false });
      origin().asked.length = 0;
      const { files } = await open(page, { source, names: ["a.gguf"] });
      expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
      const [request, ...more] = origin().asked.filter(({ path }) => path === "/a.gguf");
      expect(more).toEqual([]);
      expect(Number(/^bytes=(\d+)-$/.exec(request!.range!)![1])).toBeGreaterThanOrEqual(3 * MB);
      // Another origin would be asked for leave first.
      expect(request!.ifRange === undefined).toBe(origin() === other);
    });

    test(`starts anew if the file has changed, ${how}`, async ({ page }) => {
      serve({});
      other.serve({});
      other.cors = "exposed";
      origin().files.set("/a.gguf", { body: weights, rate: 8 * MB });
      await page.goto(home.origin);
      const source = `${origin().origin}/a.gguf`;
      await fail(page, { source, names: ["a.gguf"], abortAt: 3 * MB });
      const changed = randomBytes(6 * MB);
      origin().files.set("/a.gguf", { body: changed });
      const { files } = await open(page, { source, names: ["a.gguf"] });
      expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(changed) });
    });
  }

  test("by a reload goes on where it was", async ({ page }) => {
    serve({ "/a.gguf": { body: weights, rate: MB } });
    await page.goto(home.origin);
    const source = `${home.origin}/a.gguf`;
    void ask(page, { command: "open", source, names: ["a.gguf"] }).catch(() => {});
    await page.waitForFunction(() => (window.files.progress.at(-1)?.loaded ?? 0) > 3_000_000);
    await page.reload();
    home.asked.length = 0;
    home.files.set("/a.gguf", { body: weights });
    const { files } = await open(page, { source, names: ["a.gguf"] });
    expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
    expect(Number(/^bytes=(\d+)-$/.exec(asked(home, "a.gguf")[0]!.range!)![1])).toBeGreaterThan(MB);
  });

  test("by the connection is taken up again by itself", async ({ page }) => {
    serve({ "/a.gguf": { body: weights, cutAfter: 2 * MB, cuts: 2 } });
    await page.goto(home.origin);
    const { files } = await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] });
    expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
    expect(asked(home, "a.gguf")).toHaveLength(3);
  });

  test("again and again says so, and keeps what has come", async ({ page }) => {
    serve({ "/a.gguf": { body: weights, cutAfter: 2 * MB, cuts: 1 } });
    await page.goto(home.origin);
    const source = `${home.origin}/a.gguf`;
    const file = home.files.get("/a.gguf")!;
    file.taken = () => expect.poll(() => storedBytes(page, "a.gguf")).toBe(2 * MB);
    Object.defineProperty(file, "cutAfter", { get: () => (file.cuts! >= 10 ? 2 * MB : 0) });
    file.cuts = 10;
    const error = await fail(page, { source, names: ["a.gguf"] });
    expect(error).toMatchObject({ kind: "download", code: "network" });
    expect(error.message).toContain("2.0 MB of 6.0 MB");
    home.serve({});
    serve({ "/a.gguf": weights });
    expect((await open(page, { source, names: ["a.gguf"] })).files["a.gguf"]!.sha256).toBe(sha256(weights));
    expect(asked(home, "a.gguf")[0]!.range).toBe(`bytes=${2 * MB}-`);
  });

  test("from a server without ranges starts anew", async ({ page }) => {
    serve({ "/a.gguf": { body: weights, ranges: false, rate: 8 * MB } });
    await page.goto(home.origin);
    const source = `${home.origin}/a.gguf`;
    await fail(page, { source, names: ["a.gguf"], abortAt: 3 * MB });
    expect((await open(page, { source, names: ["a.gguf"] })).files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
  });
});

test("a file of unknown length is stored whole", async ({ page }) => {
  serve({ "/a.gguf": { body: weights, ranges: false, length: false } });
  await page.goto(home.origin);
  const { files, progress } = await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"] });
  expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
  expect(progress.find(({ phase }) => phase === "download")!.total).toBe(0);
});

test("an empty file is one", async ({ page }) => {
  serve({ "/m/config.json": "" });
  await page.goto(home.origin);
  for (const cache of [true, true, false]) {
    const { files } = await open(page, { source: `${home.origin}/m`, names: ["config.json"], cache });
    expect(files["config.json"]).toEqual({ size: 0, sha256: sha256("") });
  }
});

test("two tabs that load the same download it once", async ({ page, context }) => {
  serve({ "/a.gguf": { body: weights, rate: 8 * MB } });
  const second = await context.newPage();
  await page.goto(home.origin);
  await second.goto(home.origin);
  const request = { source: `${home.origin}/a.gguf`, names: ["a.gguf"], keep: true };
  const both = await Promise.all([open(page, request), open(second, request)]);
  for (const { files } of both) {
    expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
  }
  expect(asked(home, "a.gguf").filter(({ method }) => method === "GET")).toHaveLength(1);
  // Both have it open: it can't be removed under them.
  const { error } = await ask(page, { command: "remove", source: request.source });
  expect(error).toMatchObject({ code: "in-use" });
});

test.describe("a single file", () => {
  test("GGUF has nothing beside it", async ({ page }) => {
    serve({ "/dir/a%20b.gguf": weights, "/dir/a b.gguf": weights });
    await page.goto(home.origin);
    const { file, list, files } = await open(page, { source: `${home.origin}/dir/a%20b.gguf`, names: ["config.json", "a b.gguf"] });
    expect(file).toBe("a b.gguf");
    expect(list).toEqual(["a b.gguf"]);
    expect(files["config.json"]).toBeNull();
    expect(files["a b.gguf"]!.sha256).toBe(sha256(weights));
    expect(home.asked.filter(({ path }) => path.includes("dir"))).toHaveLength(1);
  });

  test("safetensors has its folder beside it, and what a server keeps to itself isn't there", async ({ page }) => {
    serve({
      "/m/x.safetensors": weights,
      "/m/config.json": config,
      "/m/chat_template.jinja": { body: "no", status: 403 },
    });
    await page.goto(home.origin);
    const { file, files } = await open(page, {
      source: `${home.origin}/m/x.safetensors`,
      names: ["x.safetensors", "config.json", "chat_template.jinja", "tokenizer.json"],
    });
    expect(file).toBe("x.safetensors");
    expect(files["config.json"]!.size).toBe(config.length);
    expect(files["chat_template.jinja"]).toBeNull();
    expect(files["tokenizer.json"]).toBeNull();
  });
});

test.describe("without storing", () => {
  test("parts are read over the network", async ({ page }) => {
    serve({ "/a.gguf": weights });
    await page.goto(home.origin);
    const { files } = await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"], cache: false });
    expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
    expect(asked(home, "a.gguf").every(({ range }) => /^bytes=\d+-\d+$/.test(range!))).toBe(true);
    expect(await cached(page)).toEqual([]);
  });

  test("a server without ranges sends it once, into memory", async ({ page }) => {
    serve({ "/a.gguf": { body: weights, ranges: false } });
    await page.goto(home.origin);
    const { files } = await open(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"], cache: false });
    expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
    expect(asked(home, "a.gguf")).toHaveLength(1);
  });

  for (const cors of ["plain", "exposed"] as const) {
    test(`a header costs little, also at another origin (${cors})`, async ({ page }) => {
      serve({});
      other.serve({ "/a.gguf": weights });
      other.cors = cors;
      await page.goto(home.origin);
      const source = `${other.origin}/a.gguf`;
      const { files } = await open(page, { source, names: ["a.gguf"], bytes: 300_000, headersOnly: true });
      expect(files["a.gguf"]).toEqual({ size: 6 * MB, sha256: sha256(weights.subarray(0, 300_000)) });
      const requests = other.asked.map(({ method, range }) => `${method} ${range}`);
      const size = cors === "plain" ? ["HEAD bytes=0-"] : [];
      expect(requests).toEqual(["GET bytes=0-262143", ...size, "GET bytes=262144-524287"]);
      expect(await cached(page)).toEqual([]);
    });
  }

  test("a header of a server without ranges is the beginning, and no more", async ({ page }) => {
    const large = Buffer.alloc(100 * MB);
    serve({ "/a.gguf": { body: large, ranges: false } });
    await page.goto(home.origin);
    const source = `${home.origin}/a.gguf`;
    const { files, progress } = await open(page, { source, names: ["a.gguf"], bytes: 300_000, headersOnly: true });
    expect(files["a.gguf"]).toEqual({ size: 100 * MB, sha256: sha256(large.subarray(0, 300_000)) });
    expect(progress.at(-1)!.loaded).toBeLessThan(4 * MB);
    const error = await fail(page, { source, names: ["a.gguf"], headersOnly: true });
    expect(error).toMatchObject({ kind: "download", code: "http" });
    expect(error.message).toContain("can't send parts");
  });

  test("a file that changes while it is read is refused", async ({ page }) => {
    serve({ "/a.gguf": weights });
    await page.goto(home.origin);
    const file = home.files.get("/a.gguf")!;
    let reads = 0;
    Object.defineProperty(file, "etag", { get: () => `"${(reads += 1)}"` });
    const error = await fail(page, { source: `${home.origin}/a.gguf`, names: ["a.gguf"], cache: false });
    expect(error).toMatchObject({ code: "checksum" });
  });
});

test("files that were chosen are a folder", async ({ page }) => {
  serve({});
  await page.goto(home.origin);
  await page.locator("input").setInputFiles([
    { name: "config.json", mimeType: "application/json", buffer: Buffer.from(config) },
    { name: "model.safetensors", mimeType: "", buffer: weights },
  ]);
  const answer = await page.evaluate(() => {
    const files = [...document.querySelector("input")!.files!];
    return window.files.ask({ command: "open", source: files, names: ["config.json", "model.safetensors", "tokenizer.json"] });
  });
  const { list, file, files } = answer.result as Opened;
  expect(list).toEqual(["config.json", "model.safetensors"]);
  expect(file).toBeNull();
  expect(files["model.safetensors"]!.sha256).toBe(sha256(weights));
  expect(files["tokenizer.json"]).toBeNull();
  const single = await page.evaluate(() => window.files.ask({ command: "open", source: document.querySelector("input")!.files![1]! }));
  expect((single.result as Opened).file).toBe("model.safetensors");
});
