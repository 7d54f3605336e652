// Times y = x · wᵀ in f32 by Fastweight and by jax-js in one page, in turns, on whatever WebGPU adapter Chromium gives (or --software).
//
//   tests/peers/browser/run [--rows 128] [--inner 512] [--columns 512] [--times 8] [--rounds 15] [--software] [--json]
//
// Operands are on the device and kernels compiled before. "alone" is one product, a submit and a wait; "in a row" is one of --times
// products that are waited for together. jax-js compiles its product with `jit` and has w in its own order, [inner, columns].
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";

const number = (value) => ({ type: "string", default: String(value) });
const { values: options, positionals: [web, jax] } = parseArgs({
  allowPositionals: true,
  options: {
    rows: number(128), inner: number(512), columns: number(512), times: number(8), rounds: number(15),
    software: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const [rows, inner, columns, times, rounds] = ["rows", "inner", "columns", "times", "rounds"].map((name) => {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${options[name]}: wanted a whole number, 1 at least`);
  return value;
});

// Errors of f32 sums, as a share of the sum of the terms' sizes.
const BOUND = 1e-6;

function serve() {
  const places = { "/fastweight/": join(web, "lib", "wasm"), "/jax/": join(jax, "dist") };
  const types = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://page").pathname);
    if (path === "/") {
      response.writeHead(200, { "Content-Type": "text/html" }).end('<!doctype html><title>products</title><link rel="icon" href="data:,">');
      return;
    }
    const prefix = Object.keys(places).find((prefix) => path.startsWith(prefix));
    const file = prefix && join(places[prefix], path.slice(prefix.length));
    if (!file || !statSync(file, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" }).end(readFileSync(file));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Runs in the page. */
async function compare({ rows, inner, columns, times, rounds, bound }) {
  const fastweight = await import("/fastweight/fastweight.js");
  await fastweight.default({ module_or_path: "/fastweight/fastweight_bg.wasm" });
  const product = await fastweight.Product.open(await fastweight.Device.open("webgpu"), rows, inner, columns);
  const { x, w } = product;

  const jax = await import("/jax/index.js");
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("jax-js finds no WebGPU");
  jax.defaultDevice("webgpu");
  const turned = Float32Array.from({ length: inner * columns }, (_, i) => w[(i % columns) * inner + Math.floor(i / columns)]);
  const [left, right] = [jax.numpy.array(x).reshape([rows, inner]), jax.numpy.array(turned).reshape([inner, columns])];
  const multiply = jax.jit((a, b) => jax.numpy.matmul(a, b));
  const multiplied = () => multiply(left.ref, right.ref);

  const engines = {
    fastweight: { output: () => product.output(), run: (times) => product.run(times) },
    "jax-js": {
      output: () => multiplied().data(),
      async run(times) {
        // All are kept until all are done: it is lazy, and one that is thrown away before it is waited for is never computed.
        const all = Array.from({ length: times }, multiplied);
        await jax.blockUntilReady(all);
        for (const one of all) one.dispose();
      },
    },
  };

  for (const [name, engine] of Object.entries(engines)) {
    const y = await engine.output();
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let [sum, size] = [0, 0];
        for (let k = 0; k < inner; k++) {
          const term = x[i * inner + k] * w[j * inner + k];
          sum += term;
          size += Math.abs(term);
        }
        const error = Math.abs(y[i * columns + j] - sum) / size;
        if (!(error <= bound)) throw new Error(`${name}: y[${i}, ${j}] is ${y[i * columns + j]}, wanted ${sum}`);
      }
    }
  }

  const seconds = { alone: {}, "in a row": {} };
  for (let round = 0; round <= rounds; round++) {
    for (const [kind, n] of [["alone", 1], ["in a row", times]]) {
      for (const [name, engine] of Object.entries(engines)) {
        const start = performance.now();
        await engine.run(n);
        // The first round warms up.
        if (round > 0) (seconds[kind][name] ??= []).push((performance.now() - start) / 1000 / n);
      }
    }
  }
  const { vendor, architecture, description } = (await navigator.gpu.requestAdapter()).info;
  return { adapter: description || `${vendor} ${architecture}`, browser: navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0], seconds };
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const { default: puppeteer } = await import(createRequire(join(web, "package.json")).resolve("puppeteer-core"));
const profile = mkdtempSync(join(tmpdir(), "fastweight-products-"));
const server = await serve();
let found;
try {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    userDataDir: profile,
    protocolTimeout: 3_600_000,
    args: [
      // Root has no sandbox.
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--enable-unsafe-webgpu",
      ...(options.software ? ["--use-webgpu-adapter=swiftshader"] : []),
      "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    found = await page.evaluate(compare, { rows, inner, columns, times, rounds, bound: BOUND });
  } finally {
    await browser.close();
  }
} finally {
  server.closeAllConnections();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}

const versions = {
  fastweight: JSON.parse(readFileSync(join(web, "package.json"), "utf8")).version,
  "jax-js": JSON.parse(readFileSync(join(jax, "package.json"), "utf8")).version,
};
const operations = 2 * rows * inner * columns;
const results = Object.entries(found.seconds).map(([kind, seconds]) => {
  const medians = Object.fromEntries(Object.entries(seconds).map(([name, values]) => [name, median(values)]));
  return { kind, medians, ratio: medians["jax-js"] / medians.fastweight };
});
if (options.json) {
  console.log(JSON.stringify({ ...found, versions, rows, inner, columns, times, rounds, results }, null, 2));
} else {
  console.log(`${rows} × ${inner} × ${columns}, f32, on ${found.adapter} (${found.browser}); medians of ${rounds}, results checked`);
  for (const { kind, medians, ratio } of results) {
    for (const [name, seconds] of Object.entries(medians)) {
      const speed = (operations / seconds / 1e9).toFixed(2);
      console.log(`  ${kind.padEnd(9)} ${`${name} ${versions[name]}`.padEnd(18)} ${(seconds * 1000).toFixed(2).padStart(8)} ms  ${speed.padStart(8)} GFLOP/s`);
    }
    console.log(`  ${kind.padEnd(9)} Fastweight is ${ratio.toFixed(2)} times as fast`);
  }
}
