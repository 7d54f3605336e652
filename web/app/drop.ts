/** Files and folders dropped on the page. */

import { el } from "./dom";
import { toast } from "./problems";

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  for (;;) {
    // it gives a hundred at a time, and none at the end
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const child of entries) if (child.isFile) files.push(...(await filesOf(child)));
  }
}

async function dropped(data: DataTransfer): Promise<File[]> {
  // entries must be taken before the first await: the list is empty afterwards
  const entries = Array.from(data.items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) return [...data.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** What becomes of files that are dropped. */
export interface DropTarget {
  /** What may be dropped, in words. */
  words: string;
  take(files: File[]): void;
}

/** Takes files that are dropped anywhere on the page. */
export function acceptDrops(target: () => DropTarget): void {
  const words = el("p");
  const veil = el("div", { class: "veil", hidden: true, "data-testid": "drop-veil" }, words);
  document.body.append(veil);
  const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  let depth = 0;
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    words.textContent = target().words;
    veil.hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  window.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    if (!hasFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    dropped(event.dataTransfer).then((files) => {
      if (files.length > 0) target().take(files);
    }, toast);
  });
}
