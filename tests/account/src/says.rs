//! What the figures say, in plain words. Figures are filled in, so that the words hold as long as what they are chosen by.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use fastweight::bench::Family;
use fastweight::generate::Purpose;
use fastweight::kernels::Geometry;
use fastweight::kernels::ttt_linear_states::Slots;
use fastweight::kernels::ttt_mlp::TttMlp;

use crate::bounds::{BANDWIDTH, Bound, LAUNCH, Times, UNITS};
use crate::launches::{CHUNK, Row, Run};
use crate::page::{short, thousands};
use crate::shaders::{MOST_WAVES, Shader, Shaders};

/// Names in a sentence; of many the first ones.
fn listed(names: impl IntoIterator<Item = String>) -> String {
    const MOST: usize = 6;
    let names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(MOST);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

pub fn says(runs: &[Run], shaders: &Shaders) -> Result<Vec<String>> {
    let mut lines =
        vec![writing(runs, "125m"), writing(runs, "1.3b"), reading(runs, shaders, "125m"), reading(runs, shaders, "1.3b")];
    lines.push(idle(runs)?);
    lines.push(passes(runs)?);
    lines.push(narrow(runs));
    lines.push(serial(runs)?);
    lines.extend([spills(shaders), registers(shaders), occupancy(shaders), loops(shaders), loads(shaders)]);
    Ok(lines)
}

/// The runs of a purpose at a size.
fn of<'a>(runs: &'a [Run], size: &'a str, purpose: Purpose) -> impl Iterator<Item = &'a Run> {
    runs.iter().filter(move |r| r.size.name == size && r.purpose == purpose && !r.two_passes)
}

fn rate(run: &Run, seconds: f64) -> String {
    thousands(run.tokens as f64 / seconds)
}

/// Launches of a run that `which` picks.
fn launches(run: &Run, which: impl Fn(&Row) -> bool) -> usize {
    run.rows.iter().filter(|r| which(r)).map(|r| r.count).sum()
}

fn writing(runs: &[Run], size: &str) -> String {
    let figures = of(runs, size, Purpose::Decode).map(|run| {
        let (ideal, expected) = (run.seconds(Times::ideal), run.seconds(Times::expected));
        let short = launches(run, |r| r.times().bound() == Bound::Launch);
        format!("{} {} ({} without launches, {short} of {})", run.family, rate(run, expected), rate(run, ideal), run.dispatches())
    });
    let figures: Vec<String> = figures.collect();
    format!(
        "**Writing at {size}** is bound by bytes, and by launches: tokens a second, and how many dispatches take less than their launch: {}.",
        figures.join("; ")
    )
}

fn reading(runs: &[Run], shaders: &Shaders, size: &str) -> String {
    let figures = of(runs, size, Purpose::Prefill).map(|run| {
        let taken = |row: &Row| shaders.seconds(row) * row.count as f64;
        let all: f64 = run.rows.iter().map(taken).sum();
        let mut kernels: BTreeMap<&str, f64> = BTreeMap::new();
        run.rows.iter().for_each(|r| *kernels.entry(r.launch.file).or_default() += taken(r));
        let longest = kernels.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let longest = longest.map_or(String::new(), |(file, seconds)| format!(", {} % in {file}", percent(seconds / all)));
        format!(
            "{} {} (by operations and bytes alone {}){longest}",
            run.family,
            rate(run, all),
            rate(run, run.seconds(Times::ideal))
        )
    });
    let figures: Vec<String> = figures.collect();
    format!("**Reading at {size}** is bound by operations: tokens a second with the kernels' own loops, {}.", figures.join("; "))
}

/// Seconds of all launches of a kind.
fn seconds(row: &Row) -> f64 {
    row.times().expected() * row.count as f64
}

fn percent(share: f64) -> String {
    format!("{:.0}", 100.0 * share)
}

/// The scans of few heads.
fn idle(runs: &[Run]) -> Result<String> {
    let scan = |family, size| {
        let run = of(runs, size, Purpose::Prefill).find(|r| r.family == family).context("a run of each family")?;
        run.rows.iter().find(|r| r.op.starts_with("ttt_")).context("its scan")
    };
    let mut figures = Vec::new();
    for size in ["125m", "1.3b"] {
        for family in [Family::TttLinear, Family::TttMlp] {
            let row = scan(family, size)?;
            let times = row.times();
            let (ideal, expected) = (times.ideal() * 1e6, times.expected() * 1e6);
            figures.push(format!(
                "{family} {size} has {} workgroups: {} µs instead of {}",
                row.workgroups,
                short(expected),
                short(ideal)
            ));
        }
    }
    Ok(format!(
        "**A TTT layer has one workgroup a head**, so that the heads of one sequence leave units of {UNITS} idle. For a layer and a run of a prefill, {}. Sequences side \
         by side fill them: heads of all of them run at once.",
        figures.join("; ")
    ))
}

/// The scans in two passes.
fn passes(runs: &[Run]) -> Result<String> {
    // What TTT-MLP's would move for a layer, and win: of 56 hd² operations a token and head, 16 are for the output.
    let mlp = of(runs, "125m", Purpose::Prefill).find(|r| r.family == Family::TttMlp).context("a run of each family")?;
    let scan = mlp.rows.iter().find(|r| r.op == "ttt_mlp").context("its scan")?;
    let geometry = Geometry { heads: mlp.size.heads, head_dim: mlp.size.head_dim(), mini_batch: 16 };
    let models = Slots { mini_batch: geometry.mini_batch }.most(CHUNK, 1) * geometry.heads * TttMlp::fast_len(&geometry) * 4;
    let (moving, won) = (2.0 * models as f64 / BANDWIDTH, scan.times().expected() * 16.0 / 56.0);
    let figures = runs.iter().filter(|r| r.two_passes).map(|run| {
        let rows = run.rows.iter().filter(|r| r.op.starts_with("ttt_"));
        let each: Vec<String> = rows
            .map(|r| {
                let times = r.times();
                let (expected, of_bytes) = (short(times.expected() * 1e6), short(r.cost.least / BANDWIDTH * 1e6));
                format!("{} {expected} µs ({} workgroups, {of_bytes} µs by bytes)", r.op, r.workgroups)
            })
            .collect();
        format!("{} {} {}", run.family, run.size.name, each.join(" then "))
    });
    let figures: Vec<String> = figures.collect();
    Ok(format!(
        "**In two passes** a scan of TTT-Linear has its outputs side by side, a workgroup a mini-batch, for which W and b of every mini-batch go through memory, or through a \
         cache that holds them: {}. The engine does so where it measured that to be faster on a device. TTT-MLP has no such passes: of its scan's {} µs at 125m the outputs are {}, \
         and its models are 8 times as large, which takes {} to write and read.",
        figures.join("; "),
        short(scan.times().expected() * 1e6),
        short(won * 1e6),
        short(moving * 1e6),
    ))
}

/// Products of so few tiles that vector units have none; the worst first.
fn narrow(runs: &[Run]) -> String {
    let rows = of(runs, "125m", Purpose::Prefill).flat_map(|run| run.rows.iter().map(move |row| (run, row)));
    let loss = |row: &Row| row.times().expected() / row.times().ideal().max(LAUNCH);
    let mut idle: Vec<_> = rows.filter(|(_, row)| row.op == "matmul" && loss(row) > 1.2).collect();
    idle.sort_by(|a, b| loss(b.1).total_cmp(&loss(a.1)));
    // Families share shapes.
    let mut shapes = BTreeSet::new();
    idle.retain(|(_, row)| shapes.insert(&row.shape));
    let figures = idle.iter().map(|(run, row)| {
        let (expected, ideal) = (short(row.times().expected() * 1e6), short(row.times().ideal() * 1e6));
        format!("{} of {} ({} workgroups, {expected} µs instead of {ideal})", row.node, run.family, row.workgroups)
    });
    format!(
        "**A matmul workgroup is one subgroup**, and so busies one of {} vector units; of the products of a prefill at 125m, these leave some idle: {}.",
        2 * UNITS,
        listed(figures)
    )
}

/// What one workgroup does alone.
fn serial(runs: &[Run]) -> Result<String> {
    let run = of(runs, "125m", Purpose::Decode).find(|r| r.family == Family::TttLinear).context("a run of each family")?;
    let alone = run.rows.iter().filter(|r| r.workgroups == 1 && seconds(r) > LAUNCH);
    let names: Vec<String> = alone.map(|r| format!("{} ({} µs)", r.launch.file, short(seconds(r) * 1e6))).collect();
    let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
    Ok(format!(
        "**One workgroup alone** draws the token: of a token of ttt-linear 125m, by what one compute unit can take in, {names}."
    ))
}

fn spills(shaders: &Shaders) -> String {
    let spilled: BTreeSet<String> = shaders.all.iter().filter(|s| s.spilled > 0).map(|s| format!("`{}`", s.name)).collect();
    let scratch = shaders.all.iter().filter(|s| s.scratch > 0).map(|s| format!("`{}` ({} B)", s.name, s.scratch));
    let scratch: BTreeSet<String> = scratch.collect();
    format!(
        "**Spills**: of {} shaders {} spill registers{}, {} keep something in scratch memory{}.",
        shaders.all.len(),
        spilled.len(),
        after(spilled),
        scratch.len(),
        after(scratch),
    )
}

/// `: a, b` or nothing.
fn after(names: BTreeSet<String>) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", listed(names)) }
}

