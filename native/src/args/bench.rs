//! What can be typed after `fastweight bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use fastweight::bench::tables::Format;
use fastweight::bench::{Family, Size};

use crate::profile::Profiling;

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) measure: Measure,

    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure what the device can do at best, and every kernel against it
    Device(Measure),
    /// Measure whole models of random weights: the time of a token against the context, and both forms of the inner step
    Models(Box<Models>),
    /// Say what changed from one result to another, beyond noise
    Compare(Compare),
    /// Make one HTML page of several results, and a summary in Markdown
    Report(Report),
    /// Print the figures of results as rows
    Show(Show),
}

/// Which models to measure.
#[derive(Debug, ClapArgs)]
pub(crate) struct Models {
    #[command(flatten)]
    pub(crate) measure: Measure,

    /// Families: ttt-linear, ttt-mlp, transformer, mamba [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) families: Vec<Family>,

    /// Sizes: tiny, 125m, 350m, 760m, 1.3b [default: all but tiny; tiny on the CPU, on a software device and with --quick]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) sizes: Vec<Size>,

    /// Tokens of context before the measured ones [default: 1024 to 32768; at the tiny size 256 to 16384; with --quick 256 and 4096]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    pub(crate) contexts: Vec<usize>,

    /// Sequences side by side [default: 1,16; with --quick 1]
    #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = sequences)]
    pub(crate) batch: Vec<usize>,

    /// Tokens that are read [default: 512; at the tiny size 32]
    #[arg(short = 'p', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) prompt: Option<u32>,

    /// Tokens that are written [default: 128; at the tiny size 32, with --quick 8]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) predict: Option<u32>,

    /// Instead, read N tokens in one run, to see that time and memory stay as they are [default: 1000000]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000000", value_parser = clap::value_parser!(u32).range(100..=100_000_000))]
    pub(crate) long: Option<u32>,
}

fn sequences(text: &str) -> Result<usize, String> {
    let most = fastweight::step::MAX_SEQUENCES;
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("wanted 1 to {most}"))
}

/// How to measure.
#[derive(Debug, ClapArgs)]
pub(crate) struct Measure {
    /// Take few samples of few shapes: minutes instead of an hour on a slow device
    #[arg(long)]
    pub(crate) quick: bool,

    /// Samples of each figure [default: 10, with --quick 3]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repetitions: Option<u32>,

    /// Rest before each sample: 500ms, 2s
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) delay: Duration,

    /// Load the device before the first sample: 10m
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) sustain: Duration,

    /// Measure only what has this in its name; may be repeated
    #[arg(long, value_name = "PART")]
    pub(crate) only: Vec<String>,

    /// Seed of the order of the samples and of random weights
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) profiling: Profiling,

    /// Write the results to this file, as far as they go
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) rows: Rows,
}

/// A time such as `500ms`, `2s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    read.filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "wanted a time of at most a day, such as 500ms, 2s or 10m".into())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// The result before
    #[arg(value_name = "A.json")]
    pub(crate) a: PathBuf,

    /// The result after
    #[arg(value_name = "B.json")]
    pub(crate) b: PathBuf,

    /// Fail (exit code 1) if any figure takes longer in B, beyond noise and by at least this much; flagged figures don't count
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) fail_on_regression: Option<f64>,

    /// Compare even if both device and engine differ
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    /// The results
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Write the page to this file [default: report.html; none if only --markdown is given]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Write a summary in Markdown to this file; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// The results
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rows: Rows,
}

/// How rows are printed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Rows {
    /// Print rows as md, json, jsonl or csv [default: md; json with --json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse() {
        Ok(percent) if (0.0..=1e6).contains(&percent) => Ok(percent),
        _ => Err("wanted a percentage such as 5".into()),
    }
}
