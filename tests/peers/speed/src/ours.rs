//! Fastweight reads and writes.

use anyhow::{Result, anyhow};
use clap::Args;
use fastweight::bench::{Family, Size};
use fastweight::device::{Choice, Device};
use fastweight::exec::Profile;
use fastweight::generate::{LoadOptions, Model, Sampling, plans};
use fastweight::load::{self, TensorInfo};
use fastweight::tensor::DType;
use fastweight::verify::{Effort, tune};
use pollster::block_on;
use serde_json::Value;

use crate::files::SIZE;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder or file, or a family: random weights then
    model: String,
    /// Size of a family: the default is that of the files
    #[arg(long)]
    size: Option<Size>,
    #[arg(long)]
    device: Choice,
    #[arg(long)]
    threads: Option<usize>,
    /// Matrices of random weights
    #[arg(long, default_value = "f16")]
    dtype: DType,
    /// Tokens that a round reads
    #[arg(long)]
    read: usize,
    /// Tokens that it writes then
    #[arg(long)]
    write: usize,
    /// Tell the speed of the sequence-modelling layers alone, too, and that of the inner steps of TTT in them as they read
    #[arg(long)]
    layers: bool,
}

pub(crate) fn rounds(options: &Options) -> Result<()> {
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let mut device = block_on(Device::open(&options.device))?;
    let profile = options.layers.then(Profile::default);
    if let Some(profile) = &profile {
        device = device.with_profile(profile.clone())?;
    }
    let family = options.model.parse::<Family>().ok();
    let opened = match family {
        Some(family) => options.size.unwrap_or(SIZE).opened(family, options.dtype),
        None => block_on(load::open_path(options.model.as_ref()))?,
    };
    let parameters: usize = opened.checkpoint.tensors.values().map(TensorInfo::len).sum();
    // As the command line does when a model first runs on a device.
    let plans = plans(&opened, &LoadOptions::default(), &device)?;
    let tuning = block_on(tune(&device, &plans, Effort::Once, &mut |_, _| {}))?;
    let device = device.with_tuning(tuning);
    let model = match family {
        Some(_) => block_on(Model::random(opened, 1, &device, LoadOptions::default()))?,
        None => block_on(Model::load(opened, &device, LoadOptions::default()))?,
    };
    let ids = crate::prompt(options.read);
    let mut session = block_on(model.session())?;
    session.set_sampling(Sampling { temperature: 0.0, ..Sampling::default() })?;
    let mut seen = 0;
    let mut round = || -> Result<Value> {
        block_on(session.reset())?;
        // The last tokens are read with the first that is drawn, as a user would wait for it.
        let reading = crate::seconds(|| {
            block_on(session.prefill(&ids))?;
            block_on(session.next())?;
            Ok(())
        })?;
        let mut in_layers = || profile.as_ref().map(|profile| layers(profile, &mut seen)).transpose();
        let layers_reading = in_layers()?;
        let writing =
            crate::seconds(|| (0..options.write).try_for_each(|_| block_on(session.next()).map(drop).map_err(Into::into)))?;
        let tokens = [options.read, options.write];
        let mut speeds = crate::speeds(tokens, [reading, writing]);
        if let (Some(reading), Some(writing)) = (layers_reading, in_layers()?) {
            let layers = crate::speeds(tokens, [reading.whole, writing.whole]);
            speeds["layers, prefill"] = layers["prefill"].clone();
            speeds["layers, decode"] = layers["decode"].clone();
            speeds["inner steps, prefill"] = (options.read as f64 / reading.inner).into();
        }
        Ok(speeds)
    };
    // What is compiled and grown once.
    round()?;
    let name = format!("fastweight ({parameters} parameters, {})", device.name());
    crate::take_turns(&name, round)
}

/// Seconds in sequence-modelling blocks.
struct Layers {
    whole: f64,
    /// In their TTT kernels, which have q, k, v and the learning rates as they read, and as they write make them, too.
    inner: f64,
}

/// What the steps of sequence-modelling blocks took since the last `seen` steps.
fn layers(profile: &Profile, seen: &mut usize) -> Result<Layers> {
    let trace: Value = serde_json::from_str(&block_on(profile.trace())?)?;
    let events = trace["traceEvents"].as_array().ok_or_else(|| anyhow!("a trace without events"))?;
    let new = events[*seen..]
        .iter()
        .filter(|event| event["args"]["node"].as_str().is_some_and(|node| !OUTSIDE.iter().any(|part| node.contains(part))));
    let mut layers = Layers { whole: 0.0, inner: 0.0 };
    for event in new {
        let seconds = event["dur"].as_f64().unwrap_or(0.0) * 1e-6;
        layers.whole += seconds;
        if event["name"].as_str().is_some_and(|name| name.starts_with("ttt_")) {
            layers.inner += seconds;
        }
    }
    *seen = events.len();
    Ok(layers)
}

/// Steps that are of no sequence-modelling layer, by their labels.
const OUTSIDE: [&str; 5] = ["mlp", "ffn_norm", "embed", "logits", "sample"];
