/** A small server of files whose faults can be chosen. */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A file, and how it is served. */
export interface Served {
  body: Buffer | string;
  /** By default, all of these are as good servers have them. */
  ranges?: boolean;
  etag?: string | null;
  lastModified?: string | null;
  length?: boolean;
  status?: number;
  type?: string;
  /** Cut the connection after so many bytes of a body, for the first so many requests. */
  cutAfter?: number;
  cuts?: number;
  /** Wait for this before the connection is cut: of what was sent, a browser forgets what the page hasn't read yet. */
  taken?: () => Promise<unknown>;
  /** Bytes a second. */
  rate?: number;
  /** Wait for this before anything is sent. */
  hold?: Promise<void>;
}

export interface Asked {
  method: string;
  path: string;
  range: string | undefined;
  ifRange: string | undefined;
  encoding: string | undefined;
}

export class FileServer {
  readonly files = new Map<string, Served>();
  /** What was asked for, without what the page itself is made of. */
  readonly asked: Asked[] = [];
  /** The pages of other sites that may read it. */
  cors: "none" | "plain" | "exposed" = "none";
  /** What a path without a file is answered with. */
  fallback: Served | null = null;
  private constructor(private readonly server: Server) {}

  static async start(): Promise<FileServer> {
    const server = createServer();
    const files = new FileServer(server);
    server.on("request", (request, response) => void files.answer(request, response).catch(() => response.destroy()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return files;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Serves files, and forgets all that was before. */
  serve(files: Record<string, Served | Buffer | string>): void {
    this.files.clear();
    for (const [path, file] of Object.entries(files)) {
      this.files.set(path, typeof file === "string" || Buffer.isBuffer(file) ? { body: file } : file);
    }
    this.asked.length = 0;
    this.cors = "none";
    this.fallback = null;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(request.url ?? "/");
    const { range, "if-range": ifRange, "accept-encoding": encoding } = request.headers;
    this.asked.push({ method: request.method ?? "", path, range, ifRange: ifRange as string | undefined, encoding: encoding as string | undefined });
    const file = this.files.get(path) ?? this.fallback ?? { body: "not here", status: 404 };
    await file.hold;
    if (this.cors !== "none") {
      response.setHeader("access-control-allow-origin", "*");
    }
    if (this.cors === "exposed") {
      response.setHeader("access-control-expose-headers", "etag, content-range");
    }
    const body = Buffer.from(file.body);
    const etag = file.etag === undefined ? `"${createHash("md5").update(body).digest("hex")}"` : file.etag;
    if (etag) {
      response.setHeader("etag", etag);
    }
    if (file.lastModified) {
      response.setHeader("last-modified", file.lastModified);
    }
    response.setHeader("content-type", file.type ?? "application/octet-stream");
    let [from, to] = [0, body.length - 1];
    let status = file.status ?? 200;
    const wanted = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
    const fresh = ifRange === undefined || ifRange === etag || ifRange === file.lastModified;
    if (status === 200 && wanted && fresh && file.ranges !== false && request.method === "GET") {
      [from, to] = [Number(wanted[1]), Math.min(to, wanted[2] ? Number(wanted[2]) : to)];
      if (from > to) {
        response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
        return;
      }
      status = 206;
      response.setHeader("content-range", `bytes ${from}-${to}/${body.length}`);
    }
    const part = body.subarray(from, to + 1);
    if (file.length !== false) {
      response.setHeader("content-length", part.length);
    }
    response.writeHead(status);
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const cut = (file.cuts ?? 0) > 0 ? (file.cutAfter ?? 0) : Infinity;
    if (cut < Infinity) {
      file.cuts! -= 1;
    }
    const step = file.rate ? Math.max(1, Math.round(file.rate / 20)) : 1 << 20;
    for (let at = 0; at < part.length && at < cut; at += step) {
      const piece = part.subarray(at, Math.min(at + step, cut));
      if (response.destroyed) {
        return;
      }
      if (!response.write(piece)) {
        await new Promise<void>((resolve) => {
          const go = () => {
            response.off("drain", go).off("close", go);
            resolve();
          };
          response.on("drain", go).on("close", go);
        });
      }
      if (file.rate) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    if (cut < part.length) {
      // What was written goes out first.
      await (file.taken?.() ?? new Promise((resolve) => setTimeout(resolve, 50)));
      response.destroy();
      return;
    }
    response.end();
  }
}
