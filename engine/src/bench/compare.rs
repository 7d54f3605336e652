//! What changed from one result to another, beyond noise.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::results::{Cache, DeviceFacts, Engine, Measurement, Results, Section};
use super::statistics::{Change, Summary, Verdict, unsteadiness};
use super::units;
use crate::quote::shown;

/// Why two results are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// It could not be told which of the two a difference is of.
    #[error("both device and engine differ: {a} and {b}; wanted the same device or the same engine")]
    DeviceAndEngine {
        /// Device and engine of the first.
        a: String,
        /// Device and engine of the second.
        b: String,
    },
}

/// Two results, figure by figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What else differs or can't be trusted, a sentence each.
    pub notes: Vec<String>,
    /// Figures that both have: the largest slowdown first.
    pub pairs: Vec<Pair>,
    /// Figures that only the first has.
    pub only_a: Vec<String>,
    /// Figures that only the second has.
    pub only_b: Vec<String>,
}

/// A figure that both results have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The part of the bench.
    pub section: Section,
    /// What is measured.
    pub name: String,
    /// Of what.
    pub subject: String,
    /// Sequences side by side.
    pub batch: usize,
    /// Where a kernel found its weights.
    pub cache: Option<Cache>,
    /// Which launches are compared.
    pub launches: Launches,
    /// Seconds of a unit of work in the first.
    pub a: Summary,
    /// The same in the second.
    pub b: Summary,
    /// The second against the first.
    pub change: Change,
    /// The machine drifted around one of the two: the change may be the drift.
    pub flagged: bool,
}

/// Which launches of a kernel a pair compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Launches {
    /// There is one way to do it.
    Only,
    /// The same variant in both.
    Same(String),
    /// The fastest variant of each.
    Best {
        /// The first's.
        a: String,
        /// The second's.
        b: String,
    },
}

impl Pair {
    /// What is compared, on one line.
    pub fn title(&self) -> String {
        let mut title = format!("{} {}", self.name, self.subject);
        if self.batch > 1 {
            title += &format!(", batch {}", self.batch);
        }
        title += match self.cache {
            Some(Cache::Cold) => ", cold",
            Some(Cache::Warm) => ", warm",
            None => "",
        };
        shown(title)
    }

    /// The launches, on one line; empty where there is one way.
    pub fn launch(&self) -> String {
        match &self.launches {
            Launches::Only => String::new(),
            Launches::Same(variant) => shown(variant),
            Launches::Best { a, b } => shown(format!("best of each: {a} → {b}")),
        }
    }
}

/// One line for a figure that has no counterpart.
fn title(m: &Measurement) -> String {
    let batch = if m.batch > 1 { format!(", batch {}", m.batch) } else { String::new() };
    let variant = m.variant.as_ref().map_or(String::new(), |v| format!(", {v}"));
    shown(format!("{} {}{batch}{variant}", m.name, m.subject))
}

fn same_device(a: &DeviceFacts, b: &DeviceFacts) -> bool {
    (&a.name, &a.vendor, &a.backend, &a.kind) == (&b.name, &b.vendor, &b.backend, &b.kind)
}

/// How the rates of the first fixed work differ on one device, copying and multiplying, if by more than 5 %.
fn shift(a: &Results, b: &Results) -> Option<[f64; 2]> {
    let (x, y) = (a.sentinels.first()?, b.sentinels.first()?);
    let ratios = [y.copy / x.copy, y.multiply_add / x.multiply_add];
    let apart = ratios.iter().any(|r| r.max(1.0 / r) > 1.05);
    (same_device(&a.device, &b.device) && apart).then_some(ratios)
}

fn described(results: &Results) -> String {
    let DeviceFacts { name, backend, .. } = &results.device;
    shown(format!("{name} ({backend}) with {}", engine(&results.engine)))
}

/// An engine, on one line.
fn engine(engine: &Engine) -> String {
    let wgsl: String = engine.wgsl.chars().take(8).collect();
    let commit = engine.commit.as_ref().map_or(String::new(), |c| format!(" {}", c.chars().take(10).collect::<String>()));
    format!("engine {}{commit}, kernels {wgsl}", engine.version)
}

impl Comparison {
    /// Compares `b` with `a`. Where both device and engine differ, only if `forced`.
    pub fn new(a: &Results, b: &Results, forced: bool) -> Result<Comparison, CompareError> {
        if !forced && !same_device(&a.device, &b.device) && a.engine != b.engine {
            return Err(CompareError::DeviceAndEngine { a: described(a), b: described(b) });
        }
        let mut comparison = Comparison { notes: notes(a, b), pairs: Vec::new(), only_a: Vec::new(), only_b: Vec::new() };
        let (in_a, in_b) = (by_key(a), by_key(b));
        // On one device, how far the two runs' fixed work lies apart counts too.
        let unsteady = match same_device(&a.device, &b.device) {
            true => [unsteadiness(a.sentinels.iter().chain(&b.sentinels)); 2],
            false => [unsteadiness(&a.sentinels), unsteadiness(&b.sentinels)],
        };
        let mut other_work = 0;
        for (key, ours) in &in_a {
            match in_b.get(key) {
                Some(theirs) if !same_work(ours[0], theirs[0]) => other_work += 1,
                Some(theirs) => comparison.pair(ours, theirs, unsteady),
                None => comparison.only_a.extend(ours.iter().map(|m| title(m))),
            }
        }
        for (_, theirs) in in_b.iter().filter(|(key, _)| !in_a.contains_key(*key)) {
            comparison.only_b.extend(theirs.iter().map(|m| title(m)));
        }
        if other_work > 0 {
            comparison.notes.push(format!("{other_work} figures of the same name do other work and are not compared"));
        }
        if shift(a, b).is_some() {
            comparison.pairs.iter_mut().for_each(|pair| pair.flagged = true);
        }
        comparison.pairs.sort_by(|x, y| y.change.ratio.total_cmp(&x.change.ratio));
        Ok(comparison)
    }

