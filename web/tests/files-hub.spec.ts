/** Models of a hub. */

import { randomBytes } from "node:crypto";
import { expect, test } from "@playwright/test";
import type { Served } from "./file-server";
import { MB, weights, config, sha256, git, home, other, serve, open, fail, cached, asked, NAMES, PAGE, withServers } from "./files-page";

withServers();

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
