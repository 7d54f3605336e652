/** Opens models for `files.spec.ts`, and tells what it got. */

import { toWire } from "../../lib/errors";
import { cached, locate, remove } from "../../lib/files/locate";
import type { ModelSource, Progress } from "../../lib/types";

export interface Request {
  command: "open" | "cached" | "remove";
  source?: string | File | File[];
  /** The files to open and read. */
  names?: string[];
  /** Only the first so many bytes of each. */
  bytes?: number;
  cache?: boolean;
  headersOnly?: boolean;
  hubUrl?: string;
  modelsUrl?: string;
  /** Abort once so many bytes have come of a file. */
  abortAt?: number;
  /** Abort while what is there is being checked. */
  abortAtCheck?: boolean;
  /** Keep the files open. */
  keep?: boolean;
}

export interface Opened {
  name: string;
  file: string | null;
  list: string[] | null;
  /** Size and the SHA-256 of what was read of each; null for one that isn't there. */
  files: Record<string, { size: number; sha256: string } | null>;
  progress: Progress[];
  milliseconds: number;
}

const PIECE = 8 << 20;

async function open(request: Request): Promise<Opened> {
  const abort = new AbortController();
  const progress: Progress[] = [];
  const start = performance.now();
  const folder = await locate(request.source as ModelSource, {
    cache: request.cache ?? true,
    headersOnly: request.headersOnly ?? false,
    modelsUrl: request.modelsUrl ?? `${location.origin}/models/`,
    hubUrl: request.hubUrl,
    signal: abort.signal,
    onProgress(report) {
      progress.push(report);
      postMessage({ progress: report });
      const isEnough = request.abortAt !== undefined && report.phase === "download" && report.loaded >= request.abortAt;
      if (isEnough || (request.abortAtCheck && report.phase === "check")) {
        abort.abort();
      }
    },
  });
  try {
    const files: Opened["files"] = {};
    for (const name of request.names ?? []) {
      const source = await folder.open(name);
      if (!source) {
        files[name] = null;
        continue;
      }
      const wanted = Math.min(source.size, request.bytes ?? source.size);
      const content = new Uint8Array(wanted);
      for (let at = 0; at < wanted; at += PIECE) {
        content.set(await source.read(at, Math.min(PIECE, wanted - at)), at);
      }
      files[name] = { size: source.size, sha256: await sha256(content) };
    }
    const list = await folder.list();
    return { name: folder.name, file: folder.file, list, files, progress, milliseconds: performance.now() - start };
  } finally {
    if (!request.keep) {
      folder.close();
    }
  }
}

async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

onmessage = async ({ data }: MessageEvent<Request>) => {
  try {
    switch (data.command) {
      case "open":
        postMessage({ result: await open(data) });
        break;
      case "cached":
        postMessage({ result: await cached() });
        break;
      case "remove":
        postMessage({ result: await remove(data.source as ModelSource) });
        break;
    }
  } catch (error) {
    postMessage({ error: toWire(error) });
  }
};