    /// Figures whose time grew by at least this share beyond noise, of those that no drift explains.
    pub fn regressions(&self, share: f64) -> impl Iterator<Item = &Pair> {
        self.with(Verdict::Slower).filter(move |pair| !pair.flagged && pair.change.ratio >= 1.0 + share)
    }

    /// Figures with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| pair.change.verdict == verdict)
    }

    /// Pairs the launches of one figure.
    fn pair(&mut self, ours: &[&Measurement], theirs: &[&Measurement], unsteady: [f64; 2]) {
        let mut add = |a: &Measurement, b: &Measurement, launches| {
            self.pairs.push(Pair {
                section: a.section,
                name: a.name.clone(),
                subject: a.subject.clone(),
                batch: a.batch,
                cache: a.cache,
                launches,
                a: Summary::of(&a.samples, unsteady[0]),
                b: Summary::of(&b.samples, unsteady[1]),
                change: Change::between(&a.samples, &b.samples, unsteady),
                flagged: a.flagged || b.flagged,
            });
        };
        let mut alone = BTreeSet::new();
        for a in ours {
            match theirs.iter().find(|b| b.variant == a.variant) {
                Some(b) => add(a, b, a.variant.clone().map_or(Launches::Only, Launches::Same)),
                None => _ = alone.insert(title(a)),
            }
        }
        // Where the same launch is the best in both, that says nothing new.
        if let (Some((x, a)), Some((y, b))) = (best(ours), best(theirs))
            && x != y
        {
            add(a, b, Launches::Best { a: x.into(), b: y.into() });
        }
        self.only_a.extend(alone);
        let without = |b: &&&Measurement| ours.iter().all(|a| a.variant != b.variant);
        self.only_b.extend(theirs.iter().filter(without).map(|m| title(m)));
    }
}

/// The fastest launch of a kernel.
fn best<'a>(of: &[&'a Measurement]) -> Option<(&'a str, &'a Measurement)> {
    let median = |m: &Measurement| Summary::of(&m.samples, 0.0).median;
    let launches = of.iter().filter_map(|m| Some((m.variant.as_deref()?, *m)));
    launches.min_by(|x, y| median(x.1).total_cmp(&median(y.1)))
}

type Key<'a> = (Section, &'a str, &'a str, usize, Option<Cache>);

/// The measurements of each figure, in an order that is always the same.
fn by_key(results: &Results) -> BTreeMap<Key<'_>, Vec<&Measurement>> {
    let mut found: BTreeMap<Key<'_>, Vec<&Measurement>> = BTreeMap::new();
    for m in &results.measurements {
        found.entry(m.key()).or_default().push(m);
    }
    found
}

/// Whether a unit of work is the same in both, but for what a variant asks for beyond need.
fn same_work(a: &Measurement, b: &Measurement) -> bool {
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-6 * x.max(y);
    let (a, b) = (&a.work, &b.work);
    close(a.tokens, b.tokens) && close(a.context, b.context) && close(a.operations, b.operations) && close(a.least, b.least)
}

/// What a reader of the differences must know.
fn notes(a: &Results, b: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let mut differs = |what: &str, x: &str, y: &str| {
        if x != y {
            notes.push(format!("{what} differ: {} and {}", quoted(x), quoted(y)));
        }
    };
    if !same_device(&a.device, &b.device) {
        let name = |r: &Results| format!("{} ({}, {})", r.device.name, r.device.backend, r.device.kind);
        differs("devices", &name(a), &name(b));
    }
    differs("drivers", &a.device.driver, &b.device.driver);
    differs("engines", &engine(&a.engine), &engine(&b.engine));
    differs("systems", &format!("{} {}", a.system.os, a.system.arch), &format!("{} {}", b.system.os, b.system.arch));
    let browser = |r: &Results| r.system.browser.clone().unwrap_or_else(|| "none".into());
    differs("browsers", &browser(a), &browser(b));
    let flags = |r: &Results| r.system.flags.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
    differs("flags of the environment", &flags(a), &flags(b));
    differs("threads", &a.system.threads.to_string(), &b.system.threads.to_string());
    differs("kinds of power", &a.system.power, &b.system.power);
    differs("optional features", &a.device.features.join(" "), &b.device.features.join(" "));
    let timer = |r: &Results| format!("{:?}", r.timer.kind).to_lowercase();
    differs("timers", &timer(a), &timer(b));
    let settings = |r: &Results| {
        let s = &r.settings;
        format!("quick {}, repetitions {}, delay {} s, sustain {} s", s.quick, s.repetitions, s.delay, s.sustain)
    };
    differs("settings", &settings(a), &settings(b));
    if let Some([copy, multiply]) = shift(a, b) {
        let (copy, multiply) = (units::change(copy), units::change(multiply));
        notes.push(format!("the machine itself changed, all figures are flagged: its rates of fixed work by {copy} (copying) and {multiply} (multiplying)"));
    }
    for (which, results) in [("first", a), ("second", b)] {
        for reason in &results.invalid {
            notes.push(format!("the {which} is not valid: {}", shown(reason)));
        }
        if !results.complete {
            notes.push(format!("the {which} was not finished"));
        }
        let flagged = results.measurements.iter().filter(|m| m.flagged).count();
        if flagged > 0 {
            notes.push(format!("the machine drifted around {flagged} figures of the {which}"));
        }
    }
    notes
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "none".into() } else { shown(text) }
}
