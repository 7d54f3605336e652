//! The page: what the figures say, the whole models, each kind of launch, each shader.

use std::fmt::Write as _;

use anyhow::Result;

use crate::bounds::{BANDWIDTH, Bound, LAUNCH, OPERATIONS, Times, UNIT_BANDWIDTH, UNITS};
use crate::driver::Driver;
use crate::launches::{CHUNK, Row, Run};
use crate::listing::Loop;
use crate::says;
use crate::shaders::{MOST_WAVES, Shader, Shaders};

/// Writes all of it.
pub fn page(driver: &Driver, runs: &[Run], shaders: &Shaders) -> Result<String> {
    let mut page = String::new();
    let (units, unit, launch) = (UNITS, UNIT_BANDWIDTH / 1e9, LAUNCH * 1e6);
    let (bandwidth, operations) = (BANDWIDTH / 1e9, OPERATIONS / 1e12);
    writeln!(
        page,
        "# What a mid-range GPU would do

Written by `tests/account/run` from the shaders, the engine's plans and a driver's compiler: run it again after changing a kernel. Nothing here was measured on a
GPU: `fastweight bench` does that on yours.

## What this says
"
    )?;
    for line in says::says(runs, shaders)? {
        writeln!(page, "- {line}")?;
    }
    writeln!(
        page,
        "
## How it is reckoned

- **The GPU** has {bandwidth} GB/s of memory, {operations} TFLOP/s in f32 and {units} compute units. Models have random weights in f16 and the sizes of the TTT paper
  (`fastweight bench models`); what the device offers is usual on a desktop: f16, subgroups of 32 to 64, bindings of 2 GB.
- **MB** is what memory has to give and take at least: every tensor once; **asked** is how many times that the workgroups ask of the caches. **µs** is the longer
  of MB at {bandwidth} GB/s and MFLOP at {operations} TFLOP/s, and **bound** says which.
- **In practice** a dispatch takes no less than {launch} µs from the end of the one before it (a guess; `fastweight bench device` measures it), and no less than the
  compute units need that have a workgroup, of which each takes {unit} GB/s and 1/{units} of the operations a second, half of that if the workgroup is a single
  subgroup of 64. Workgroups are alike, so the last of them leave idle what they don't fill.
- **With its loop**, all of its arithmetic is done at the pace of the kernel's busiest loop in the compiled code, as the shaders' table tells it: one loop stands for
  the whole, and what is under a condition counts as if every subgroup did it, so that kernels where one subgroup does some steps for all (attend) are faster.
- What waits for memory or at a barrier within a workgroup is in none of these.
- **Registers, workgroup memory, waves** are of the shaders' table at the end, whose compiler is that of {name} ({version}): WGSL is
  translated by naga with wgpu's settings and compiled by the driver, which needs no hardware for that.
- A decode step takes one token; with a Transformer it is the last of a full context. A prefill is a run of {CHUNK} tokens, the most that a run takes on a GPU; 512 tokens are two.

## Whole models

| | tokens | dispatches | weights, MB | MB | GFLOP | µs | tokens/s | bound | µs in practice | tokens/s | µs with its loops | tokens/s |
|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|",
        name = driver.name,
        version = driver.version.trim(),
    )?;
    for run in runs {
        let (work, ideal, expected) = (Total::of(run), run.seconds(Times::ideal), run.seconds(Times::expected));
        let with_loops: f64 = run.rows.iter().map(|r| shaders.seconds(r) * r.count as f64).sum();
        let rate = |seconds: f64| thousands(run.tokens as f64 / seconds);
        let bound = if work.memory / BANDWIDTH >= work.operations / OPERATIONS { Bound::Bytes } else { Bound::Operations };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            run.name(),
            run.tokens,
            run.dispatches(),
            thousands(run.weight_bytes as f64 / 1e6),
            thousands(work.memory / 1e6),
            short(work.operations / 1e9),
            thousands(ideal * 1e6),
            rate(ideal),
            bound.name(),
            thousands(expected * 1e6),
            rate(expected),
            thousands(with_loops * 1e6),
            rate(with_loops),
        )?;
    }
    writeln!(page, "\n## Every kind of launch\n")?;
    for run in runs.iter().filter(|r| r.size.name == "125m") {
        // The rest of a run in two passes is as it is in one.
        let told = |row: &&Row| !run.two_passes || row.op.starts_with("ttt_");
        table(&mut page, run, &run.rows.iter().filter(told).collect::<Vec<_>>(), shaders)?;
    }
    writeln!(page, "Of 1.3b, what is bound by something else than at 125m, or came out of the compiler otherwise:\n")?;
    for run in runs.iter().filter(|r| r.size.name != "125m" && !r.two_passes) {
        let small = runs.iter().find(|r| r.family == run.family && r.purpose == run.purpose && r.size.name == "125m");
        let news = |row: &&Row| !small.is_some_and(|small| small.rows.iter().any(|known| tells_the_same(known, row, shaders)));
        table(&mut page, run, &run.rows.iter().filter(news).collect::<Vec<_>>(), shaders)?;
    }
    writeln!(
        page,
        "## Shaders

Registers are of an invocation (V, of 256) and of a subgroup (S: this GPU gives each 128); waves are subgroups that a vector unit holds at a time. The busiest
loop is the one with the most arithmetic: which share of its vector instructions' operations a second that is, of as many multiply-adds; how many vector instructions
a round has, and how many loads and stores of memory + of workgroup memory; then the busiest where wgpu is told to check neither loops nor indices, which is for a
program to vouch for and not to be had in a browser. Where sizes changed no more than the code's length, the first is told. The numbers from
{first} on are launches that compute the same as others, which the engine takes where they are faster.

| | shader | invocations | V | S | scratch, B | workgroup memory, B | waves | code, B | busiest loop | unchecked |
|--:|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
        first = shaders.planned + 1,
    )?;
    for (i, s) in shaders.all.iter().enumerate() {
        writeln!(
            page,
            "| {} | `{}` | {} | {} | {} | {} | {} | {} of {} | {} | {} | {} |",
            i + 1,
            s.name,
            s.invocations,
            s.vector_registers,
            s.scalar_registers,
            s.scratch,
            s.workgroup_bytes,
            s.waves,
            MOST_WAVES,
            s.code,
            busiest(s.busiest),
            busiest(s.unchecked),
        )?;
    }
    Ok(page)
}

