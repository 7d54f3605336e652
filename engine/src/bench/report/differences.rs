//! Differences with their uncertainty.

use maud::{Markup, html};

use super::svg::{forest, swatch};
use super::{Entry, letter};
use crate::bench::compare::{Comparison, Pair};
use crate::bench::statistics::Verdict;
use crate::bench::units;

/// Changes that are shown at once.
const SHOWN: usize = 24;

/// The results that can be compared: each with the first before it that shares its device or its engine.
pub(super) fn pairs(entries: &[Entry]) -> Vec<(usize, usize, Comparison)> {
    let mut found = Vec::new();
    for b in 1..entries.len() {
        let comparable = (0..b).find_map(|a| {
            let comparison = Comparison::new(&entries[a].results, &entries[b].results, false).ok()?;
            (!comparison.pairs.is_empty()).then_some((a, b, comparison))
        });
        found.extend(comparable);
    }
    found
}

pub(super) fn draw(entries: &[Entry], a: usize, b: usize, comparison: &Comparison) -> Markup {
    let count = |verdict| comparison.with(verdict).count();
    let reach = comparison.pairs.iter().map(|p| p.change.ratio.ln().abs().exp()).fold(1.25, f64::max).min(16.0) * 1.1;
    let (mut changed, unchanged): (Vec<&Pair>, Vec<&Pair>) =
        comparison.pairs.iter().partition(|p| p.change.verdict != Verdict::Unchanged);
    // The largest changes are seen at once, the others on demand.
    changed.sort_by(|x, y| y.change.ratio.ln().abs().total_cmp(&x.change.ratio.ln().abs()));
    let others = changed.split_off(changed.len().min(SHOWN));
    changed.sort_by(|x, y| y.change.ratio.total_cmp(&x.change.ratio));
    html! {
        p {
            (swatch(a)) " " (letter(a)) " is " (entries[a].name()) " (" (entries[a].file) "), " (swatch(b)) " " (letter(b)) " is " (entries[b].name()) " (" (entries[b].file) "). Of "
            (comparison.pairs.len()) " figures, " strong { (count(Verdict::Slower)) " take longer" } " in " (letter(b)) ", "
            strong { (count(Verdict::Faster)) " take less time" } ", and " (count(Verdict::Unchanged)) " do not differ beyond noise."
            @if !comparison.only_a.is_empty() { " " (comparison.only_a.len()) " are only in " (letter(a)) "." }
            @if !comparison.only_b.is_empty() { " " (comparison.only_b.len()) " are only in " (letter(b)) "." }
        }
        @if !comparison.notes.is_empty() { ul.reasons { @for note in &comparison.notes { li { (note) } } } }
        @if !changed.is_empty() { (table("Changed beyond noise", &changed, reach)) }
        @for (label, pairs) in [("Changed less", &others), ("Did not change beyond noise", &unchanged)] {
            @if !pairs.is_empty() { details { summary { (label) " (" (pairs.len()) ")" } (table(label, pairs, reach)) } }
        }
    }
}

fn table(label: &str, pairs: &[&Pair], reach: f64) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr {
                    th scope="col" { "Figure" }
                    th.number scope="col" { "time" }
                    th.number scope="col" { "95 % interval" }
                    th.wide scope="col" { span.ends { span { "÷ " (units::number(reach)) } span { "same" } span { "× " (units::number(reach)) } } }
                    th.number scope="col" { "before" }
                    th.number scope="col" { "after" }
                } }
                tbody { @for pair in pairs { (row(pair, reach)) } }
            }
        }
    }
}

fn row(pair: &Pair, reach: f64) -> Markup {
    let change = &pair.change;
    let class = match change.verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Unchanged => "unchanged",
    };
    html! {
        tr {
            th scope="row" {
                (pair.title())
                @let launch = pair.launch();
                @if !launch.is_empty() { br; small { (launch) } }
            }
            td.number { span class=(class) { (units::change(change.ratio)) } @if pair.flagged { " †" } }
            td.number { @if let Some([low, high]) = change.interval { (units::change(low)) " to " (units::change(high)) } @else { "too few samples" } }
            td.wide { (forest(class, change.ratio, change.interval, reach)) }
            td.number { (units::seconds(pair.a.median)) }
            td.number { (units::seconds(pair.b.median)) }
        }
    }
}
