import { createHash, randomBytes } from "node:crypto";
import { chromium, expect, test, type Page } from "@playwright/test";
import type { WireError } from "../lib/errors";
import type { CachedModel, Progress } from "../lib/types";
import { bundle } from "./bundle";
import { FileServer, type Served } from "./file-server";
import type { Opened, Request } from "./pages/files-worker";

const MB = 1_000_000;
const weights = randomBytes(6 * MB);
const config = JSON.stringify({ model_type: "ttt" });
const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");
const git = (bytes: Buffer) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** The page's own server, and one of another origin. */
let home: FileServer;
let other: FileServer;
let script: string;

test.beforeAll(async () => {
  script = await bundle("files-worker.ts");
  home = await FileServer.start();
  other = await FileServer.start();
});

test.afterAll(async () => {
  await home.stop();
  await other.stop();
});

/** What came of a request to the worker. */
type Answer<T> = { result: T; error?: undefined } | { result?: undefined; error: WireError };

declare global {
  interface Window {
    files: { ask(request: Request): Promise<Answer<unknown>>; progress: Progress[] };
  }
}

const PAGE = `<!doctype html><title>Files</title><input type="file" multiple><script>
  window.files = {
    progress: [],
    ask(request) {
      const worker = new Worker("/worker.js", { type: "module" });
      return new Promise((resolve) => {
        worker.onmessage = ({ data }) => {
          if (data.progress) return files.progress.push(data.progress);
          resolve(data);
          if (!request.keep) worker.terminate();
        };
        worker.onerror = (event) => resolve({ error: { message: "worker: " + event.message } });
        worker.postMessage(request);
      });
    },
  };
</script>`;

function serve(files: Record<string, Served | Buffer | string>): void {
  home.serve({ "/": { body: PAGE, type: "text/html" }, "/worker.js": { body: script, type: "text/javascript" }, ...files });
}

async function ask<T>(page: Page, request: Request): Promise<Answer<T>> {
  return (await page.evaluate((request) => window.files.ask(request as Request), request as object)) as Answer<T>;
}

async function open(page: Page, request: Omit<Request, "command">): Promise<Opened> {
  const { result, error } = await ask<Opened>(page, { command: "open", ...request });
  expect(error, error?.message).toBeUndefined();
  return result!;
}

async function fail(page: Page, request: Omit<Request, "command">): Promise<WireError> {
  const { error } = await ask<Opened>(page, { command: "open", ...request });
  expect(error).toBeDefined();
  return error!;
}

async function cached(page: Page): Promise<CachedModel[]> {
  return (await ask<CachedModel[]>(page, { command: "cached" })).result!;
}

/** What was asked for of these paths. */
const asked = (server: FileServer, end: string) => server.asked.filter(({ path }) => path.endsWith(end));

const model = { "/models/small/config.json": config, "/models/small/model.safetensors": weights };
const NAMES = ["config.json", "chat_template.jinja", "model.safetensors"];

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