fn busiest(found: Option<Loop>) -> String {
    let Some(l) = found else { return String::new() };
    format!("{:.0} % of {}, {} + {}", 100.0 * l.share(), l.vector, l.memory, l.workgroup)
}

/// The work of a run.
struct Total {
    memory: f64,
    operations: f64,
}

impl Total {
    fn of(run: &Run) -> Total {
        let sum = |of: fn(&Row) -> f64| run.rows.iter().map(|r| of(r) * r.count as f64).sum();
        Total { memory: sum(|r| r.cost.least), operations: sum(|r| r.cost.operations) }
    }
}

/// Whether a row at one size tells what one at another does.
fn tells_the_same(a: &Row, b: &Row, shaders: &Shaders) -> bool {
    let of = |row: &Row| shaders.of(&row.launch, &row.places).map(|i| &shaders.all[i]);
    let compiled = |s: &Shader| (s.vector_registers, s.scratch, s.waves, s.workgroup_bytes);
    a.node == b.node && a.op == b.op && a.times().bound() == b.times().bound() && of(a).map(compiled) == of(b).map(compiled)
}

fn table(page: &mut String, run: &Run, rows: &[&Row], shaders: &Shaders) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "### {}{}\n",
        run.name(),
        if run.context > 0 { format!(", at {} tokens", run.context) } else { String::new() }
    )?;
    writeln!(
        page,
        "| kernel | for | in → out | times | workgroups | MB | asked | MFLOP | µs | bound | in practice | by | with its loop | V | waves | shader |"
    )?;
    writeln!(page, "|---|---|---|--:|--:|--:|--:|--:|--:|---|--:|---|--:|--:|--:|--:|")?;
    for row in rows {
        let times = row.times();
        let i = shaders.of(&row.launch, &row.places).unwrap_or_default();
        let shader = &shaders.all[i];
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.launch.file,
            row.node,
            row.shape,
            row.count,
            row.workgroups,
            short(row.cost.least / 1e6),
            short(row.cost.moved / row.cost.least),
            short(row.cost.operations / 1e6),
            short(times.ideal() * 1e6),
            times.of_two().name(),
            short(times.expected() * 1e6),
            times.bound().name(),
            short(shaders.seconds(row) * 1e6),
            shader.vector_registers,
            shader.waves,
            i + 1,
        )?;
    }
    writeln!(page)?;
    Ok(())
}

/// Three digits, or as many as there are before the point.
pub fn short(x: f64) -> String {
    let digits = match x.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        _ => 3,
    };
    let written = format!("{x:.digits$}");
    if digits == 0 { thousands(x) } else { written.trim_end_matches('0').trim_end_matches('.').to_string() }
}

/// Whole, with commas.
pub fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap_or_default()).collect();
    groups.join(",")
}

impl Run {
    /// Seconds of all launches, each by `of`.
    pub fn seconds(&self, of: fn(&Times) -> f64) -> f64 {
        self.rows.iter().map(|r| of(&r.times()) * r.count as f64).sum()
    }
}

impl Row {
    pub fn times(&self) -> Times {
        Times::new(&self.cost, self.workgroups, self.subgroups)
    }
}
