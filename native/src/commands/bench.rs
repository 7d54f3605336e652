//! `fastweight bench`.

use fastweight::bench::results::Section;

use crate::Ended;
use crate::args::Args;
use crate::args::bench::{Bench, BenchCommand};

mod measure;
mod models;

pub(crate) async fn run(args: &Args, options: &Bench) -> anyhow::Result<Ended> {
    const DEVICE: [Section; 2] = [Section::Device, Section::Kernels];
    const ALL: [Section; 4] = [Section::Device, Section::Kernels, Section::Models, Section::Forms];
    match &options.command {
        None => measure::run(args, &options.measure, &ALL, |_| {}).await,
        Some(BenchCommand::Device(measure)) => measure::run(args, measure, &DEVICE, |_| {}).await,
        Some(BenchCommand::Models(models)) => models::run(args, models).await,
    }
}
