import { defineConfig, type LaunchOptions } from "@playwright/test";

/** Debian's Chromium, or the one that CHROMIUM names. */
export const chromiumOptions: LaunchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    // Root has no sandbox.
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  // Of two files at a time, so that one that waits for a software device holds up nobody.
  workers: 2,
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: "list",
  use: { launchOptions: chromiumOptions },
});
