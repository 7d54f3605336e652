//! `fastweight bench`.

use fastweight::bench::results::Section;

use crate::Ended;
use crate::args::Args;
use crate::args::bench::{Bench, BenchCommand};

mod measure;

pub(crate) async fn run(args: &Args, options: &Bench) -> anyhow::Result<Ended> {
    match &options.command {
        None => measure::run(args, &options.measure, &[Section::Device, Section::Kernels]).await,
        Some(BenchCommand::Device(measure)) => measure::run(args, measure, &[Section::Device, Section::Kernels]).await,
    }
}
