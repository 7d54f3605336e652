//! The figures that need axes.

use std::collections::BTreeMap;

use maud::Markup;

use super::svg::{Axis, Plot, Point, Roof, Series};
use super::{Entry, letter};
use crate::bench::results::{Measurement, Results, Section};
use crate::bench::{tables, units};

/// Bandwidth against the size of the working set: one figure of reading, one of copying.
pub(super) fn bandwidth(entries: &[Entry]) -> Vec<Markup> {
    let with = || entries.iter().enumerate().filter_map(|(i, e)| Some((i, e, e.results.ceilings.as_ref()?)));
    if with().next().is_none() {
        return Vec::new();
    }
    [("Reading", true), ("Copying", false)]
        .map(|(title, read)| {
            let series: Vec<Series> = with()
                .map(|(i, entry, ceilings)| {
                    let curve = if read { &ceilings.read } else { &ceilings.copy };
                    let points = curve.iter().map(|p| Point {
                        x: p.bytes as f64,
                        y: p.rate,
                        interval: None,
                        title: format!("{}: {} at {}", letter(i), units::bandwidth(p.rate), units::bytes(p.bytes as f64)),
                        hollow: false,
                    });
                    Series { name: named(i, entry), colour: i, points: points.collect(), joined: true }
                })
                .collect();
            let hint = if read { "by the size of what is read again and again" } else { "read and written together" };
            plot(title, hint, series, "size of the working set", "bytes a second", 2.0, units::bytes, units::bandwidth)
        })
        .to_vec()
}

/// Each device's kernels under its ceilings.
pub(super) fn rooflines(entries: &[Entry]) -> Vec<Markup> {
    entries.iter().enumerate().filter_map(|(i, entry)| roofline(i, entry)).collect()
}

fn roofline(i: usize, entry: &Entry) -> Option<Markup> {
    let ceilings = entry.results.ceilings.as_ref()?;
    let counted = |m: &&Measurement| m.section == Section::Kernels && m.chosen && m.work.operations > 0.0 && m.work.least > 0.0;
    let of_kernel = |m: &Measurement| {
        let time = entry.results.summary(m).median;
        let rate = m.work.operations / time;
        let share = m.share.map_or(String::new(), |s| format!(", {} of its ceiling", units::percent(s)));
        let point = Point {
            x: m.work.operations / m.work.least,
            y: rate,
            interval: None,
            title: format!("{} {} {}: {}{share}", m.name, m.subject, tables::cache(m.cache), units::operations(rate)),
            hollow: m.flagged,
        };
        (tables::cache(m.cache), point)
    };
    let mut by_cache: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
    for (cache, point) in entry.results.measurements.iter().filter(counted).map(of_kernel) {
        by_cache.entry(cache).or_default().push(point);
    }
    let xs = || by_cache.values().flatten().map(|p| p.x);
    let lowest = xs().fold(f64::INFINITY, f64::min);
    if !lowest.is_finite() {
        return None;
    }
    let memory = ceilings.read.last()?.rate;
    let caches = ceilings.read.iter().map(|p| p.rate).fold(memory, f64::max);
    let from = (lowest / 2.0).min(0.25);
    let to = xs().fold(ceilings.f32 / memory * 4.0, f64::max) * 2.0;
    let slope = |name: String, rate: f64| Roof { name, from: (from, from * rate), to: (ceilings.f32 / rate, ceilings.f32) };
    let mut roofs = vec![slope(format!("memory {}", units::bandwidth(memory)), memory)];
    if caches > memory * 1.1 {
        roofs.push(slope(format!("caches {}", units::bandwidth(caches)), caches));
    }
    roofs.push(Roof {
        name: format!("f32 {}", units::operations(ceilings.f32)),
        from: (ceilings.f32 / caches, ceilings.f32),
        to: (to, ceilings.f32),
    });
    let ys = by_cache.values().flatten().map(|p| p.y).chain([ceilings.f32, from * memory]).collect::<Vec<_>>();
    let series = by_cache
        .into_iter()
        .enumerate()
        .map(|(colour, (cache, points))| {
            let name = if cache.is_empty() { "kernels".into() } else { format!("kernels, weights {cache}") };
            Series { name, colour, points, joined: false }
        })
        .collect();
    let figure = Plot {
        title: named(i, entry),
        hint: "Each mark is a kernel as the planner would launch it; the lines are this device’s own measured ceilings.".into(),
        x: Axis::logarithmic("operations a byte", [from, to].into_iter(), 10.0, units::number),
        y: Axis::logarithmic("operations a second", ys.into_iter(), 10.0, units::prefixed),
        series,
        roofs,
    };
    Some(figure.draw())
}

