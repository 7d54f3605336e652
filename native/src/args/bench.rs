//! What can be typed after `fastweight bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

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
}

/// How to measure.
#[derive(Debug, ClapArgs)]
pub(crate) struct Measure {
    /// Take few samples of few shapes: minutes instead of an hour on a slow device
    #[arg(long)]
    pub(crate) quick: bool,

    /// Samples of each figure [default: 10, with --quick 5]
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

    /// Write the results to this file, as far as they go
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// A time such as `500ms`, `2s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    read.filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "wanted a time of at most a day, such as 500ms, 2s or 10m".into())
}