/// One shader of each file, of those by which `of` orders them the first.
fn by_file(shaders: &Shaders, of: impl Fn(&Shader) -> u64) -> Vec<&Shader> {
    let mut all: Vec<&Shader> = shaders.all.iter().collect();
    all.sort_by_key(|s| of(s));
    let mut files = BTreeSet::new();
    all.retain(|s| files.insert(s.file()));
    all
}

fn registers(shaders: &Shaders) -> String {
    let most = by_file(shaders, |s| 256 - s.vector_registers);
    let most = most.iter().take(4).map(|s| format!("{} {}", s.file(), s.vector_registers));
    format!("**Registers**, of 256 that an invocation may have: at most {}.", listed(most))
}

fn occupancy(shaders: &Shaders) -> String {
    let full = shaders.all.iter().filter(|s| s.waves == MOST_WAVES).count();
    let low = by_file(shaders, |s| s.waves).into_iter().filter(|s| s.waves * 4 <= MOST_WAVES * 3);
    let low = low.map(|s| {
        format!(
            "{} {} ({} registers, {} B of workgroup memory)",
            s.file(),
            s.waves,
            s.vector_registers,
            thousands(s.workgroup_bytes as f64)
        )
    });
    format!(
        "**Occupancy**: {full} of {} shaders fill a vector unit with {MOST_WAVES} subgroups. The fewest have {}.",
        shaders.all.len(),
        listed(low)
    )
}

