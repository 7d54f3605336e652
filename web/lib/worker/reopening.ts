/** A model's folder that can be read again after it was closed: a model whose device was lost comes from it anew. */

import type { Folder, Source } from "../files";

export class Reopening implements Folder {
  readonly name: string;
  readonly file: string | null;
  /** Bytes of the files that were opened. */
  readonly sizes = new Map<string, number>();
  private current: Folder | null;

  constructor(
    first: Folder,
    private readonly locate: () => Promise<Folder>,
  ) {
    this.name = first.name;
    this.file = first.file;
    this.current = first;
  }

  async list(): Promise<string[] | null> {
    return (await this.folder()).list();
  }

  async open(name: string): Promise<Source | null> {
    const source = await (await this.folder()).open(name);
    if (source) this.sizes.set(name, source.size);
    return source;
  }

  close(): void {
    this.current?.close();
    this.current = null;
  }

  private async folder(): Promise<Folder> {
    return (this.current ??= await this.locate());
  }
}
