/** Making elements. */

type Child = Node | string | null | undefined | false;

/** What an element gets: attributes by their HTML names, properties of a few that have no attribute, listeners by `on…`. */
export interface Attributes {
  [name: string]: string | number | boolean | null | undefined | ((event: never) => void);
}

/** Makes an element. An attribute that is `true` is empty, one that is `false`, `null` or `undefined` is left out. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as (event: Event) => void);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(element, ...children);
  return element;
}

export function add(parent: Node, ...children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
    }
  }
}

/** Shows or hides elements. A hidden one that had the focus gives it to `heir`. */
export function show(visible: boolean, element: HTMLElement, heir?: HTMLElement): void {
  const focused = !visible && element.contains(document.activeElement);
  element.hidden = !visible;
  if (focused) heir?.focus();
}

let lastId = 0;

export function newId(prefix: string): string {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** A button that never submits a form. */
export function button(label: string, attributes: Attributes = {}): HTMLButtonElement {
  return el("button", { type: "button", ...attributes }, label);
}

/** A labelled control: the label, the control, and a line of explanation under it. */
export function field(
  label: string,
  control: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement,
  hint?: string,
): HTMLElement {
  if (control.id === "") control.id = newId("field");
  const hintId = `${control.id}-hint`;
  if (hint !== undefined) control.setAttribute("aria-describedby", hintId);
  return el(
    "div",
    { class: "field" },
    el("label", { for: control.id }, label),
    control,
    hint !== undefined && el("p", { class: "hint", id: hintId }, hint),
  );
}

/** Runs `draw` in the next frame, once, however often it was asked for. */
export function oncePerFrame(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
