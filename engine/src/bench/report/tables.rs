//! The tables of the page.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::svg::{bar, swatch};
use super::{Entry, letter};
use crate::bench::results::{Cache, Measurement, Results, Section};
use crate::bench::statistics::Summary;
use crate::bench::{tables, units};

/// A table that scrolls by itself where the page is narrow.
fn scrolling(label: &str, table: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// What each result is of, and whether it can be trusted.
pub(super) fn entries(entries: &[Entry]) -> Markup {
    html! {
        @if !entries.is_empty() {
            div.cards { @for (i, entry) in entries.iter().enumerate() { (card(i, entry)) } }
        }
    }
}

fn card(i: usize, entry: &Entry) -> Markup {
    let Results { device, engine, system, timer, settings, .. } = &entry.results;
    let told = |text: &str| if text.is_empty() { "not told".to_string() } else { text.to_string() };
    let flags: Vec<String> = system.flags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut asked = vec![format!("{} samples a figure", settings.repetitions)];
    if settings.quick {
        asked.push("quick".into());
    }
    if settings.delay > 0.0 {
        asked.push(format!("{} of rest before each", units::seconds(settings.delay)));
    }
    if settings.sustain > 0.0 {
        asked.push(format!("{} of load first", units::seconds(settings.sustain)));
    }
    if !settings.only.is_empty() {
        asked.push(format!("only {}", settings.only.join(", ")));
    }
    let verified = entry.results.verified.as_ref().map_or("not checked".to_string(), |v| {
        let good = format!("{} kernels, {} cases", v.kernels, v.cases);
        if v.failures.is_empty() { good } else { format!("{good}, {} failed", v.failures.len()) }
    });
    let mut facts = vec![
        ("File", entry.file.clone()),
        ("Device", format!("{}, {}", device.kind, device.backend)),
        ("Vendor", told(&device.vendor)),
        ("Driver", told(&device.driver)),
        ("Features", told(&device.features.join(", "))),
        ("System", format!("{} {}", system.os, system.arch)),
    ];
    if let Some(browser) = &system.browser {
        facts.push(("Browser", browser.clone()));
    }
    if !flags.is_empty() {
        facts.push(("Flags", flags.join(" ")));
    }
    let clock = system.clock_mhz.map_or(String::new(), |mhz| format!(", {mhz} MHz"));
    let commit = engine.commit.as_ref().map_or(String::new(), |c| format!(", {}", c.chars().take(10).collect::<String>()));
    facts.extend([
        ("Power", format!("{}{clock}", system.power)),
        ("Engine", format!("{}{commit}, kernels {}", engine.version, engine.wgsl.chars().take(8).collect::<String>())),
        (
            "Timer",
            format!(
                "{}, steps of {}",
                if timer.kind == crate::bench::results::TimerKind::Clock {
                    "the host’s clock"
                } else {
                    "the device’s timestamps"
                },
                units::seconds(timer.quantum)
            ),
        ),
        ("Asked for", asked.join(", ")),
        ("Verified", verified),
        ("Date", entry.results.date.clone()),
    ]);
    html! {
        article.card {
            h3 { (swatch(i)) " " (letter(i)) ": " (entry.name()) }
            (trust(&entry.results))
            dl { @for (name, value) in facts { dt { (name) } dd { (value) } } }
        }
    }
}

/// Whether results can be trusted, in words.
fn trust(results: &Results) -> Markup {
    let flagged = results.measurements.iter().filter(|m| m.flagged).count();
    html! {
        p.trust {
            @if results.valid { span.good { "valid" } } @else { span.bad { "not valid" } }
            @if !results.complete { " " span.bad { "unfinished" } }
            @if flagged > 0 { " " span.warn { (flagged) " of " (results.measurements.len()) " figures flagged: the machine drifted" } }
        }
        @if !results.invalid.is_empty() { ul.reasons { @for reason in &results.invalid { li { (reason) } } } }
    }
}

/// What each device can do at best.
pub(super) fn ceilings(entries: &[Entry]) -> Markup {
    let with: Vec<_> = entries.iter().enumerate().filter_map(|(i, e)| Some((i, e, e.results.ceilings.as_ref()?))).collect();
    html! {
        @if !with.is_empty() {
            (scrolling("Ceilings of the devices", html! {
                table {
                    thead { tr {
                        th scope="col" { "Device" }
                        @for name in ["read, memory", "read, at best", "copy", "f32", "f16", "caches end at", "dispatch", "submit", "read back"] {
                            th.number scope="col" { (name) }
                        }
                    } }
                    tbody { @for (i, entry, c) in with { tr {
                        th scope="row" { (swatch(i)) " " (letter(i)) ": " (entry.name()) }
                        td.number { (c.read.last().map_or(String::new(), |p| units::bandwidth(p.rate))) }
                        td.number { (units::bandwidth(c.read.iter().map(|p| p.rate).fold(0.0, f64::max))) }
                        td.number { (c.copy.last().map_or(String::new(), |p| units::bandwidth(p.rate))) }
                        td.number { (units::operations(c.f32)) }
                        td.number { (c.f16.map_or("none".into(), units::operations)) }
                        td.number { (c.knee.map_or("no knee".into(), |n| units::bytes(n as f64))) }
                        td.number { (units::seconds(c.dispatch)) }
                        td.number { (units::seconds(c.submit)) }
                        td.number { (units::seconds(c.read_back)) }
                    } } }
                }
            }))
        }
    }
}

/// Whether the machines held their speed.
pub(super) fn sentinels(entries: &[Entry]) -> Markup {
    let with: Vec<_> = entries.iter().enumerate().filter(|(_, e)| !e.results.sentinels.is_empty()).collect();
    html! {
        @if !with.is_empty() {
            h3 { "Did the machine hold its speed?" }
            p.hint { "The same copy and the same multiply-adds, before, between and after the sections; more than 5 % of change flags the sections around." }
            (scrolling("Fixed work between the sections", html! {
                table {
                    thead { tr { th scope="col" { "Device" } th scope="col" { "after" } th.number scope="col" { "copy" } th.number scope="col" { "multiply-add" } th.number scope="col" { "change" } } }
                    tbody { @for (i, entry) in with { @for s in &entry.results.sentinels { tr {
                        th scope="row" { (swatch(i)) " " (letter(i)) }
                        td { (s.after) }
                        td.number { (units::bandwidth(s.copy)) }
                        td.number { (units::operations(s.multiply_add)) }
                        td.number { @if s.drift > 0.05 { strong.warn { (units::percent(s.drift)) } } @else { (units::percent(s.drift)) } }
                    } } } }
                }
            }))
        }
    }
}

/// What a row of a table is about: section, name, subject, batch, where the weights are.
type Key<'a> = (Section, &'a str, &'a str, usize, Option<Cache>);
/// What a cell shows.
type Cell<'a> = (&'a Measurement, Summary);

