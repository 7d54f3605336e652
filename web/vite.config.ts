import { createReadStream, cpSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import { defineConfig, type Plugin } from "vite";

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
      cpSync(models, join(out, "models"), { recursive: true });
    },
  };
}

export default defineConfig({
  root: join(import.meta.dirname, "app"),
  base: "./",
  build: { outDir: out, emptyOutDir: true, target: "es2023", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  worker: { format: "es" },
  plugins: [shippedModels()],
});
