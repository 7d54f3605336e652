// Two programs take turns: each first says its name as a line of JSON, and then, for each line that it is sent, works once more and
// prints its speeds. The medians of the rounds are compared.
//
//   node turns.mjs TITLE ROUNDS yes|no OURS… -- THEIRS…        (yes: as JSON)
import {spawn} from "node:child_process";
import {createInterface} from "node:readline";

const [title, rounds, json, ...commands] = process.argv.slice(2);
const between = commands.indexOf("--");
const sides = [];
const names = [];
// One after the other from the start: both choose kernels by measuring as they load.
for (const [program, ...args] of [commands.slice(0, between), commands.slice(between + 1)]) {
    const child = spawn(program, args, {stdio: ["pipe", "pipe", "inherit"]});
    const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
    const next = async () => {
        const {value, done} = await lines.next();
        if (done) throw new Error(`${program} ${args.join(" ")} ended before it answered`);
        return JSON.parse(value);
    };
    sides.push({child, next});
    names.push((await next()).name);
}
const speeds = [[], []];
for (let r = 0; r < Number(rounds); r++) {
    for (const s of r % 2 ? [1, 0] : [0, 1]) {
        sides[s].child.stdin.write("\n");
        speeds[s].push(await sides[s].next());
    }
}
sides.forEach(({child}) => child.stdin.end());

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const results = Object.keys(speeds[0][0]).map((what) => {
    const [ours, theirs] = speeds.map((side) => side.map((round) => round[what]));
    const ratios = ours.map((speed, r) => speed / theirs[r]);
    return {what, ours: median(ours), theirs: median(theirs), ratio: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios)};
});
if (json === "yes") {
    console.log(JSON.stringify({title, names, rounds: Number(rounds), results, speeds}));
} else {
    const digits = (x) => x.toPrecision(x >= 1000 ? 4 : 3);
    console.log(`\n**${title}**: ${names.join(" against ")}, ${rounds} rounds\n`);
    console.log("| | here | there | ratio | of all rounds |\n|---|---|---|---|---|");
    for (const {what, ours, theirs, ratio, least, most} of results) {
        console.log(`| ${what} | ${digits(Number(ours))} | ${digits(theirs)} | ${ratio.toFixed(2)} | ${least.toFixed(2)} to ${most.toFixed(2)} |`);
    }
}
