// Rounds of llama.cpp on one GGUF: for every line on stdin it reads and writes once more, and prints the speeds as JSON.
//
//   node llama.mjs MODEL.gguf cpu|gpu THREADS READ WRITE
//
// Its cache is in f32 and its flash attention off, as Fastweight's cache and sums are in f32.
import {createInterface} from "node:readline";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, where, ...numbers] = process.argv.slice(2);
const [threads, read, write] = numbers.map(Number);
const gpu = where === "gpu" ? "vulkan" : false;
const llama = await getLlama({gpu, build: "never", logLevel: LlamaLogLevel.error, progressLogs: false, maxThreads: threads});
if (llama.gpu !== gpu) throw new Error(`llama.cpp runs on ${llama.gpu || "the CPU"}, wanted ${gpu || "the CPU"}`);
const model = await llama.loadModel({modelPath, ...(gpu ? {gpuLayers: "max"} : {})});
const context = await model.createContext({
    contextSize: read + write + 8, batchSize: read, threads: {ideal: threads, min: threads}, flashAttention: false,
    experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
});
const sequence = context.getSequence();
const ids = Array.from({length: read}, (_, i) => 100 + i * 37 % 1000);

async function round() {
    await sequence.clearHistory();
    let start = performance.now();
    let writing = sequence.evaluate(ids, {temperature: 0, yieldEogToken: true});
    await writing.next();
    const prefill = read / (performance.now() - start) * 1e3;
    start = performance.now();
    for (let i = 0; i < write; i++) await writing.next();
    return {prefill, decode: write / (performance.now() - start) * 1e3};
}

await round();
const devices = gpu ? await llama.getGpuDeviceNames() : [`CPU, ${threads} threads`];
console.log(JSON.stringify({name: `llama.cpp (${model.size >> 20} MiB of weights, ${devices.join(", ")})`}));
for await (const _ of createInterface({input: process.stdin})) console.log(JSON.stringify(await round()));
process.exit(0);
