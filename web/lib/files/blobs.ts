/** Files that are at hand: dropped on the page, or downloaded into memory. */

import { FastweightError, FileError } from "../errors";
import type { Folder, Source } from "../files";
import { checkRange } from "./source";

export class BlobSource implements Source {
  constructor(
    readonly name: string,
    private readonly blob: Blob,
  ) {}

  get size(): number {
    return this.blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    try {
      return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
    } catch (cause) {
      const why = "it was moved, changed or deleted since it was chosen; choose it again";
      throw new FileError("bad-file", `${this.name} can't be read any more: ${why}`, { cause });
    }
  }

  close(): void {}
}

/** The files of a model that a person chose. */
export function blobFolder(files: readonly File[]): Folder {
  if (files.length === 0) {
    throw new FastweightError("bad-option", "no files were given: wanted a .gguf file, or a .safetensors file and what lies beside it");
  }
  const paths = files.map((file) => file.webkitRelativePath || file.name);
  // A folder that was chosen stands before all of its files' names.
  const top = paths[0]!.slice(0, paths[0]!.indexOf("/") + 1);
  const skipped = paths.every((path) => path.startsWith(top)) ? top.length : 0;
  const named = new Map(files.map((file, i) => [paths[i]!.slice(skipped), file]));
  const only = files.length === 1 ? [...named.keys()][0]! : null;
  return {
    name: only ?? (skipped > 0 ? top.slice(0, -1) : "the files"),
    file: only,
    list: async () => [...named.keys()],
    open: async (name) => {
      const file = named.get(name);
      return file ? new BlobSource(name, file) : null;
    },
    close() {},
  };
}