/// Decode, prefill and state against context: one figure a device for the times, one for the state, which no device changes.
pub(super) fn contexts(entries: &[Entry]) -> Vec<Markup> {
    let mut figures = Vec::new();
    for (title, prefix, hint) in [
        ("Decode", "tg", "time of each token that is written, by how many came before; whiskers are 95 % intervals"),
        ("Prefill", "pp", "time of each token of a prompt that is read, by how many came before; whiskers are 95 % intervals"),
    ] {
        for (i, entry) in entries.iter().enumerate() {
            let series = by_subject(&entry.results, |m| {
                let of = entry.results.summary(m);
                let a_token = |time: f64| time / m.work.tokens;
                let value = (a_token(of.median), of.interval.map(|ends| ends.map(a_token)), units::seconds(a_token(of.median)));
                m.name.starts_with(prefix).then_some(value)
            });
            // A single length is no curve.
            if series.iter().any(|s| s.points.len() > 1) {
                let title = format!("{title} on {}", named(i, entry));
                figures.push(plot(&title, hint, series, "tokens of context", "seconds a token", 2.0, short, units::seconds));
            }
        }
    }
    let mut states: Vec<Series> = Vec::new();
    for entry in entries {
        let found =
            by_subject(&entry.results, |m| (m.work.state > 0.0).then(|| (m.work.state, None, units::bytes(m.work.state))));
        for mut series in found {
            if states.iter().all(|s| s.name != series.name) {
                series.colour = states.len();
                states.push(series);
            }
        }
    }
    if states.iter().any(|s| s.points.len() > 1) {
        let hint = "what a session holds beside the weights: fixed for models that learn or carry a state, growing for a cache";
        figures.push(plot("Memory of the state", hint, states, "tokens of context", "bytes", 2.0, short, units::bytes));
    }
    figures
}

/// A value with both ends of its uncertainty and its words.
type Value = (f64, Option<[f64; 2]>, String);

/// Curves over the context, a model each, of one sequence at a time.
fn by_subject(results: &Results, value: impl Fn(&Measurement) -> Option<Value>) -> Vec<Series> {
    let mut curves: BTreeMap<&str, BTreeMap<u64, Point>> = BTreeMap::new();
    for m in results.measurements.iter().filter(|m| m.batch == 1 && m.work.tokens > 0.0 && m.section == Section::Models) {
        let Some((y, interval, words)) = value(m) else { continue };
        // In the middle of what was read or written.
        let x = m.work.context + m.work.tokens / 2.0;
        let title = format!("{}, {}: {words}", m.subject, m.name);
        curves.entry(&m.subject).or_default().insert(x as u64, Point { x, y, interval, title, hollow: m.flagged });
    }
    let series = |(colour, (name, points)): (usize, (&str, BTreeMap<u64, Point>))| Series {
        name: name.into(),
        colour,
        points: points.into_values().collect(),
        joined: true,
    };
    curves.into_iter().enumerate().map(series).collect()
}

/// Tokens on an axis: `512`, `8k`.
fn short(x: f64) -> String {
    if x >= 1024.0 { format!("{}k", (x / 102.4).round() / 10.0) } else { format!("{x:.0}") }
}

fn named(i: usize, entry: &Entry) -> String {
    format!("{}: {}", letter(i), entry.name())
}

#[expect(clippy::too_many_arguments, reason = "each is a word of the figure")]
fn plot(
    title: &str,
    hint: &str,
    series: Vec<Series>,
    x: &'static str,
    y: &'static str,
    base: f64,
    show_x: fn(f64) -> String,
    show_y: fn(f64) -> String,
) -> Markup {
    let points = || series.iter().flat_map(|s| &s.points);
    let xs: Vec<f64> = points().map(|p| p.x).collect();
    let ys: Vec<f64> = points().flat_map(|p| [Some(p.y), p.interval.map(|i| i[1])]).flatten().collect();
    let (low, high) = ys.iter().fold((f64::INFINITY, 0f64), |(low, high), y| (low.min(*y), high.max(*y)));
    // Curves that differ by an order of magnitude are only told apart on a logarithmic axis.
    let y = match high > 8.0 * low {
        true => Axis::logarithmic(y, ys.into_iter(), 10.0, show_y),
        false => Axis::from_zero(y, ys.into_iter(), show_y),
    };
    let x = Axis::logarithmic(x, xs.into_iter(), base, show_x);
    Plot { title: title.into(), hint: hint.into(), x, y, series, roofs: Vec::new() }.draw()
}
