//! `fastweight bench models`.

use fastweight::bench::results::{Measurement, Settings};
use fastweight::bench::{self, BenchError, ModelOptions};
use fastweight::device::Device;

use super::watch::Watch;
use crate::Ended;
use crate::args::{Args, BenchModels};
use crate::commands::{bytes, check_writable, print_json, save};
use crate::open;

pub(crate) async fn run(args: &Args, options: &BenchModels) -> anyhow::Result<Ended> {
    if let Some(file) = &options.out {
        check_writable(file)?;
    }
    let device = open::device(args).await?;
    let mut watch = Watch::new(args)?;
    let settings = Settings {
        quick: options.quick,
        repetitions: options.repetitions.unwrap_or(if options.quick { 3 } else { 5 }).max(1),
        delay: options.delay,
        sustain: 0.0,
        only: options.only.clone(),
        seed: options.seed,
    };
    let chosen = chosen(args, options, &device);
    let mut found = Vec::new();
    let done = measure(&device, &settings, &chosen, options, &mut watch, &mut found).await;
    match &options.out {
        Some(file) => save(file, &serde_json::to_vec_pretty(&found)?)?,
        None => print_json(&found)?,
    }
    match done {
        Err(BenchError::Cancelled) => Ok(Ended::Interrupted),
        done => Ok(done.map(|()| Ended::Normally)?),
    }
}

/// The options for the engine: what was asked for, and else what is usual on the device.
fn chosen(args: &Args, options: &BenchModels, device: &Device) -> ModelOptions {
    let mut chosen = ModelOptions::usual(device, options.quick);
    chosen.memory = open::memory(device);
    chosen.dtype = args.dtype.unwrap_or(chosen.dtype);
    chosen.prompt = options.prompt.unwrap_or(chosen.prompt);
    chosen.predict = options.predict.unwrap_or(chosen.predict);
    chosen.long = options.long.unwrap_or(chosen.long);
    given(&options.families, &mut chosen.families);
    given(&options.sizes, &mut chosen.sizes);
    given(&options.contexts, &mut chosen.contexts);
    given(&options.batch, &mut chosen.batches);
    chosen
}

/// Takes what was given, if anything was.
fn given<T: Clone>(given: &[T], usual: &mut Vec<T>) {
    if !given.is_empty() {
        *usual = given.to_vec();
    }
}

async fn measure(
    device: &Device,
    settings: &Settings,
    chosen: &ModelOptions,
    options: &BenchModels,
    watch: &mut Watch,
    found: &mut Vec<Measurement>,
) -> Result<(), BenchError> {
    found.extend(bench::models(device, settings, chosen, watch).await?);
    if options.forms {
        found.extend(bench::forms(device, settings, chosen, watch).await?);
    }
    if options.long.is_some() {
        watch.resident.clear();
        found.extend(bench::long(device, settings, chosen, watch).await?);
        if let (Some(first), Some(last)) = (watch.resident.get(1), watch.resident.last()) {
            eprintln!("memory of the program: {} after the first hundredth, {} at the end", bytes(*first), bytes(*last));
        }
    }
    Ok(())
}
