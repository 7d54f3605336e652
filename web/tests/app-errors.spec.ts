/** What goes wrong with models: each has its own message, and the page goes on. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileServer } from "./file-server";
import { expect, test, type App } from "./app";

const root = join(import.meta.dirname, "..", "..");
const pieces = readFileSync(join(root, "tests", "fixtures", "gguf", "pieces.gguf"));
const shipped = join(root, "models", "ttt-linear-stories-6m", "ttt-linear-stories-6m.q8_0.gguf");

/** Writes a few tokens with the model that is there. */
async function writes(app: App): Promise<void> {
  if (await app.at("start-over").isVisible()) await app.at("start-over").click();
  await app.write("The king said", { temp: 0, predict: 3 });
  expect(await app.figure("output", "Ended")).toBe("at the token limit");
}

async function look(app: App, address: string): Promise<void> {
  if (!(await app.at("model-dialog").isVisible())) await app.at("change-model").click();
  await app.at("model-address").fill(address);
  await app.at("inspect-button").click();
}

async function closeDialog(app: App): Promise<void> {
  await app.at("close-dialog").click();
  await expect(app.at("model-dialog")).toBeHidden();
}

let files: FileServer;
test.beforeAll(async () => void (files = await FileServer.start()));
test.afterAll(() => files.stop());

/** Files at another address, which the page is then asked to read. */
function serve(app: App, served: Record<string, Buffer | string>): void {
  files.serve(served);
  files.cors = "exposed";
  app.trusted.push(files.origin);
}

test("an address that leads nowhere, to a web page, or to no model", async ({ app, site }) => {
  serve(app, { "/page.gguf": `<!doctype html><title>The file's page</title>${" ".repeat(2000)}` });
  await app.open();
  app.allowed = [/status of 404/];
  await look(app, `${site.url}models/nothing.gguf`);
  await expect(app.problem()).toHaveAttribute("data-code", "not-found");
  await expect(app.problem()).toContainText("nothing.gguf");
  app.allowed = [];

  const seen = [await app.problem().innerText()];
  await look(app, `${files.origin}/page.gguf`);
  await expect(app.problem()).toHaveAttribute("data-code", "web-page");
  seen.push(await app.problem().innerText());
  await look(app, `${site.url}fixtures/gguf/pieces.gguf`);
  await expect(app.problem()).toContainText("token_embd.weight");
  seen.push(await app.problem().innerText());
  await look(app, "no model's name");
  await expect(app.problem()).toHaveAttribute("data-code", "bad-option");
  await expect(app.problem()).toContainText("hf:org/name");
  seen.push(await app.problem().innerText());
  expect(new Set(seen).size).toBe(seen.length);
  await closeDialog(app);
  await writes(app);
});

test("files that are broken, or no model", async ({ app, folder, page }) => {
  await app.open();
  const wrong: [string, Buffer, RegExp][] = [
    ["half.gguf", pieces.subarray(0, pieces.length / 2), /half\.gguf/],
    ["garbage.gguf", Buffer.from("garbage ".repeat(400)), /garbage\.gguf/],
    ["empty.gguf", Buffer.alloc(0), /empty\.gguf/],
    ["model-cut.gguf", readFileSync(shipped).subarray(0, 3_000_000), /model-cut\.gguf/],
    ["photo.safetensors", Buffer.from("\x89PNG not a model at all"), /photo\.safetensors|config\.json/],
  ];
  const seen = new Set<string>();
  for (const [name, bytes, message] of wrong) {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    if (!(await app.at("model-dialog").isVisible())) await app.at("change-model").click();
    await app.at("model-file").setInputFiles(file);
    await expect(app.problem()).toContainText(message);
    await expect(app.problem()).toHaveAttribute("data-code", /^(bad-file|missing-part)$/);
    seen.add(await app.problem().locator(".problem-message").innerText());
  }
  expect(seen.size).toBe(wrong.length);
  await closeDialog(app);
  await writes(app);

  // Dropped anywhere on the page, it opens the dialog.
  const dropped = await page.evaluateHandle((bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], "dropped.gguf"));
    return transfer;
  }, [...pieces.subarray(0, 3000)]);
  await page.dispatchEvent("main", "drop", { dataTransfer: dropped });
  await expect(app.at("model-dialog")).toBeVisible();
  await expect(app.problem()).toContainText("dropped.gguf");
  await closeDialog(app);
  await writes(app);
});

test("a file from this device is looked into, and loads", async ({ app }) => {
  await app.open();
  await app.at("change-model").click();
  await app.at("model-file").setInputFiles(shipped);
  await expect(app.at("inspection")).toContainText("TTT, learns while it reads");
  await expect(app.at("fits")).toHaveText("It fits on this device.");
  await app.at("device-choice").selectOption("cpu");
  await app.at("confirm-load").click();
  await app.ready();
  await expect(app.at("model-line")).toContainText("ttt-linear-stories-6m.q8_0.gguf");
  await writes(app);
});

test("a load that is cancelled, and loading again", async ({ app, page }) => {
  // The model's server keeps it until the test has seen the page wait.
  let go = (): void => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.context().route("**/*.gguf", async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  await page.goto(app.url);
  await expect(page.locator("#status")).toHaveAttribute("data-state", "loading");
  await expect(app.at("load-progress")).toBeVisible();
  await app.at("cancel-load").click();
  await expect(page.locator("#status")).toHaveAttribute("data-state", "none");
  await expect(app.at("model-line")).toHaveText("No model is loaded.");
  await expect(app.problem()).toHaveCount(0);
  go();
  await app.at("load-model").click();
  await app.ready();
  await writes(app);

  // Cancelled while another is loaded, the model that was there comes back when it is wanted.
  await page.context().unroute("**/*.gguf");
  let gone = (): void => {};
  const never = new Promise<void>((resolve) => (gone = resolve));
  serve(app, { "/slow.gguf": readFileSync(shipped) });
  await look(app, `${files.origin}/slow.gguf`);
  await expect(app.at("fits")).toBeVisible();
  files.files.get("/slow.gguf")!.hold = never;
  await app.at("confirm-load").click();
  await app.at("cancel-load").click();
  await expect(app.at("back-to-model")).toHaveText("Back to ttt-linear-stories-6m");
  await writes(app);
  gone();
});

test("a model that can't be loaded after all leaves a way back", async ({ app, page }) => {
  serve(app, { "/m.gguf": readFileSync(shipped) });
  await app.open();
  await writes(app);
  await look(app, `${files.origin}/m.gguf`);
  await expect(app.at("fits")).toHaveText("It fits on this device.");
  // It is gone before it is loaded.
  files.files.clear();
  app.allowed = [/status of 404/];
  await app.at("confirm-load").click();
  await expect(page.locator("#status")).toHaveAttribute("data-state", "failed");
  await expect(app.problem()).toHaveAttribute("data-code", "not-found");
  await expect(app.at("model-line")).toContainText("m.gguf could not be loaded");
  await app.at("back-to-model").click();
  await app.ready();
  await expect(app.problem()).toHaveCount(0);
  await expect(app.at("back-to-model")).toBeHidden();
  await writes(app);
});
