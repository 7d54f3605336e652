/** The npm package as its users meet it: in a bundler, from another origin, and by its size. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { expect, test } from "@playwright/test";
import { build, createServer as createViteServer, preview } from "vite";
import { fastweight } from "./command-line";
import { Site } from "./site";

const web = join(import.meta.dirname, "..");
const PROMPT = "Once upon a time";
const TOKENS = 12;

let site: Site;
let wanted: string;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  site = await Site.open();
  wanted = fastweight("generate", PROMPT, "--temp", "0", "-n", String(TOKENS)).trimEnd();
});

test.afterAll(() => site.close());

/** A page that writes a text with the package and shows it. */
function script(from: string): string {
  return `
    import { Model } from "${from}";
    import { CreateMLCEngine } from "${from === "fastweight" ? "fastweight/openai" : from.replace("fastweight.js", "openai.js")}";
    const options = { device: "cpu", modelsUrl: "${site.url}models/" };
    const model = await Model.load("ttt-linear-stories-6m", options);
    const { text } = await model.session().generate("${PROMPT}", { temp: 0, predict: ${TOKENS} }).result;
    const engine = await CreateMLCEngine("ttt-linear-stories-6m", options);
    const answer = await engine.completions.create({ prompt: "${PROMPT}", temperature: 0, max_tokens: ${TOKENS} });
    document.body.textContent = JSON.stringify([text, answer.choices[0].text]);
  `;
}

async function expectText(page: import("@playwright/test").Page, url: string): Promise<void> {
  const problems: string[] = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  await expect(page.locator("body"), problems.join("\n")).toContainText("[", { timeout: 60_000 });
  const texts: string[] = JSON.parse((await page.locator("body").textContent()) ?? "");
  expect(texts.map((text) => text.trimEnd())).toEqual([wanted, wanted]);
  expect(problems).toEqual([]);
}

test("installed in an empty Vite app, built and in development", async ({ page }) => {
  test.setTimeout(300_000);
  const app = mkdtempSync(join(tmpdir(), "fastweight-app-"));
  try {
    // What was built is packed as it is.
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", app], { cwd: web, encoding: "utf8" }),
    ) as [{ filename: string }];
    writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--offline", `./${packed.filename}`], { cwd: app });
    writeFileSync(join(app, "index.html"), '<!doctype html><html><link rel="icon" href="data:,"><body><script type="module" src="/main.js"></script></body></html>');
    writeFileSync(join(app, "main.js"), script("fastweight"));
    const config = { root: app, configFile: false, logLevel: "error" } as const;

    await build(config);
    const built = await preview({ ...config, preview: { port: 0, host: "127.0.0.1" } });
    await expectText(page, `http://127.0.0.1:${(built.httpServer.address() as AddressInfo).port}/`);
    await built.close();

    const developed = await createViteServer({ ...config, server: { port: 0, host: "127.0.0.1" } });
    await developed.listen();
    await expectText(page, `http://127.0.0.1:${(developed.httpServer?.address() as AddressInfo).port}/`);
    await developed.close();
  } finally {
    rmSync(app, { recursive: true, force: true });
  }
});

test("from another origin, by one script tag", async ({ page }) => {
  const html = `<!doctype html><html><link rel="icon" href="data:,"><body><script type="module">${script(`${site.url}package/fastweight.js`)}</script></body></html>`;
  const other: Server = createServer((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end(html));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  await expectText(page, `http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
  other.closeAllConnections();
  other.close();
});

test("what is downloaded is small", async ({ page }) => {
  const wasm = brotliCompressSync(readFileSync(join(web, "lib", "wasm", "fastweight_bg.wasm"))).length;
  console.log(`wasm: ${(wasm / 1e6).toFixed(2)} MB as brotli`);
  expect(wasm).toBeLessThan(2.5e6);

  // Until the first token: the page, its scripts and wasm as brotli, the model as it is.
  const taken = new Set<string>();
  page.on("response", (response) => taken.add(new URL(response.url()).pathname));
  await page.goto(site.url);
  await page.getByTestId("prompt").fill(PROMPT);
  await page.getByTestId("write-button").click();
  await expect(page.getByTestId("output")).toContainText(/\S+ \S+/, { timeout: 60_000 });
  const folder = join(web, "dist", "site");
  let bytes = 0;
  for (const path of taken) {
    const file = readFileSync(join(folder, path === "/" ? "index.html" : path));
    bytes += path.endsWith(".gguf") ? file.length : brotliCompressSync(file).length;
  }
  console.log(`${taken.size} files, ${(bytes / 1e6).toFixed(2)} MB to the first token`);
  expect([...taken].filter((path) => path.endsWith(".gguf")).length).toBe(1);
  expect(bytes).toBeLessThan(10e6);
});

test("the package declares what it has", () => {
  const files = readdirSync(join(web, "dist", "package"));
  const { exports } = JSON.parse(readFileSync(join(web, "package.json"), "utf8")) as { exports: Record<string, Record<string, string>> };
  for (const path of Object.values(exports).flatMap((entry) => Object.values(entry))) {
    expect(files).toContain(path.replace("./dist/package/", ""));
  }
});
