// Builds the engine for the browser into lib/wasm: cargo, wasm-bindgen, wasm-opt. Prints what a visitor downloads.
//
// The wasm target comes from rustup (`rustup target add wasm32-unknown-unknown`) or, where rustup can't download, from Debian's
// packages `rustc-web cargo-web rust-web-src`, which have the standard library's sources.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(web);
const target = "wasm32-unknown-unknown";
const targetDir = join(root, "target", "wasm");
const out = join(web, "lib", "wasm");

/** What a command prints, or null if it can't be run. */
function printed(command, ...args) {
  const done = spawnSync(command, args, { encoding: "utf8" });
  return done.status === 0 ? done.stdout.trim() : null;
}

/** The linker of a rustup toolchain, or LLVM's own. */
function linker() {
  const home = process.env.RUSTUP_HOME ?? join(process.env.HOME ?? "", ".rustup");
  const toolchains = join(home, "toolchains");
  for (const toolchain of existsSync(toolchains) ? readdirSync(toolchains) : []) {
    const hosts = join(toolchains, toolchain, "lib", "rustlib");
    for (const host of existsSync(hosts) ? readdirSync(hosts) : []) {
      const lld = join(hosts, host, "bin", "rust-lld");
      if (existsSync(lld)) return lld;
    }
  }
  const versions = Array.from({ length: 20 }, (_, i) => `wasm-ld-${30 - i}`);
  return ["wasm-ld", ...versions].find((name) => printed(name, "--version") !== null);
}

/** The cargo that can build for wasm, with the arguments and the environment that it needs. */
function toolchain() {
  const libraries = printed("rustc", "--print", "target-libdir", "--target", target);
  if (libraries !== null && existsSync(libraries)) return { cargo: "cargo", args: [], env: {} };
  const debian = "/usr/bin/rustc";
  const sysroot = printed(debian, "--print", "sysroot");
  if (sysroot !== null && existsSync(join(sysroot, "lib/rustlib/src/rust/library/std"))) {
    const lld = linker();
    if (lld === undefined) fail("no linker for wasm: install lld-22 or newer, or a toolchain by rustup");
    return {
      cargo: "/usr/bin/cargo",
      args: ["-Z", "build-std=std,panic_abort"],
      env: { RUSTC: debian, RUSTC_BOOTSTRAP: "1", CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: lld },
    };
  }
  fail(
    `the Rust target ${target} is not installed. Run\n\n    rustup target add ${target}\n\n` +
      "or, on Debian, apt-get install rustc-web cargo-web rust-web-src lld-22",
  );
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

function run(command, args, env = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  if (done.error) fail(`${command}: ${done.error.message}`);
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const { cargo, args, env } = toolchain();
run(
  cargo,
  ["build", "--profile", "web", "--package", "fastweight-web", "--target", target, "--target-dir", targetDir, "--quiet", ...args],
  // Random numbers of the tokenizer's hash maps come from the browser; every browser with WebGPU has SIMD.
  { ...env, RUSTFLAGS: '--cfg getrandom_backend="wasm_js" -C target-feature=+simd128' },
);
const built = join(targetDir, target, "web", "fastweight_web.wasm");
const bound = join(out, "fastweight_bg.wasm");
if (!existsSync(bound) || statSync(bound).mtimeMs < statSync(built).mtimeMs) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  run("cargo", ["run", "--quiet", "--package", "fastweight-bind", "--", built, out]);
  const features = ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int", "--enable-sign-ext",
    "--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue", "--enable-extended-const"];
  execFileSync(process.execPath, [join(web, "node_modules/binaryen/bin/wasm-opt"), "-O3", ...features, bound, "-o", bound], {
    stdio: "inherit",
  });
}

/** Bytes of the module as it is, and as a server sends it. */
const bytes = readFileSync(bound);
const sent = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }).length;
console.log(`wasm: ${(bytes.length / 1e6).toFixed(2)} MB, ${(sent / 1e6).toFixed(2)} MB as brotli`);
