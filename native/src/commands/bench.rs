//! `fastweight bench`: one module a subcommand.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;
use fastweight::bench::report::Entry;
use fastweight::bench::results::{MAX_BYTES, Results, Section};
use fastweight::bench::tables::{self, Format, Row};

use crate::Ended;
use crate::args::Args;
use crate::args::bench::{Bench, BenchCommand, Rows, Show};

mod compare;
mod measure;
mod models;
mod report;

pub(crate) async fn run(args: &Args, options: &Bench) -> anyhow::Result<Ended> {
    const DEVICE: [Section; 2] = [Section::Device, Section::Kernels];
    const ALL: [Section; 4] = [Section::Device, Section::Kernels, Section::Models, Section::Forms];
    match &options.command {
        None => measure::run(args, &options.measure, &ALL, |_| {}).await,
        Some(BenchCommand::Device(measure)) => measure::run(args, measure, &DEVICE, |_| {}).await,
        Some(BenchCommand::Models(models)) => models::run(args, models).await,
        Some(BenchCommand::Compare(options)) => compare::run(args, options),
        Some(BenchCommand::Report(options)) => report::run(args, options),
        Some(BenchCommand::Show(options)) => show(args, options),
    }
}

/// Reads and checks a file of results.
fn read(file: &Path) -> anyhow::Result<Entry> {
    let name = file.display().to_string();
    let mut text = String::new();
    // One byte more than is allowed is enough to refuse it.
    let opened = File::open(file).with_context(|| name.clone())?;
    opened.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).with_context(|| name.clone())?;
    let results = Results::parse(&name, &text)?;
    let file = file.file_name().map_or(name, |name| name.to_string_lossy().into_owned());
    Ok(Entry { file, results })
}

fn show(args: &Args, options: &Show) -> anyhow::Result<Ended> {
    let mut rows = Vec::new();
    for file in &options.files {
        rows.extend(tables::rows(&read(file)?.results));
    }
    print_rows(args, &options.rows, &rows)?;
    Ok(Ended::Normally)
}

/// Prints rows on stdout, as they were asked for.
fn print_rows(args: &Args, options: &Rows, rows: &[Row]) -> anyhow::Result<()> {
    let format = options.format.unwrap_or(if args.json { Format::Json } else { Format::Markdown });
    let mut out = std::io::stdout().lock();
    out.write_all(tables::write(rows, format).as_bytes())?;
    Ok(out.flush()?)
}