/// The chosen figure of each key in each result with what it says, in the order in which the keys first appear.
fn side_by_side(
    entries: &[Entry],
    wanted: impl Fn(&Measurement) -> bool,
    of: impl Fn(&Results, &Measurement) -> Summary,
) -> Vec<(Key<'_>, Vec<Option<Cell<'_>>>)> {
    let mut places: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    let mut rows: Vec<(Key<'_>, Vec<Option<Cell<'_>>>)> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        for m in entry.results.measurements.iter().filter(|m| m.chosen && wanted(m)) {
            let place = *places.entry(m.key()).or_insert_with(|| {
                rows.push((m.key(), vec![None; entries.len()]));
                rows.len() - 1
            });
            rows[place].1[i].get_or_insert((m, of(&entry.results, m)));
        }
    }
    rows
}

fn heads(entries: &[Entry]) -> Markup {
    html! { @for (i, entry) in entries.iter().enumerate() { th.number scope="col" { (swatch(i)) " " (letter(i)) ": " (entry.name()) } } }
}

/// Tokens a second of each model on each device.
pub(super) fn models(entries: &[Entry]) -> Markup {
    let rows = side_by_side(entries, |m| m.work.tokens > 0.0, Results::speed);
    html! {
        @if !rows.is_empty() {
            h3 { "Tokens a second" }
            p.hint { "The mean over the samples and their deviation, as llama-bench has them. pp: a prompt of so many tokens is read; tg: so many are written; @ d: after so many." }
            (scrolling("Tokens a second of each model", html! {
                table {
                    thead { tr { th scope="col" { "Model" } th scope="col" { "Test" } (heads(entries)) } }
                    tbody { @for ((_, name, subject, batch, _), cells) in &rows { tr {
                        th scope="row" { (subject) }
                        td { (name) @if *batch > 1 { " × " (batch) } }
                        @for (i, cell) in cells.iter().enumerate() { td.number { @if let Some(cell) = cell { (speed(i, cell, cells)) } @else { (absent()) } } }
                    } } }
                }
            }))
        }
    }
}

fn speed(i: usize, (m, of): &Cell<'_>, row: &[Option<Cell<'_>>]) -> Markup {
    // Room for the whisker of the fastest.
    let most = row.iter().flatten().map(|(_, of)| of.mean + of.deviation).fold(0.0, f64::max);
    let ends = [of.mean - of.deviation, of.mean + of.deviation].map(|x| x / most);
    html! {
        span.value { (units::number(of.mean)) small { " ± " (units::number(of.deviation)) } (dagger(m)) }
        (bar(i, of.mean / most, Some(ends)))
    }
}

/// The time of each kernel on each device.
pub(super) fn kernels(entries: &[Entry]) -> Markup {
    let rows = side_by_side(entries, |m| m.section == Section::Kernels, Results::summary);
    html! {
        @if !rows.is_empty() {
            p.hint { "As the planner would launch each: time of a launch, and the share of the device’s own ceiling. Bars are times, on one scale a row; whiskers are 95 % intervals." }
            (scrolling("Kernels side by side", html! {
                table {
                    thead { tr { th scope="col" { "Kernel" } (heads(entries)) } }
                    tbody { @for ((_, name, subject, batch, cache), cells) in &rows { tr {
                        th scope="row" {
                            (name) br;
                            small {
                                (subject)
                                @if *batch > 1 { " × " (batch) }
                                @if cache.is_some() { ", " (tables::cache(*cache)) }
                            }
                        }
                        @for (i, cell) in cells.iter().enumerate() { td.number { @if let Some(cell) = cell { (time(i, cell, cells)) } @else { (absent()) } } }
                    } } }
                }
            }))
        }
    }
}

fn time(i: usize, (m, of): &Cell<'_>, row: &[Option<Cell<'_>>]) -> Markup {
    let most = row.iter().flatten().map(|(_, of)| of.interval.map_or(of.median, |ends| ends[1])).fold(0.0, f64::max);
    html! {
        span.value title=[m.variant.as_deref()] {
            (units::seconds(of.median))
            @if let Some(share) = m.share { small { " · " (units::percent(share)) } }
            (dagger(m))
        }
        (bar(i, of.median / most, of.interval.map(|ends| ends.map(|x| x / most))))
    }
}

fn dagger(m: &Measurement) -> &'static str {
    if m.flagged { " †" } else { "" }
}

fn absent() -> Markup {
    html! { span.absent { "–" } }
}
