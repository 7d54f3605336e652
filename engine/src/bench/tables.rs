//! Results as rows, in the forms and under the names that llama-bench's stand in: `pp512` and `tg128 @ d8192`, tokens a second, mean and
//! deviation.

use std::fmt::Write;
use std::str::FromStr;

use serde::Serialize;

use super::results::{Cache, Measurement, Results, Section};
use super::units;
use crate::quote::shown;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables in Markdown.
    Markdown,
    /// One list of objects.
    Json,
    /// One object a line.
    JsonLines,
    /// One line a row below a line of names.
    Csv,
}

/// A format of another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {found}, wanted md, json, jsonl or csv")]
pub struct UnknownFormat {
    found: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        match text {
            "md" => Ok(Format::Markdown),
            "json" => Ok(Format::Json),
            "jsonl" => Ok(Format::JsonLines),
            "csv" => Ok(Format::Csv),
            other => Err(UnknownFormat { found: shown(other) }),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The device.
    pub device: String,
    /// What it is reached by.
    pub backend: String,
    /// Threads of the CPU device.
    pub threads: usize,
    /// The engine's version.
    pub engine: String,
    /// The part of the bench.
    pub section: Section,
    /// What is measured: a kernel, or a row of a model such as `tg128 @ d8192`.
    pub test: String,
    /// Of what: a shape, or a model.
    pub subject: String,
    /// Bytes of the model's weights.
    pub model_size: Option<u64>,
    /// Numbers in the model's weights.
    pub model_n_params: Option<u64>,
    /// Sequences side by side.
    pub batch: usize,
    /// A kernel's launch.
    pub variant: Option<String>,
    /// Whether the planner would choose it.
    pub chosen: bool,
    /// Where a kernel finds its weights.
    pub cache: Option<Cache>,
    /// How many samples.
    pub samples: usize,
    /// Seconds of a unit of work: the median.
    pub median: f64,
    /// From where another run's median lies, with 95 %.
    pub low: Option<f64>,
    /// To where.
    pub high: Option<f64>,
    /// The mean of the seconds.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Tokens a second: the mean over the samples; none where there are no tokens.
    pub avg_ts: Option<f64>,
    /// Their standard deviation.
    pub stddev_ts: Option<f64>,
    /// Bytes a second of every tensor once, by the median.
    pub bytes_per_second: Option<f64>,
    /// Operations a second, by the median.
    pub operations_per_second: Option<f64>,
    /// The share of the device's ceiling.
    pub share: Option<f64>,
    /// Whether the machine drifted around it.
    pub flagged: bool,
    /// Whether the results that it is of can be trusted.
    pub valid: bool,
}

impl Row {
    fn new(results: &Results, m: &Measurement) -> Row {
        let of = results.summary(m);
        let a_second = |work: f64| (work > 0.0).then(|| work / of.median);
        let model = results.models.get(&m.subject);
        let speed = (m.work.tokens > 0.0).then(|| results.speed(m));
        Row {
            device: results.device.name.clone(),
            backend: results.device.backend.clone(),
            threads: results.system.threads,
            engine: results.engine.version.clone(),
            section: m.section,
            test: m.name.clone(),
            subject: m.subject.clone(),
            model_size: model.map(|m| m.bytes),
            model_n_params: model.map(|m| m.parameters),
            batch: m.batch,
            variant: m.variant.clone(),
            chosen: m.chosen,
            cache: m.cache,
            samples: of.count,
            median: of.median,
            low: of.interval.map(|i| i[0]),
            high: of.interval.map(|i| i[1]),
            mean: of.mean,
            deviation: of.deviation,
            avg_ts: speed.map(|s| s.mean),
            stddev_ts: speed.map(|s| s.deviation),
            bytes_per_second: a_second(m.work.least),
            operations_per_second: a_second(m.work.operations),
            share: m.share,
            flagged: m.flagged,
            valid: results.valid,
        }
    }

