/** A page that asks the worker for files, and the servers that it asks. */

import { createHash, randomBytes } from "node:crypto";
import { expect, test, type Page } from "@playwright/test";
import type { WireError } from "../lib/errors";
import type { CachedModel, Progress } from "../lib/types";
import { bundle } from "./bundle";
import { FileServer, type Served } from "./file-server";
import type { Opened, Request } from "./pages/files-worker";

export const MB = 1_000_000;
export const weights = randomBytes(6 * MB);
export const config = JSON.stringify({ model_type: "ttt" });
export const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");
export const git = (bytes: Buffer) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** The page's own server, and one of another origin. */
export let home: FileServer;
export let other: FileServer;
export let script: string;

/** Starts the servers for the tests of a file. */
export function withServers(): void {
  test.beforeAll(async () => {
    script = await bundle("files-worker.ts");
    home = await FileServer.start();
    other = await FileServer.start();
  });

  test.afterAll(async () => {
    await home.stop();
    await other.stop();
  });
}

/** What came of a request to the worker. */
type Answer<T> = { result: T; error?: undefined } | { result?: undefined; error: WireError };

declare global {
  interface Window {
    files: { ask(request: Request): Promise<Answer<unknown>>; progress: Progress[] };
  }
}

export const PAGE = `<!doctype html><title>Files</title><input type="file" multiple><script>
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

export function serve(files: Record<string, Served | Buffer | string>): void {
  home.serve({ "/": { body: PAGE, type: "text/html" }, "/worker.js": { body: script, type: "text/javascript" }, ...files });
}

export async function ask<T>(page: Page, request: Request): Promise<Answer<T>> {
  return (await page.evaluate((request) => window.files.ask(request as Request), request as object)) as Answer<T>;
}

export async function open(page: Page, request: Omit<Request, "command">): Promise<Opened> {
  const { result, error } = await ask<Opened>(page, { command: "open", ...request });
  expect(error, error?.message).toBeUndefined();
  return result!;
}

export async function fail(page: Page, request: Omit<Request, "command">): Promise<WireError> {
  const { error } = await ask<Opened>(page, { command: "open", ...request });
  expect(error).toBeDefined();
  return error!;
}

export async function cached(page: Page): Promise<CachedModel[]> {
  return (await ask<CachedModel[]>(page, { command: "cached" })).result!;
}

/** Bytes of a file in the storage so far: what the page itself sees, while its worker is busy with the file. */
export function storedBytes(page: Page, name: string): Promise<number> {
  return page.evaluate(async (name) => {
    const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("fastweight");
    let bytes = 0;
    for await (const folder of models.values()) {
      const file = await (folder as FileSystemDirectoryHandle).getFileHandle(`data.${name}`);
      bytes += (await file.getFile()).size;
    }
    return bytes;
  }, name);
}

/** What was asked for of these paths. */
export const asked = (server: FileServer, end: string) => server.asked.filter(({ path }) => path.endsWith(end));

export const model = { "/models/small/config.json": config, "/models/small/model.safetensors": weights };
export const NAMES = ["config.json", "chat_template.jinja", "model.safetensors"];
