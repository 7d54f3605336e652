import { chromium, expect, test } from "@playwright/test";
import { diagnose, readUserAgent } from "../lib/preflight";
import type { Preflight } from "../lib/types";
import { bundle } from "./bundle";
import { FileServer } from "./file-server";

const AGENTS = {
  chromeLinux: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
  chromeWindows: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
  oldChrome: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36",
  firefoxLinux: "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
  oldFirefox: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
  safari: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
  iphone: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  chromeIos: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0.0.0 Mobile/15E148 Safari/604.1",
};

const LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBuffersPerShaderStage: 12,
  maxStorageBufferBindingSize: 128 << 20,
  maxBufferSize: 256 << 20,
  maxComputeWorkgroupStorageSize: 16 << 10,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65_535,
};

function gpu(info: Partial<GPUAdapterInfo> | null, limits: Partial<typeof LIMITS> = {}): Pick<GPU, "requestAdapter"> {
  const adapter = info && {
    info: { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false, ...info },
    limits: { ...LIMITS, ...limits },
  };
  return { requestAdapter: async () => adapter as GPUAdapter | null };
}

test("a browser is known by what it sends", () => {
  expect(readUserAgent(AGENTS.chromeLinux)).toEqual({ name: "chrome", version: 156, system: "linux" });
  expect(readUserAgent(AGENTS.firefoxLinux)).toEqual({ name: "firefox", version: 153, system: "linux" });
  expect(readUserAgent(AGENTS.safari)).toEqual({ name: "safari", version: 18, system: "mac" });
  expect(readUserAgent(AGENTS.chromeIos)).toMatchObject({ name: "safari", system: "ios" });
});

test("without WebGPU, it says what would give it", async () => {
  const say = (userAgent: string, isSecureContext = true) => diagnose({ userAgent, isSecureContext, gpu: undefined });
  for (const [agent, words] of [
    ["oldChrome", "version 113"],
    ["chromeLinux", "chrome://flags/#enable-vulkan"],
    ["firefoxLinux", "dom.webgpu.enabled"],
    ["oldFirefox", "141"],
    ["safari", "Safari 26"],
    ["iphone", "iPadOS 26"],
    ["chromeIos", "iPadOS 26"],
  ] as const) {
    const found = await say(AGENTS[agent]);
    expect(found.webgpu, agent).toBe(false);
    expect(found.fix, agent).toContain(words);
  }
  expect((await say(AGENTS.chromeLinux, false)).fix).toContain("https://");
});

test("without an adapter, it says where to look", async () => {
  for (const [agent, words] of [
    ["chromeWindows", "chrome://gpu"],
    ["chromeLinux", "chrome://flags/#enable-unsafe-webgpu"],
    ["firefoxLinux", "about:support"],
    ["safari", "lockdown"],
  ] as const) {
    const found = await diagnose({ userAgent: AGENTS[agent], isSecureContext: true, gpu: gpu(null) });
    expect(found.webgpu).toBe(false);
    expect(found.fix).toContain(words);
  }
});

test("an adapter is a GPU, software, or too small", async () => {
  const say = (adapter: ReturnType<typeof gpu>) => diagnose({ userAgent: AGENTS.chromeLinux, isSecureContext: true, gpu: adapter });
  expect(await say(gpu({ vendor: "nvidia", architecture: "ada" }))).toEqual({ webgpu: true, reason: "GPU: nvidia ada.", fix: null });
  for (const info of [{ isFallbackAdapter: true }, { vendor: "google", architecture: "swiftshader" }, { description: "llvmpipe (LLVM 19)" }]) {
    const found = await say(gpu(info));
    expect(found.webgpu).toBe(true);
    expect(found.reason).toContain("software");
    expect(found.fix).not.toBeNull();
  }
  const small = await say(gpu({ vendor: "x" }, { maxStorageBuffersPerShaderStage: 4 }));
  expect(small.webgpu).toBe(false);
  expect(small.reason).toContain("maxStorageBuffersPerShaderStage is 4, wanted 8");
});

test.describe("in the browser", () => {
  let server: FileServer;

  test.beforeAll(async () => {
    server = await FileServer.start();
    server.serve({
      "/": { body: `<!doctype html><script type="module" src="/page.js"></script>`, type: "text/html" },
      "/page.js": { body: await bundle("preflight-page.ts"), type: "text/javascript" },
    });
  });

  test.afterAll(() => server.stop());

  test("a window and a worker say the same", async ({ page }) => {
    await page.goto(server.origin);
    const inWindow = await page.evaluate(() => window.preflight());
    const inWorker = await page.evaluate(
      () => new Promise<Preflight>((resolve) => (new Worker("/page.js", { type: "module" }).onmessage = ({ data }) => resolve(data))),
    );
    expect(inWorker).toEqual(inWindow);
    expect(inWindow.webgpu).toBe(true);
    expect(inWindow.reason).toMatch(/swiftshader/i);
    expect(inWindow.reason).toContain("software");
  });

  test("without an adapter there is a way out", async ({}, info) => {
    const browser = await chromium.launch({ ...info.project.use.launchOptions, args: ["--no-sandbox", "--disable-gpu", "--disable-software-rasterizer"] });
    const page = await browser.newPage();
    await page.goto(server.origin);
    const found = await page.evaluate(() => window.preflight());
    expect(found.webgpu).toBe(false);
    expect(found.fix).toContain("chrome://");
    await browser.close();
  });
});