    /// The test with what it is a test of beside the model: sequences side by side.
    pub fn test_name(&self) -> String {
        if self.batch > 1 { format!("{} × {}", self.test, self.batch) } else { self.test.clone() }
    }
}

/// A row a figure, in the order of the file.
pub fn rows(results: &Results) -> Vec<Row> {
    results.measurements.iter().map(|m| Row::new(results, m)).collect()
}

/// Writes rows; the text ends with a line break.
pub fn write(rows: &[Row], format: Format) -> String {
    match format {
        Format::Markdown => markdown(rows),
        Format::Json => serde_json::to_string_pretty(rows).expect("rows are JSON") + "\n",
        Format::JsonLines => rows.iter().map(|row| serde_json::to_string(row).expect("a row is JSON") + "\n").collect(),
        Format::Csv => {
            let mut out = csv::Writer::from_writer(Vec::new());
            for row in rows {
                out.serialize(row).expect("a row is flat, and memory takes it");
            }
            String::from_utf8(out.into_inner().expect("memory takes it")).expect("rows are text")
        }
    }
}

/// Markdown's own characters, and those that end a cell or a line, stand for themselves.
pub(super) fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in shown(text).chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

fn markdown(rows: &[Row]) -> String {
    let mut out = String::new();
    let models: Vec<&Row> =
        rows.iter().filter(|row| matches!(row.section, Section::Models | Section::Forms | Section::Long)).collect();
    if !models.is_empty() {
        out.push_str(
            "| model | size | params | backend | threads | test | t/s |\n| --- | ---: | ---: | --- | ---: | --- | ---: |\n",
        );
        for row in &models {
            let size = row.model_size.map_or(String::new(), |n| units::bytes(n as f64));
            let parameters = row.model_n_params.map_or(String::new(), |n| units::count(n as f64));
            let (mean, deviation) = (row.avg_ts.unwrap_or(0.0), row.stddev_ts.unwrap_or(0.0));
            _ = writeln!(
                out,
                "| {} | {size} | {parameters} | {} | {} | {} | {mean:.2} ± {deviation:.2}{} |",
                cell(&row.subject),
                cell(&row.backend),
                row.threads,
                cell(&row.test_name()),
                mark(row),
            );
        }
    }
    let device: Vec<&Row> = rows.iter().filter(|row| row.section == Section::Device).collect();
    if !device.is_empty() {
        separate(&mut out);
        out.push_str("| device | of | time | GB/s | GFLOP/s |\n| --- | --- | ---: | ---: | ---: |\n");
        for row in &device {
            // The curves' subjects are their working sets.
            let of = row.subject.parse().map_or_else(|_| cell(&row.subject), units::bytes);
            let (bytes, operations) = (giga(row.bytes_per_second), giga(row.operations_per_second));
            let time = units::seconds(row.median);
            _ = writeln!(out, "| {} | {of} | {time}{} | {bytes} | {operations} |", cell(&row.test), mark(row));
        }
    }
    let kernels: Vec<&Row> = rows.iter().filter(|row| row.section == Section::Kernels).collect();
    if !kernels.is_empty() {
        separate(&mut out);
        out.push_str("| kernel | shape | batch | cache | variant | time | GB/s | GFLOP/s | of ceiling |\n");
        out.push_str("| --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: |\n");
        for row in &kernels {
            _ = writeln!(
                out,
                "| {} | {} | {} | {} | {}{} | {}{} | {} | {} | {} |",
                cell(&row.test),
                cell(&row.subject),
                row.batch,
                cache(row.cache),
                cell(row.variant.as_deref().unwrap_or("")),
                if row.chosen { " (chosen)" } else { "" },
                units::seconds(row.median),
                mark(row),
                giga(row.bytes_per_second),
                giga(row.operations_per_second),
                row.share.map_or(String::new(), units::percent),
            );
        }
    }
    if rows.iter().any(|row| row.flagged) {
        out.push_str("\n† the machine drifted around this figure\n");
    }
    out
}

/// A line between two tables.
fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

/// Thousands of millions.
fn giga(x: Option<f64>) -> String {
    x.map_or(String::new(), |x| units::number(x / 1e9))
}

/// A dagger at what is flagged.
fn mark(row: &Row) -> &'static str {
    if row.flagged { " †" } else { "" }
}

/// A cache's name in a table.
pub(super) fn cache(cache: Option<Cache>) -> &'static str {
    match cache {
        Some(Cache::Cold) => "cold",
        Some(Cache::Warm) => "warm",
        None => "",
    }
}
