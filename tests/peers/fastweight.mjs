// Fastweight, by its command line.
import {execFileSync} from "node:child_process";
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";

export class Fastweight {
    constructor(program, model) {
        this.program = program;
        this.model = model;
    }

    // What a command prints as JSON.
    run(...args) {
        const all = ["-q", "--json", "-d", "cpu", "-m", this.model, ...args];
        return JSON.parse(execFileSync(this.program, all, {encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"]}));
    }

    tokenize(text) {
        return inFolder((folder) => {
            const file = join(folder, "text");
            writeFileSync(file, text);
            return this.run("tokenize", "-f", file).ids;
        });
    }

    // A row of logits for each of the ids, read by a fresh session.
    logits(ids) {
        return inFolder((folder) => {
            const file = join(folder, "logits");
            const {vocabulary} = this.run("logits", "--ids", ids.join(), "--out", file);
            const bytes = readFileSync(file);
            const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
            return ids.map((_, i) => all.subarray(i * vocabulary, (i + 1) * vocabulary));
        });
    }

    evaluate(file, window, chunks) {
        return this.run("eval", "-f", file, "-c", String(window), "--chunks", String(chunks)).results[0];
    }

    convert(file, type) {
        execFileSync(this.program, ["-q", "convert", this.model, file, "--outtype", type, "--force"], {stdio: "inherit"});
        return new Fastweight(this.program, file);
    }
}

function inFolder(call) {
    const folder = mkdtempSync(join(tmpdir(), "fastweight-peers-"));
    try {
        return call(folder);
    } finally {
        rmSync(folder, {recursive: true});
    }
}
