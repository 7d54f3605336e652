/**
 * The engine's report, in a frame: what stands in it comes from strangers' files, so that it has a policy of its own, runs no script and shares no style with
 * the page. The page's own policy holds in it, too, and names the report's style (`policy.ts`).
 */

import { el } from "./dom";
import { isDark, themeChanged } from "./theme";

export class ReportFrame {
  /** Same origin, so that its height can be seen; without scripts, nothing in it can make use of that. */
  readonly element = el("iframe", { class: "report-frame", sandbox: "allow-same-origin", title: "The report", "data-testid": "report", hidden: true });
  private observer: ResizeObserver | null = null;

  constructor() {
    this.element.addEventListener("load", () => {
      this.colour();
      this.fit();
    });
    themeChanged.addEventListener("change", () => this.colour());
  }

  /** Shows a page; none if it is empty. */
  show(html: string): void {
    this.element.hidden = html === "";
    if (html !== "") this.element.srcdoc = html;
  }

  /** None while the page is being read, as again whenever the frame is put somewhere else: once it is there, it says so. */
  private root(): HTMLElement | null {
    return this.element.contentDocument?.documentElement ?? null;
  }

  /** Light or dark as the page is, which need not be as the system is. */
  private colour(): void {
    const root = this.root();
    if (root === null) return;
    for (const sheet of root.ownerDocument.styleSheets) {
      for (const rule of sheet.cssRules) {
        // Once it was changed, its condition does not tell any more what it was.
        const { media } = rule as Partial<CSSMediaRule>;
        if (media && /prefers-color-scheme|^(not )?all$/.test(media.mediaText)) media.mediaText = isDark() ? "all" : "not all";
      }
    }
    root.style.colorScheme = isDark() ? "dark" : "light";
  }

  /** As high as what is in it, so that the page scrolls and the frame does not. */
  private fit(): void {
    this.observer?.disconnect();
    const root = this.root();
    if (root === null) return;
    this.observer = new ResizeObserver(() => (this.element.style.height = `${root.offsetHeight}px`));
    this.observer.observe(root);
  }
}