fn loops(shaders: &Shaders) -> String {
    let share = |file: &str| {
        let shader = shaders.all.iter().find(|s| s.file() == file)?;
        let (usual, unchecked) = (shader.busiest?, shader.unchecked?);
        Some(format!("{file} {} % ({} %)", percent(usual.share()), percent(unchecked.share())))
    };
    let files = ["matmul", "matmul_subgroup", "attend", "ttt_linear", "ttt_mlp", "matvec"];
    format!(
        "**Busiest loops**: where operations bound, a kernel comes no nearer to 10 TFLOP/s than its instructions let it, as a share of which its busiest loop \
         computes (and where wgpu checks neither loops nor indices): {}. The rest are addresses, checks, and products and sums that are not fused. (A younger driver may drop more of the checks.)",
        listed(files.iter().filter_map(|f| share(f))),
    )
}

/// Loops that wait for what they load.
fn loads(shaders: &Shaders) -> String {
    let of = shaders.all[..shaders.planned].iter().filter_map(|s| {
        let found = s.busiest.filter(|l| l.memory > l.multiply_adds && l.multiply_adds >= 16)?;
        Some(format!("{} {} for {}", s.file(), found.memory, found.multiply_adds))
    });
    let of: BTreeSet<String> = of.collect();
    format!("**Loads**: more loads of memory than multiply-adds has the busiest loop of {}.", listed(of))
}
