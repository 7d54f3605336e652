import { join } from "node:path";
import { defineConfig } from "vite";

const lib = join(import.meta.dirname, "lib");

/** The npm package: ES modules with the worker and the engine's wasm inside, so that any bundler and any page can take them. */
export default defineConfig({
  root: lib,
  publicDir: false,
  resolve: { alias: [{ find: /^\.\/spawn$/, replacement: join(lib, "spawn.inline.ts") }] },
  build: {
    outDir: join(import.meta.dirname, "dist", "package"),
    emptyOutDir: true,
    target: "es2023",
    lib: { entry: { fastweight: join(lib, "index.ts"), openai: join(lib, "openai.ts") }, formats: ["es"] },
  },
  worker: { format: "es" },
});