test.describe("the hub", () => {
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const second = "fedcba9876543210fedcba9876543210fedcba98";
  const small = Buffer.from(config);

  /** A repository as the hub tells of it. */
  function repository(sha: string, files: Record<string, Buffer>, wrong: string[] = []): Record<string, Served> {
    const siblings = Object.entries(files).map(([rfilename, body]) => {
      const large = /safetensors$|gguf$/.test(rfilename);
      const damaged = wrong.includes(rfilename) ? Buffer.concat([body.subarray(1), Buffer.from("!")]) : body;
      return {
        rfilename,
        size: body.length,
        blobId: git(damaged),
        ...(large && { lfs: { sha256: sha256(damaged), size: body.length, pointerSize: 134 } }),
      };
    });
    const served: Record<string, Served> = { "/api/models/org/name/revision/main?blobs=true": { body: JSON.stringify({ sha, siblings }) } };
    served[`/api/models/org/name/revision/${sha}?blobs=true`] = served["/api/models/org/name/revision/main?blobs=true"]!;
    for (const [path, body] of Object.entries(files)) {
      served[`/org/name/resolve/${sha}/${path}`] = { body };
    }
    return served;
  }

  test.beforeEach(async ({ page }) => {
    serve({});
    await page.goto(home.origin);
  });

  test("lists, fetches and checks a model, and asks only for what is there", async ({ page }) => {
    other.serve(repository(commit, { "config.json": small, "model.safetensors": weights, "README.md": Buffer.from("hello") }));
    other.cors = "plain";
    const request = { source: "hf:org/name", names: NAMES, hubUrl: other.origin };
    const { list, file, files } = await open(page, request);
    expect(list).toEqual(["config.json", "model.safetensors"]);
    expect(file).toBeNull();
    expect(files["model.safetensors"]).toEqual({ size: 6 * MB, sha256: sha256(weights) });
    expect(files["chat_template.jinja"]).toBeNull();
    expect(other.asked.map(({ path }) => path)).toEqual([
      "/api/models/org/name/revision/main?blobs=true",
      `/org/name/resolve/${commit}/config.json`,
      `/org/name/resolve/${commit}/model.safetensors`,
    ]);
    // What is stored of a commit needs one question, and none when there is no answer.
    other.asked.length = 0;
    await open(page, request);
    expect(other.asked).toHaveLength(1);
    other.serve({});
    expect((await open(page, request)).files).toEqual(files);
    expect(await cached(page)).toMatchObject([{ url: "hf:org/name" }]);
    // A look at its sizes downloads nothing more.
    const { files: looked } = await open(page, { ...request, headersOnly: true });
    expect(looked["model.safetensors"]!.size).toBe(6 * MB);
  });

  test("has a new commit: only what is new is fetched", async ({ page }) => {
    const request = { source: "hf:org/name", names: ["config.json", "model.safetensors"], hubUrl: other.origin };
    other.serve(repository(commit, { "config.json": small, "model.safetensors": weights }));
    other.cors = "plain";
    await open(page, request);
    const edited = Buffer.from("{}");
    other.serve(repository(second, { "config.json": edited, "model.safetensors": weights }));
    other.cors = "plain";
    const { files } = await open(page, request);
    expect(files["config.json"]!.sha256).toBe(sha256(edited));
    expect(files["model.safetensors"]!.sha256).toBe(sha256(weights));
    expect(asked(other, "model.safetensors")).toEqual([]);
  });

  test("of a fixed revision isn't asked again", async ({ page }) => {
    other.serve(repository(commit, { "a.Q8_0.gguf": weights, "a.Q4_0.gguf": weights }));
    other.cors = "plain";
    const request = { source: `hf:org/name@${commit}:q8_0`, names: ["a.Q8_0.gguf"], hubUrl: other.origin };
    expect((await open(page, request)).file).toBe("a.Q8_0.gguf");
    other.asked.length = 0;
    await open(page, request);
    expect(other.asked).toEqual([]);
  });

  test("promises a checksum that a file doesn't have", async ({ page }) => {
    other.serve(repository(commit, { "config.json": small, "model.safetensors": weights }, ["model.safetensors", "config.json"]));
    other.cors = "plain";
    for (const name of ["config.json", "model.safetensors"]) {
      const error = await fail(page, { source: "hf:org/name", names: [name], hubUrl: other.origin });
      expect(error).toMatchObject({ kind: "download", code: "checksum" });
    }
    expect(await cached(page)).toEqual([]);
  });

  test("resumes with a checksum over the whole", async ({ page }) => {
    const files = repository(commit, { "a.gguf": weights });
    files[`/org/name/resolve/${commit}/a.gguf`]!.rate = 8 * MB;
    other.serve(files);
    other.cors = "plain";
    const request = { source: "hf:org/name", names: ["a.gguf"], hubUrl: other.origin };
    await fail(page, { ...request, abortAt: 3 * MB });
    const { files: opened } = await open(page, request);
    expect(opened["a.gguf"]!.sha256).toBe(sha256(weights));
    expect(asked(other, "a.gguf").at(-1)!.range).not.toBe("bytes=0-");
  });

  test("an abort while what is there is being checked keeps it", async ({ page }) => {
    const large = randomBytes(60 * MB);
    const files = repository(commit, { "a.gguf": large });
    const file = files[`/org/name/resolve/${commit}/a.gguf`]!;
    file.rate = 60 * MB;
    other.serve(files);
    other.cors = "plain";
    const request = { source: "hf:org/name", names: ["a.gguf"], hubUrl: other.origin };
    await fail(page, { ...request, abortAt: 45 * MB });
    expect(await fail(page, { ...request, abortAtCheck: true })).toMatchObject({ kind: "abort" });
    const { files: opened, progress } = await open(page, request);
    expect(opened["a.gguf"]!.sha256).toBe(sha256(large));
    expect(progress.some(({ phase }) => phase === "check")).toBe(true);
    expect(Number(/^bytes=(\d+)-$/.exec(asked(other, "a.gguf").at(-1)!.range!)![1])).toBeGreaterThanOrEqual(45 * MB);
  });

  test("has several models, or none, or isn't one", async ({ page }) => {
    other.serve(repository(commit, { "a.Q8_0.gguf": weights, "a.Q4_0.gguf": weights }));
    other.cors = "plain";
    const hubUrl = other.origin;
    const several = await fail(page, { source: "hf:org/name", hubUrl });
    expect(several).toMatchObject({ code: "not-found" });
    expect(several.message).toContain("a.Q4_0.gguf");
    expect((await fail(page, { source: "hf:org/name:Q5_K", hubUrl })).message).toContain("no quantisation Q5_K");
    expect(await fail(page, { source: "hf:org/other", hubUrl })).toMatchObject({ code: "not-found" });
    expect((await fail(page, { source: `${hubUrl}/org/name/blob/main/a.gguf`, hubUrl })).message).toContain('"hf:org/name:a.gguf"');
    other.fallback = { body: PAGE, type: "text/html" };
    expect(await fail(page, { source: "hf:org/other", hubUrl })).toMatchObject({ code: "web-page" });
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

test("checking is not what a download waits for", async ({ page }) => {
  test.setTimeout(120_000);
  const large = randomBytes(100 * MB);
  const checksum = sha256(large);
  const sha = "0123456789abcdef0123456789abcdef01234567";
  serve({ "/plain.gguf": large });
  other.serve({
    "/api/models/org/name/revision/main?blobs=true": JSON.stringify({
      sha,
      siblings: [{ rfilename: "a.gguf", size: large.length, lfs: { sha256: checksum, size: large.length } }],
    }),
    [`/org/name/resolve/${sha}/a.gguf`]: large,
  });
  other.cors = "plain";
  await page.goto(home.origin);
  const plain = await open(page, { source: `${home.origin}/plain.gguf`, names: ["plain.gguf"], bytes: 8 });
  const checked = await open(page, { source: "hf:org/name", names: ["a.gguf"], hubUrl: other.origin, bytes: 8 });
  const again = await open(page, { source: "hf:org/name", names: ["a.gguf"], hubUrl: other.origin, bytes: 8 });
  const times = [plain, checked, again].map(({ milliseconds }) => `${Math.round(milliseconds)} ms`);
  test.info().annotations.push({ type: "100 MB", description: `unchecked ${times[0]}, checked ${times[1]}, stored ${times[2]}` });
  console.log(`100 MB: unchecked ${times[0]}, checked ${times[1]}, stored ${times[2]}`);
  expect(again.milliseconds).toBeLessThan(1_000);
});
