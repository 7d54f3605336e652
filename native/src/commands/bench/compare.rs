//! `fastweight bench compare`.

use std::io::Write;

use anyhow::{anyhow, bail};
use fastweight::bench::compare::{Comparison, Pair};
use fastweight::bench::statistics::Verdict;
use fastweight::bench::units;

use super::read;
use crate::Ended;
use crate::args::Args;
use crate::args::bench::Compare;
use crate::commands::print_json;

pub(super) fn run(args: &Args, options: &Compare) -> anyhow::Result<Ended> {
    let (a, b) = (read(&options.a)?, read(&options.b)?);
    let comparison = Comparison::new(&a.results, &b.results, options.force)
        .map_err(|refused| anyhow!("{refused}; --force compares them anyway"))?;
    if !args.quiet {
        for note in &comparison.notes {
            eprintln!("note: {note}");
        }
    }
    match args.json {
        true => print_json(&comparison)?,
        false => print(&comparison)?,
    }
    if let Some(percent) = options.fail_on_regression {
        let slower: Vec<&Pair> = comparison.regressions(percent / 100.0).collect();
        if let Some(worst) = slower.first() {
            let (count, change) = (slower.len(), units::change(worst.change.ratio));
            bail!(
                "{count} of {} figures take {percent} % longer or more, the worst {}: {change}",
                comparison.pairs.len(),
                worst.title()
            );
        }
        if comparison.pairs.is_empty() {
            bail!("{} and {} have no figure in common: nothing was compared", options.a.display(), options.b.display());
        }
    }
    Ok(Ended::Normally)
}

fn print(comparison: &Comparison) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (verdict, title) in [(Verdict::Slower, "slower"), (Verdict::Faster, "faster")] {
        let pairs: Vec<&Pair> = comparison.with(verdict).collect();
        if pairs.is_empty() {
            continue;
        }
        writeln!(out, "{title}, beyond noise: {}", pairs.len())?;
        for pair in pairs {
            let change = &pair.change;
            let interval = change
                .interval
                .map_or(String::new(), |[low, high]| format!(" (95 %: {} to {})", units::change(low), units::change(high)));
            let (before, after) = (units::seconds(pair.a.median), units::seconds(pair.b.median));
            let flag = if pair.flagged { "  the machine drifted" } else { "" };
            writeln!(out, "  {:>8}{interval}  {before} → {after}  {}{flag}", units::change(change.ratio), pair.title())?;
            if !pair.launch().is_empty() {
                writeln!(out, "            {}", pair.launch())?;
            }
        }
    }
    writeln!(out, "unchanged, as far as noise lets see: {}", comparison.with(Verdict::Unchanged).count())?;
    for (which, names) in [("first", &comparison.only_a), ("second", &comparison.only_b)] {
        if !names.is_empty() {
            writeln!(out, "only in the {which}: {}", names.len())?;
            for name in names {
                writeln!(out, "  {name}")?;
            }
        }
    }
    Ok(out.flush()?)
}
