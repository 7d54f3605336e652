/** The parts of the origin's private file system that TypeScript's DOM types leave out, since they exist in dedicated workers only. */

export interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

interface WorkerFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(options?: { mode: "readwrite" | "read-only" }): Promise<SyncHandle>;
}

/** Whether files can be written piece by piece here. */
export function canStore(): boolean {
  return "FileSystemFileHandle" in globalThis && "createSyncAccessHandle" in FileSystemFileHandle.prototype;
}

/** Opens a file for reading and writing. Fails with `NoModificationAllowedError` while anyone else has it open. */
export function openForWriting(file: FileSystemFileHandle): Promise<SyncHandle> {
  return (file as WorkerFileHandle).createSyncAccessHandle();
}

/** Opens a file for reading. Browsers that don't know the mode let one have it at a time. */
export function openForReading(file: FileSystemFileHandle): Promise<SyncHandle> {
  return (file as WorkerFileHandle).createSyncAccessHandle({ mode: "read-only" });
}

/** Whether an error has this name. */
export function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
