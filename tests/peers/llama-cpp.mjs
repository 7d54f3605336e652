// Compares Fastweight with llama.cpp on one GGUF: tokens, the distribution at every position, and perplexity.
//
//   node llama-cpp.mjs PROGRAM MODEL.gguf TEXT.txt FOLDER
//
// llama.cpp's logits are its own, neither rounded nor cut: node-llama-cpp hands them out as the sampler gets them, and a sampler at
// temperature 0 leaves them as they are. On the CPU llama.cpp rounds the activations to 8 bits, block by block, before it multiplies them
// with quantised matrices, and Fastweight doesn't; so the two differ a little on quantised files. On the same weights in f32 that rounding
// is gone, which tells it from a mistake: there the bounds are those of the order of sums. Both runs have llama.cpp's cache in f32 and its
// flash attention off, which leave a mean KL of 6e-7 (a cache in f16) and 8e-6 (flash attention) even on weights in f32.
import {readFileSync, rmSync} from "node:fs";
import {join} from "node:path";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {Fastweight} from "./fastweight.mjs";
import {compare, Summary} from "./distributions.mjs";
import {TEXTS} from "./texts.mjs";

const WINDOW = 512;
const WINDOWS = 3;
const MARGIN = 0.5; // where llama.cpp's two best logits differ by more, the top tokens must be equal
const BOUNDS = {
    quantised: {perplexity: 5e-3, kl: 1e-2},
    f32: {perplexity: 1e-5, kl: 1e-9},
};
// llama.cpp's positions whose whole distributions are held at a time.
const AT_ONCE = 32;

const [program, file, textFile, folder] = process.argv.slice(2);
const broken = [];
function check(holds, message) {
    if (!holds) {
        broken.push(message);
        console.log(`  BROKEN: ${message}`);
    }
}

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, progressLogs: false});

async function withModel(modelPath, call) {
    const model = await llama.loadModel({modelPath});
    // Its threads wait by spinning, which on a busy machine takes many times as long as one alone.
    const context = await model.createContext({
        contextSize: 2 * WINDOW, batchSize: WINDOW, threads: 1, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
    });
    const sequence = context.getSequence();
    // Calls `each` with every position and its row of logits.
    const logits = async (ids, each) => {
        await sequence.clearHistory();
        for (let start = 0; start < ids.length; start += AT_ONCE) {
            const part = ids.slice(start, start + AT_ONCE).map((id) => [id, {generateNext: {logits: true}}]);
            const found = await sequence.controlledEvaluate(part);
            for (const [i, {next}] of found.entries()) {
                const row = new Float32Array(next.logits.size);
                for (const [token, logit] of next.logits) row[token] = logit;
                each(start + i, row);
            }
        }
    };
    try {
        return await call({model, logits});
    } finally {
        await model.dispose();
    }
}

function compareTokens(ours, theirs) {
    let [texts, tokens] = [0, 0];
    for (const text of [readFileSync(textFile, "utf8"), ...TEXTS]) {
        const [a, b] = [ours.tokenize(text), theirs.tokenize(text, true)];
        const at = a.findIndex((id, i) => id !== b[i]);
        const where = at < 0 ? Math.min(a.length, b.length) : at;
        const shown = (ids) => JSON.stringify(ids.slice(where, where + 5).map((id) => [id, theirs.detokenize([id], true)]));
        check(
            at < 0 && a.length === b.length,
            `${JSON.stringify(text.slice(0, 40))}: from token ${where} ours are ${shown(a)}, llama.cpp's ${shown(b)}`,
        );
        texts += 1;
        tokens += b.length;
    }
    console.log(`  tokens          ${tokens} of ${texts} texts`);
}

async function compareDistributions(ours, {model, logits}, bounds) {
    const report = ours.evaluate(textFile, WINDOW, WINDOWS);
    const opening = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
    check(
        JSON.stringify(report.opening) === JSON.stringify(opening),
        `windows open with ${JSON.stringify(report.opening)}, llama.cpp's with ${JSON.stringify(opening)}`,
    );
    const text = model.tokenize(readFileSync(textFile, "utf8"));
    const stride = WINDOW - opening.length;
    const summary = new Summary();
    for (let w = 0; w < WINDOWS; w++) {
        const ids = [...opening, ...text.slice(w * stride, (w + 1) * stride)];
        if (ids.length < WINDOW) throw new Error(`${textFile} has ${text.length} tokens, wanted ${WINDOWS * stride}`);
        const rows = ours.logits(ids);
        await logits(ids, (i, row) => {
            summary.add(`${w}:${i}`, compare(rows[i], row, ids[i + 1]));
        });
    }
    const {positions, equal, apart, meanKl, maxKl, perplexity} = summary.result(MARGIN);
    const relative = (a, b) => Math.abs(a / b - 1);
    const percent = (x) => `${(100 * x).toPrecision(2)} %`;
    const found = report.perplexity.mean;
    const off = relative(found, perplexity.theirs);
    console.log(`  positions       ${positions}, in ${WINDOWS} windows of ${WINDOW}`);
    console.log(`  top token       equal at ${equal} (${(100 * equal / positions).toFixed(2)} %); ${apart.length} others where llama.cpp's best two are more than ${MARGIN} apart`);
    console.log(`  KL              mean ${meanKl.toExponential(2)}, max ${maxKl.toExponential(2)} nats`);
    console.log(`  perplexity      ${found.toFixed(5)}, llama.cpp ${perplexity.theirs.toFixed(5)}: ${percent(off)} apart`);
    check(positions >= 1000, `${positions} positions, wanted 1000 at least`);
    for (const {name, ours, theirs, margin} of apart) {
        check(false, `window:position ${name}: ours says ${ours}, llama.cpp ${theirs} by ${margin.toFixed(2)}`);
    }
    check(meanKl <= bounds.kl, `mean KL ${meanKl}, wanted at most ${bounds.kl}`);
    check(off <= bounds.perplexity, `perplexities ${percent(off)} apart, wanted at most ${percent(bounds.perplexity)}`);
    const same = relative(found, perplexity.ours);
    check(same <= 1e-5, `eval's perplexity and that of the logits are ${percent(same)} apart: not the same windows`);
    return `top token equal at ${equal} of ${positions}, mean KL ${meanKl.toExponential(1)}, perplexity ${percent(off)} apart`;
}

const quantised = new Fastweight(program, file);
console.log(`${file}, as it is`);
const first = await withModel(file, async (theirs) => {
    compareTokens(quantised, theirs.model);
    return compareDistributions(quantised, theirs, BOUNDS.quantised);
});

const whole = join(folder, "f32.gguf");
let second;
try {
    const converted = quantised.convert(whole, "f32");
    console.log("The same as f32, in a GGUF that Fastweight wrote");
    second = await withModel(whole, async (theirs) => {
        compareTokens(converted, theirs.model);
        return compareDistributions(converted, theirs, BOUNDS.f32);
    });
} finally {
    rmSync(whole, {force: true});
}

if (broken.length > 0) {
    console.log(`llama.cpp: ${broken.length} bounds broken`);
    process.exit(1);
}
console.log(`llama.cpp: ${first}; in f32 ${second}`);
process.exit(0);
