/** Serves what was built, as a static host would: the site, the package, the models. */

import { createReadStream, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { POLICY } from "../policy";

const web = join(import.meta.dirname, "..");

/** Folders by the beginning of their path. */
const PLACES: [string, string][] = [
  ["/package/", join(web, "dist", "package")],
  ["/fixtures/", join(web, "..", "tests", "fixtures")],
  ["/", join(web, "dist", "site")],
];

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

/** A page with nothing on it, for tests that use the package by itself. */
const BLANK = '<!doctype html><html lang="en"><title>blank</title><link rel="icon" href="data:,"></html>';

export class Site {
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async open(): Promise<Site> {
    const server = createServer((request, response) => {
      const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://site").pathname));
      if (path === "/blank.html") {
        response.writeHead(200, { "Content-Type": "text/html", "Content-Security-Policy": POLICY });
        response.end(BLANK);
        return;
      }
      const [prefix, folder] = PLACES.find(([prefix]) => path.startsWith(prefix)) ?? ["/", web];
      const file = join(folder, path.slice(prefix.length) || "index.html");
      const found = file.startsWith(folder) ? statSync(file, { throwIfNoEntry: false }) : undefined;
      if (!found?.isFile()) {
        response.writeHead(404, { "Content-Type": "text/plain", "Access-Control-Allow-Origin": "*" });
        response.end("not found");
        return;
      }
      response.writeHead(200, {
        "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
        "Content-Length": found.size,
        "Access-Control-Allow-Origin": "*",
        "Content-Security-Policy": POLICY,
      });
      createReadStream(file).pipe(response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Site(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
