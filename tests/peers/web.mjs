// Compares the speed of Fastweight's CPU device with that of wllama, llama.cpp for browsers: the same GGUF in both, in one page of one
// Chromium, each on one thread, runs of the two taking turns.
//
//   node web.mjs PACKAGE MODULES TEXT.txt RUNS yes|no MODEL.gguf...        (yes: as JSON)
//
// Each run reads a prompt in a fresh session and writes on from it, the likeliest token each time. The times are each engine's own: how long
// reading the prompt took, and how long each further token.
import {createReadStream, readFileSync, statSync} from "node:fs";
import {createServer} from "node:http";
import {createRequire} from "node:module";
import {basename, extname, join} from "node:path";

const PROMPT = 1100; // characters of the text
const PREDICT = 48;
const CONTEXT = 512;

const [packageFolder, modules, textFile, runsWanted, json, ...models] = process.argv.slice(2);
const runs = Number(runsWanted);
const prompt = readFileSync(textFile, "utf8").slice(0, PROMPT);
const {chromium} = createRequire(join(modules, "from.mjs"))("@playwright/test");
const wllama = join(import.meta.dirname, "node_modules/@wllama/wllama");

const BLANK = '<!doctype html><html lang="en"><title>speed</title><link rel="icon" href="data:,">';
const TYPES = {".js": "text/javascript", ".wasm": "application/wasm"};
const server = createServer((request, response) => {
    const [, place, ...rest] = new URL(request.url, "http://localhost").pathname.split("/");
    const file = {
        fastweight: () => join(packageFolder, ...rest),
        wllama: () => join(wllama, "esm", ...rest),
        model: () => models[Number(rest[0])],
    }[place]?.();
    if (file === undefined) {
        response.writeHead(200, {"Content-Type": "text/html"}).end(BLANK);
        return;
    }
    response.writeHead(200, {"Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Length": statSync(file).size});
    createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

// Brings a model to both engines. (What follows is sent to the page as text.)
async function load([index, name, context]) {
    const {Model} = await import("/fastweight/fastweight.js");
    const {Wllama, LoggerWithoutDebug} = await import("/wllama/index.js");
    const file = new File([await (await fetch(`/model/${index}`)).blob()], name);
    const ours = await Model.load([file], {device: "cpu", ctxSize: context, cacheType: "f16", cache: false});
    const quiet = {...LoggerWithoutDebug, log() {}, warn() {}};
    const theirs = new Wllama({default: "/wllama/wasm/wllama.wasm"}, {suppressNativeLog: true, logger: quiet});
    await theirs.loadModel([file], {n_threads: 1, n_gpu_layers: 0, n_ctx: context, n_parallel: 1});
    if (theirs.isMultithread()) throw new Error("wllama has more than one thread");
    globalThis.engines = {ours, theirs};
    return {version: Wllama.getLibllamaVersion()};
}

async function unload() {
    await globalThis.engines.ours.dispose();
    await globalThis.engines.theirs.exit();
}

async function runOurs([prompt, predict]) {
    const session = globalThis.engines.ours.session();
    const {text, usage} = await session.generate(prompt, {temp: 0, predict}).result;
    await session.dispose();
    return {text, prefill: usage.prefillRate, decode: usage.decodeRate, tokens: usage.promptTokens, drawn: usage.tokens};
}

async function runTheirs([prompt, predict]) {
    const options = {prompt, max_tokens: predict, temperature: 0, top_k: 1, samplers: ["top_k"], cache_prompt: false};
    const {choices, timings} = await globalThis.engines.theirs.createCompletion(options);
    if (timings.cache_n > 0) throw new Error("wllama kept a prompt");
    const [prefill, decode] = [timings.prompt_per_second, timings.predicted_per_second];
    return {text: choices[0].text, prefill, decode, tokens: timings.prompt_n, drawn: timings.predicted_n};
}

function median(numbers) {
    const sorted = numbers.toSorted((a, b) => a - b);
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

// How many characters two texts have in common before they part.
function shared(a, b) {
    let i = 0;
    while (i < a.length && a[i] === b[i]) i += 1;
    return i;
}

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
const results = [];
let version;
try {
    const page = await browser.newPage();
    for (const [index, model] of models.entries()) {
        await page.goto(url);
        ({version} = await page.evaluate(load, [index, basename(model), CONTEXT]));
        const [ours, theirs] = [[], []];
        for (let i = 0; i <= runs; i++) {
            const [a, b] = [await page.evaluate(runOurs, [prompt, PREDICT]), await page.evaluate(runTheirs, [prompt, PREDICT])];
            // The first run of each lets the browser compile.
            if (i > 0) {
                ours.push(a);
                theirs.push(b);
            }
        }
        await page.evaluate(unload);
        if (ours[0].tokens !== theirs[0].tokens) throw new Error(`prompts of ${ours[0].tokens} and ${theirs[0].tokens} tokens`);
        const rates = (name) => {
            const [a, b] = [ours, theirs].map((runs) => median(runs.map((run) => run[name])));
            return {fastweight: a, wllama: b, ratio: a / b, ratios: ours.map((run, i) => run[name] / theirs[i][name])};
        };
        const {text} = ours[0];
        const result = {model: basename(model), promptTokens: ours[0].tokens, prefill: rates("prefill"), decode: rates("decode")};
        results.push({...result, text, wllamaText: theirs[0].text, sharedCharacters: shared(text, theirs[0].text)});
        if (json !== "yes") report(results.at(-1), index === 0);
    }
} finally {
    await browser.close();
    server.close();
}
const versions = {
    wllama: JSON.parse(readFileSync(join(wllama, "package.json"), "utf8")).version,
    "llama.cpp": version,
    chromium: browser.version(),
};
if (json === "yes") console.log(JSON.stringify({versions, runs, predict: PREDICT, results}, null, 2));
else console.log(`wllama ${versions.wllama} (llama.cpp ${version}), Chromium ${versions.chromium}; medians of ${runs} runs, ${PREDICT} tokens written`);

function report({model, promptTokens, prefill, decode, text, sharedCharacters}, first) {
    const cells = (...all) => console.log(all.map((cell, i) => (i === 0 ? String(cell).padEnd(38) : String(cell).padStart(12))).join(""));
    if (first) cells("tokens a second", "Fastweight", "wllama", "ratio", "from", "to");
    for (const [name, rates] of Object.entries({[`reading ${promptTokens}`]: prefill, writing: decode})) {
        const {fastweight, wllama, ratio, ratios} = rates;
        const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
        cells(`${model}, ${name}`, fastweight.toFixed(1), wllama.toFixed(1), ratio.toFixed(2), low.toFixed(2), high.toFixed(2));
    }
    console.log(`    the same text for ${sharedCharacters} of ${text.length} characters: ${JSON.stringify(text.slice(0, 60))}`);
}
