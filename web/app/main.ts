/** The shell: header, pages by hash, and the model that loads by itself. */

import { comparison } from "./comparison";
import { el } from "./dom";
import { acceptDrops, type DropTarget } from "./drop";
import { load, SHIPPED } from "./model";
import { ModelDialog } from "./model-dialog";
import { toast } from "./problems";
import { startStatus } from "./status";
import { startTheme } from "./theme";
import { benchView } from "./views/bench";
import { compareView } from "./views/compare";
import { learnView } from "./views/learn";
import { writeView } from "./views/write";

const pages = {
  write: { title: "Write", make: writeView },
  learn: { title: "Learn", make: learnView },
  bench: { title: "Bench", make: benchView },
  compare: { title: "Compare", make: compareView },
};
type Page = keyof typeof pages;

const byId = (id: string): HTMLElement => {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element;
};

const main = byId("main");
const made = new Map<Page, HTMLElement>();
const links = new Map<Page, HTMLAnchorElement>();
let shown: Page = "write";

for (const [name, { title }] of Object.entries(pages) as [Page, (typeof pages)[Page]][]) {
  const link = el("a", { href: `#/${name}`, "data-testid": `nav-${name}` }, title);
  links.set(name, link);
  byId("nav").append(link);
}

function route(first = false): void {
  const asked = location.hash.replace(/^#\/?/, "");
  if (asked === "main") return; // the skip link
  const page: Page = asked in pages ? (asked as Page) : "write";
  let view = made.get(page);
  if (view === undefined) {
    view = pages[page].make();
    made.set(page, view);
    main.append(view);
  }
  shown = page;
  for (const [name, element] of made) element.hidden = name !== page;
  for (const [name, link] of links) {
    if (name === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = page === "write" ? "Fastweight: models that learn while they read" : `${pages[page].title} – Fastweight`;
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

byId("main").replaceChildren();
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
startTheme(byId("theme") as HTMLButtonElement);
const dialog = new ModelDialog();
document.body.append(dialog.element);
startStatus(byId("status"), () => dialog.open());
const models: DropTarget = { words: "Drop a .gguf file, or a folder with a model", take: (files) => dialog.open(files) };
const results: DropTarget = { words: "Drop files of results", take: (files) => void comparison.add(files) };
acceptDrops(() => (shown === "compare" ? results : models));
window.addEventListener("hashchange", () => route());
window.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  console.error(event.reason);
  toast(event.reason);
});
route(true);
void load(SHIPPED);
