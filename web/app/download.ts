/** Files that leave the page by the user's hand. */

import { el } from "./dom";

export function saveFile(name: string, content: BlobPart, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export type Cell = string | number | null;

export function csv(header: readonly string[], rows: Iterable<readonly Cell[]>): string {
  const lines = [header.join(",")];
  for (const row of rows) {
    lines.push(row.map((cell) => (typeof cell === "string" ? `"${cell.replace(/"/g, '""')}"` : cell === null || Number.isNaN(cell) ? "" : String(cell))).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}
