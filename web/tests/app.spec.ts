/** The page Write. */

import { GREEDY } from "./checks";
import * as commandLine from "./command-line";
import { expect, patiently, test } from "./app";

const fastweight = (...args: string[]): string => patiently(() => commandLine.fastweight(...args));
const { prompt, predict } = GREEDY;
const greedily = (predict: number) => ({ temp: 0, predict });

test("the shipped model loads by itself, and the page says where it runs and why", async ({ app, site }) => {
  await app.open();
  await expect(app.at("model-line")).toContainText("ttt-linear-stories-6m");
  await expect(app.at("model-line")).toContainText("learns while it reads");
  await expect(app.at("device-line")).toContainText(/^On the CPU\. \S+ .*software/);
  // The worker's requests are among those that the page is watched for.
  expect(app.requests.filter((url) => url.startsWith(`${site.url}models/`)).length).toBeGreaterThan(0);
  expect(app.requests.filter((url) => url.endsWith(".wasm")).length).toBe(1);
});

test("the watch over the page hears of errors, violations and other origins", async ({ app, page }) => {
  await app.open("bench");
  await page.evaluate(() => {
    console.warn("a warning");
    void fetch("http://127.0.0.1:9/").catch(() => {});
    const style = document.createElement("style");
    style.textContent = "body { margin: 0 }";
    document.head.append(style);
  });
  await expect.poll(() => app.complaints.join("\n")).toMatch(/a warning[^]*Content Security Policy/);
  await expect.poll(() => app.requests).toContain("http://127.0.0.1:9/");
  app.complaints.length = 0;
  app.requests.length = 0;
  app.allowed = [/./];
});

test("64 greedy tokens are the command line's", async ({ app }) => {
  await app.open();
  const wanted = fastweight("generate", prompt, "--temp", "0", "-n", String(predict));
  expect(await app.write(prompt, greedily(predict))).toBe(prompt + wanted);
  expect(await app.figure("output", "Ended")).toBe("at the token limit");
});

test("stopped in the middle and written on, a text is the same", async ({ app }) => {
  await app.open();
  await app.options(greedily(100_000));
  await app.at("prompt").fill(prompt);
  await app.at("write-button").click();
  await expect.poll(async () => (await app.text("output")).length).toBeGreaterThan(prompt.length);
  await app.at("stop-button").click();
  const before = await app.written();
  expect(await app.figure("output", "Ended")).toBe("by you");
  const length = Number((await app.figure("output", "In the session")).replace(/\D/g, ""));
  const text = await app.write("", greedily(40));
  const after = Number((await app.figure("output", "In the session")).replace(/\D/g, ""));
  expect(after).toBe(length + 40);

  // In one go, in the same page.
  await app.at("start-over").click();
  await expect(app.at("prompt")).toHaveValue(prompt);
  await app.write(prompt, greedily(1));
  const given = Number((await app.figure("output", "In the session")).replace(/\D/g, "")) - 1;
  await app.at("start-over").click();
  expect(await app.write(prompt, greedily(after - given))).toBe(text);
  expect(text.startsWith(before)).toBe(true);
});

test("with a seed, a drawn text is the command line's; without one, every text has its own", async ({ app }) => {
  await app.open();
  const wanted = fastweight("generate", "Once upon a time", "-s", "7", "-n", "40");
  expect(await app.write("Once upon a time", { seed: 7, predict: 40 })).toBe(`Once upon a time${wanted}`);
  expect(await app.figure("output", "Seed")).toBe("7");
  await app.at("start-over").click();
  await app.write("Once upon a time", { seed: "", predict: 1 });
  const first = await app.figure("output", "Seed");
  await app.write("", { predict: 1 });
  expect(await app.figure("output", "Seed")).not.toBe(first);
});

test("more options change the text as they do on the command line", async ({ app }) => {
  await app.open();
  const flags = ["-s", "3", "-n", "30", "--temp", "1.2", "--top-k", "0", "--top-p", "1", "--min-p", "0.01", "--repeat-penalty", "1.3", "--repeat-last-n", "20"];
  const wanted = fastweight("generate", prompt, ...flags);
  const options = { seed: 3, predict: 30, temp: 1.2, topK: 0, topP: 1, minP: 0.01, repeatPenalty: 1.3, repeatLastN: 20 };
  expect(await app.write(prompt, options)).toBe(prompt + wanted);
  await app.at("start-over").click();
  const text = await app.write(prompt, { ...options, stop: wanted.slice(10, 16) });
  expect(text).toBe(prompt + wanted.slice(0, wanted.indexOf(wanted.slice(10, 16))));
  expect(await app.figure("output", "Ended")).toBe("at your stop text");
});

test("an option out of range is refused, and the page goes on", async ({ app }) => {
  await app.open();
  await app.write(prompt, { temp: -1, predict: 4 });
  await expect(app.problem()).toHaveAttribute("data-code", "bad-option");
  await expect(app.problem()).toContainText("Temperature is -1");
  await app.write(prompt, greedily(4));
  await expect(app.problem()).toHaveCount(0);
  expect(await app.figure("output", "Ended")).toBe("at the token limit");
});
