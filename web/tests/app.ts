/** The app in a page, as a person uses it, and what must never happen meanwhile. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test as base, type Locator, type Page } from "@playwright/test";
import { Site } from "./site";

export type View = "write" | "learn" | "bench" | "compare";

/** The columns behind a figure. */
export type Series = Record<string, (number | null)[]>;

/** Loading, reading and writing take this long on a slow machine. */
const PATIENCE = 60_000;

export class App {
  /** Errors, warnings and violations of the policy, but those that a test announced. */
  readonly complaints: string[] = [];
  readonly requests: string[] = [];
  /** What the browser may complain of: it reports every 404 by itself. */
  allowed: RegExp[] = [];
  /** What requests may begin with. */
  readonly trusted: string[];

  constructor(
    readonly page: Page,
    readonly url: string,
  ) {
    this.trusted = [url, "data:", "blob:"];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complain(`${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.complain(String(error)));
    page.on("request", (request) => this.requests.push(request.url()));
  }

  private complain(of: string): void {
    if (!this.allowed.some((pattern) => pattern.test(of))) this.complaints.push(of);
  }

  at(testId: string): Locator {
    return this.page.getByTestId(testId);
  }

  /** Opens a view; the page loads the shipped model by itself. */
  async open(view: View = "write"): Promise<void> {
    await this.page.goto(`${this.url}#/${view}`);
    await this.ready();
  }

  async ready(): Promise<void> {
    await expect(this.page.locator("#status")).toHaveAttribute("data-state", "ready", { timeout: PATIENCE });
  }

  async show(view: View): Promise<void> {
    await this.at(`nav-${view}`).click();
  }

  /** Sets options of writing by their names; `form` is what their test ids begin with. */
  async options(options: Record<string, number | string>, form = "option"): Promise<void> {
    if (!(await this.at(`${form}-seed`).isVisible())) {
      const more = this.at(form === "option" ? "more-options" : `${form}-more`);
      if (!(await more.isVisible())) await this.at(`${form}-how`).click();
      await more.click();
    }
    for (const [name, value] of Object.entries(options)) await this.at(`${form}-${name}`).fill(String(value));
  }

  /** Writes until it ends. Resolves to the whole text. */
  async write(prompt: string, options: Record<string, number | string> = {}): Promise<string> {
    await this.options(options);
    await this.at("prompt").fill(prompt);
    await this.at("write-button").click();
    return this.written();
  }

  async written(): Promise<string> {
    await expect(this.at("write-button")).toBeVisible({ timeout: PATIENCE });
    return this.text("output");
  }

  async text(testId: string): Promise<string> {
    return (await this.at(testId).textContent()) ?? "";
  }

  /** A figure under a text, as it stands there. */
  async figure(testId: string, name: string): Promise<string> {
    return (await this.at(`${testId}-numbers`).locator(`dd[data-figure="${name}"]`).textContent()) ?? "";
  }

  /** Reads a text of the test's own to its end. */
  async read(text: string): Promise<void> {
    if (await this.at("edit-text").isVisible()) await this.at("edit-text").click();
    await this.at("learn-text").fill(text);
    await this.at("read-button").click();
    await expect(this.at("read-button")).toBeVisible({ timeout: PATIENCE });
    await expect(this.at("read-summary")).toContainText("Mean loss");
  }

  series(chart: string): Promise<Series> {
    return this.at(chart).evaluate((figure) => (figure as HTMLElement & { series: () => Series }).series());
  }

  /** The problem that is shown; fails if there are several or none. */
  problem(): Locator {
    return this.at("problem").and(this.page.locator(":visible"));
  }
}

/** Runs something of the command line, which may have to wait for a build: that is not the test's time. */
export function patiently<T>(run: () => T): T {
  const start = Date.now();
  const result = run();
  base.setTimeout(base.info().timeout + Date.now() - start);
  return result;
}

interface Fixtures {
  app: App;
  /** A folder that is gone after the test. */
  folder: string;
}

export const test = base.extend<Fixtures, { site: Site }>({
  site: [
    async ({}, use) => {
      const site = await Site.open();
      await use(site);
      await site.close();
    },
    { scope: "worker" },
  ],

  app: async ({ page, site }, use) => {
    base.setTimeout(3 * PATIENCE);
    page.setDefaultTimeout(PATIENCE / 2);
    const app = new App(page, site.url);
    await use(app);
    expect(app.complaints).toEqual([]);
    expect(app.requests.filter((url) => !app.trusted.some((start) => url.startsWith(start)))).toEqual([]);
  },

  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "fastweight-app-"));
    await use(folder);
    rmSync(folder, { recursive: true });
  },
});

export { expect };
