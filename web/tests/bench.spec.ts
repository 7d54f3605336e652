/** Measuring and reporting with the package, without the app. */

import { expect, test, type Page } from "@playwright/test";
import { madeResults } from "./made-results";
import { Site } from "./site";

type Package = typeof import("../lib/index");

let site: Site;
test.beforeAll(async () => void (site = await Site.open()));
test.afterAll(() => site.close());

async function open(page: Page): Promise<void> {
  await page.goto(new URL("blank.html", site.url).href);
  await page.evaluate(async () => void (globalThis.fastweight = (await import("/package/fastweight.js" as string)) as Package));
}

test("an aborted run rejects, and what it had is told before", async ({ page }) => {
  test.setTimeout(120_000);
  await open(page);
  const found = await page.evaluate(async () => {
    const abort = new AbortController();
    const told: string[] = [];
    const run = fastweight.bench({
      device: "cpu",
      quick: true,
      repetitions: 1,
      sections: ["kernels", "device"],
      only: ["rms_norm"],
      signal: abort.signal,
      onProgress: ({ section, done }) => {
        told.push(`progress ${done >= 0 && done <= 1}`);
        if (section === "device") abort.abort();
      },
      onPartial: ({ complete, measurements }) => told.push(`partial ${complete} ${measurements.length > 0}`),
    });
    const ended = await run.then(() => "done", (error: DOMException) => error.name);
    // Aborted before it began, it does not begin.
    const again = await fastweight.bench({ signal: abort.signal }).then(() => "done", (error: DOMException) => error.name);
    return { ended, again, told: [...new Set(told)] };
  });
  expect(found).toEqual({ ended: "AbortError", again: "AbortError", told: ["progress true", "partial false true"] });
});

test("results in any form make one report, and what is none is refused", async ({ page }) => {
  await open(page);
  const found = await page.evaluate(async (made) => {
    const text = JSON.stringify(made);
    const html = await fastweight.report([made, text, new File([text], "third.json")]);
    const read = await fastweight.readResults(new File([text], "a.json"));
    const refused = await fastweight.readResults(new File(["{}"], "bad.json")).then(
      () => null,
      (error: { code: string; message: string; name: string }) => ({ code: error.code, message: error.message, name: error.name }),
    );
    const slower = structuredClone(made);
    for (const row of slower.measurements) row.samples = row.samples.map((seconds) => 2 * seconds);
    const { pairs } = await fastweight.compare(made, slower);
    const verdicts = [...new Set(pairs.map(({ change }) => change.verdict))];
    const other = { ...made, device: { ...made.device, name: "Another" }, engine: { ...made.engine, version: "9.0.0" } };
    const both = await fastweight.compare(made, other).then(() => null, (error: { code: string }) => error.code);
    const forced = await fastweight.compare(made, other, { force: true });
    return { html, verdicts, both, notes: forced.notes.length, same: JSON.stringify(read) === text, refused };
  }, madeResults("before"));
  for (const name of ["result 1", "result 2", "third.json"]) expect(found.html).toContain(name);
  expect(found.verdicts).toEqual(["slower"]);
  expect(found.both).toBe("bad-option");
  expect(found.notes).toBeGreaterThan(0);
  expect(found.same).toBe(true);
  expect(found.refused).toMatchObject({ code: "bad-results", name: "FileError" });
  expect(found.refused?.message).toMatch(/^bad\.json: /);
});
