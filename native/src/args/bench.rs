//! What can be typed after `fastweight bench`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use fastweight::bench::tables::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Say what changed from one result to another, beyond noise
    Compare(Compare),
    /// Make one HTML page of several results, and a summary in Markdown
    Report(Report),
    /// Print the figures of results as rows
    Show(Show),
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
