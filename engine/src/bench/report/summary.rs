//! The results in short, in Markdown.

use std::fmt::Write;

use super::{Entry, differences, letter};
use crate::bench::results::Results;
use crate::bench::statistics::Verdict;
use crate::bench::tables::{self, Format, cell};
use crate::bench::units;

/// The summary of several results: what each is, what its device can do, its figures, and what changed.
pub fn markdown(entries: &[Entry]) -> String {
    let mut out = String::from("# Fastweight bench\n\n");
    out += &overview(entries);
    for (i, entry) in entries.iter().enumerate() {
        _ = write!(out, "\n## {}: {}\n\n", letter(i), cell(&entry.name()));
        for reason in &entry.results.invalid {
            _ = writeln!(out, "- not valid: {}", cell(reason));
        }
        if !entry.results.complete {
            out.push_str("- unfinished\n");
        }
        if !entry.results.invalid.is_empty() || !entry.results.complete {
            out.push('\n');
        }
        out += &tables::write(&tables::rows(&entry.results), Format::Markdown);
    }
    for (a, b, comparison) in differences::pairs(entries) {
        _ = write!(out, "\n## From {} to {}\n\n", letter(a), letter(b));
        for note in &comparison.notes {
            _ = writeln!(out, "- {}", cell(note));
        }
        if !comparison.notes.is_empty() {
            out.push('\n');
        }
        let unchanged = comparison.with(Verdict::Unchanged).count();
        if comparison.pairs.len() > unchanged {
            out.push_str("| figure | before | after | time | 95 % interval |\n| --- | ---: | ---: | ---: | ---: |\n");
        }
        for pair in comparison.pairs.iter().filter(|p| p.change.verdict != Verdict::Unchanged) {
            let interval = pair
                .change
                .interval
                .map_or(String::new(), |[low, high]| format!("{} to {}", units::change(low), units::change(high)));
            let launch = pair.launch();
            let title = if launch.is_empty() { pair.title() } else { format!("{} ({launch})", pair.title()) };
            _ = writeln!(
                out,
                "| {} | {} | {} | {}{} | {interval} |",
                cell(&title),
                units::seconds(pair.a.median),
                units::seconds(pair.b.median),
                units::change(pair.change.ratio),
                if pair.flagged { " †" } else { "" },
            );
        }
        _ = writeln!(out, "\n{unchanged} of {} figures do not differ beyond noise.", comparison.pairs.len());
    }
    out
}

/// One line a result: the table of `results/README.md`.
pub fn overview(entries: &[Entry]) -> String {
    let mut out = String::from(
        "| | device | backend, driver | system | engine | read, memory | f32 | dispatch | pp512 | tg128 | valid |\n\
         | --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n",
    );
    for (i, Entry { file, results }) in entries.iter().enumerate() {
        let Results { device, system, engine, ceilings, .. } = results;
        let of = |show: &dyn Fn(&crate::bench::results::Ceilings) -> String| ceilings.as_ref().map_or(String::new(), show);
        let system = match &system.browser {
            Some(browser) => format!("{}, {browser}", system.os),
            None => format!("{} {}", system.os, system.arch),
        };
        let valid = match (results.valid, results.complete) {
            (true, true) => "yes",
            (true, false) => "unfinished",
            (false, _) => "no",
        };
        _ = writeln!(
            out,
            "| {} {} | {} | {} {} | {} | {} {} | {} | {} | {} | {} | {} | {valid} |",
            letter(i),
            cell(file),
            cell(&device.name),
            cell(&device.backend),
            cell(&device.driver),
            cell(&system),
            cell(&engine.version),
            cell(&results.date),
            of(&|c| c.read.last().map_or(String::new(), |p| units::bandwidth(p.rate))),
            of(&|c| units::operations(c.f32)),
            of(&|c| units::seconds(c.dispatch)),
            speed(results, "pp512"),
            speed(results, "tg128"),
        );
    }
    out
}

/// Tokens a second of the first model that has this test, with its name.
fn speed(results: &Results, test: &str) -> String {
    let found = results.measurements.iter().find(|m| m.name == test && m.batch == 1 && m.work.tokens > 0.0);
    found.map_or(String::new(), |m| format!("{} ({})", units::number(results.speed(m).mean), cell(&m.subject)))
}
