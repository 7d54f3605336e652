/** The page Compare: files in, the engine's report out, and nothing asked of the network. */

import { readFileSync } from "node:fs";
import { expect, test } from "./app";
import { madeFile, madeResults, resultsFile } from "./made-results";

const before = madeResults("before");
/** From a stranger. */
const hostile = madeResults("software");
hostile.device.name = '<img src="https://example.com/x.png" onerror="alert(1)"><script>alert(2)</script>';
Object.assign(hostile, { valid: false, invalid: ["a <b>reason</b>"] });
const three = [resultsFile("before.json", before), resultsFile("after.json", madeResults("after")), resultsFile("third.json", hostile)];

test("three results make a report, without a request", async ({ app, page }) => {
  await app.open("compare");
  const { length } = app.requests;
  await app.at("compare-files").setInputFiles(three);
  await expect(app.at("compare-status")).toHaveText("The report of 3 results is below.");
  await expect(app.at("compare-list").locator("li")).toHaveCount(3);
  await expect(app.at("compare-list")).toContainText("not valid");

  // Figures are drawn, with the report's own style, and the frame is as high as they need.
  const report = page.frameLocator('[data-testid="report"]');
  await expect(report.locator("h1")).toHaveText("Fastweight bench");
  const figures = report.locator("figure > svg");
  expect(await figures.count()).toBeGreaterThan(2);
  for (const figure of await figures.all()) expect((await figure.boundingBox())!.height).toBeGreaterThan(100);
  expect(await report.locator("body").evaluate((body) => getComputedStyle(body).margin)).toBe("0px");
  await expect.poll(() => app.at("report").evaluate((frame: HTMLIFrameElement) => frame.contentDocument!.documentElement.offsetHeight - frame.clientHeight)).toBeLessThanOrEqual(0);
  // What strangers wrote is text.
  await expect(report.locator("body")).toContainText('<img src="https://example.com/x.png"');
  expect(await report.locator("img, script, b").count()).toBe(0);
  expect(app.requests.slice(length).filter((url) => !url.startsWith("about:"))).toEqual([]);

  // Light or dark as the page is, by its own choice, too.
  const paper = () => report.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
  const light = await paper();
  await app.at("theme-button").click();
  await app.at("theme-button").click();
  await expect.poll(paper).not.toBe(light);

  const [download] = await Promise.all([page.waitForEvent("download"), app.at("compare-save").click()]);
  expect(download.suggestedFilename()).toBe("fastweight-report.html");
  expect(readFileSync(await download.path(), "utf8")).toContain(before.device.name);

  await app.at("compare-list").getByRole("button", { name: "Remove third.json" }).click();
  await expect(app.at("compare-status")).toHaveText("The report of 2 results is below.");
  await expect(report.locator("body")).not.toContainText("example.com");
});

test("each bad file is named, and the good ones are taken", async ({ app, page }) => {
  await app.open("compare");
  const negative = madeResults("before");
  negative.measurements[0]!.samples[0] = -1;
  await app.at("compare-files").setInputFiles([
    resultsFile("good.json", before),
    resultsFile("nonsense.json", "nonsense"),
    resultsFile("newer.json", { ...before, schema: "fastweight-bench/9" }),
    resultsFile("negative.json", negative),
  ]);
  await expect(app.at("compare-status")).toHaveText("The report of one result is below.");
  const problems = app.at("problem");
  await expect(problems).toHaveCount(3);
  for (const [i, words] of [["nonsense.json"], ["newer.json", "fastweight-bench/9"], ["negative.json", "-1"]].entries()) {
    await expect(problems.nth(i)).toHaveAttribute("data-code", "bad-results");
    for (const word of words) await expect(problems.nth(i)).toContainText(word);
  }

  // Dropped on this page, files are results; the problems of the last ones are gone.
  const dropped = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "dropped.json"));
    return transfer;
  }, JSON.stringify(before));
  await page.dispatchEvent("main", "drop", { dataTransfer: dropped });
  await expect(app.at("compare-list")).toContainText("dropped.json");
  await expect(problems).toHaveCount(0);
  await expect(app.at("model-dialog")).toBeHidden();
});

test("by keyboard alone", async ({ app, page }) => {
  // Files are asked of the test, and no dialog opens, from here on.
  page.on("filechooser", () => {});
  await app.open("compare");
  await app.at("compare-choose").focus();
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Enter")]);
  await chooser.setFiles(madeFile("before"));
  await expect(app.at("compare-status")).toContainText("one result");
  for (let i = 0; i < 3; i += 1) {
    await page.keyboard.press("Tab");
    if (await app.at("compare-list").getByRole("button").evaluate((button) => button === document.activeElement)) break;
  }
  await page.keyboard.press("Enter");
  await expect(app.at("compare-list")).toBeHidden();
  await expect(app.at("compare-choose")).toBeFocused();
  await expect(app.at("report")).toBeHidden();
});
