import { createReadStream, cpSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { POLICY } from "./policy";

const models = join(import.meta.dirname, "..", "models");
const out = join(import.meta.dirname, "dist", "site");

/** The models that ship with the project, under `models/` of the site. */
function shippedModels(): Plugin {
  return {
    name: "shipped-models",
    configureServer(server) {
      server.middlewares.use("/models", (request, response) => {
        const path = normalize(decodeURIComponent((request.url ?? "").split("?")[0] ?? ""));
        const file = join(models, path);
        const found = file.startsWith(models) ? statSync(file, { throwIfNoEntry: false }) : undefined;
        if (!found?.isFile()) {
          // Not the app's own page, which Vite would answer with.
          response.statusCode = 404;
          response.end();
          return;
        }
        response.setHeader("Content-Length", found.size);
        createReadStream(file).pipe(response);
      });
    },
    writeBundle() {
      // What the page loads: a model's folder without its larger formats.
      cpSync(models, join(out, "models"), { recursive: true, filter: (file) => !file.endsWith(".safetensors") });
    },
  };
}

/** The policy in the page itself. Not while developing: Vite's own scripts and styles are inline then. */
function policy(): Plugin {
  const attrs = { "http-equiv": "Content-Security-Policy", content: POLICY };
  return { name: "policy", apply: "build", transformIndexHtml: () => [{ tag: "meta", attrs, injectTo: "head-prepend" }] };
}

export default defineConfig({
  root: join(import.meta.dirname, "app"),
  base: "./",
  build: { outDir: out, emptyOutDir: true, target: "es2023", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  worker: { format: "es" },
  plugins: [policy(), shippedModels()],
});
