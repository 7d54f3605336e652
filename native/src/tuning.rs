//! What was found of the kernels' variants on a device, remembered from run to run: a file a device in the user's cache folder.

use std::fs;

use anyhow::Context;
use fastweight::device::Device;
use fastweight::generate::{self, LoadOptions};
use fastweight::load::Opened;
use fastweight::tuning::Tuning;
use fastweight::verify::{self, Effort};
use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::device_cache::Key;
use crate::progress;

/// Its folder and files in the cache.
const KIND: &str = "tuning";
const EXTENSION: &str = "json";

#[derive(Serialize, Deserialize)]
struct Remembered {
    key: Key,
    tuning: Tuning,
}

/// What is remembered; a file that is damaged, or of something else, is as good as none.
fn read(key: &Key) -> Tuning {
    let remembered = || {
        let file = key.file(KIND, EXTENSION)?;
        let bytes = fs::read(&file).ok()?;
        let remembered = serde_json::from_slice::<Remembered>(&bytes);
        let remembered = remembered.inspect_err(|e| log::info!("{} is ignored: {e}", file.display())).ok()?;
        (remembered.key == *key).then_some(remembered.tuning)
    };
    remembered().unwrap_or_default()
}

fn write(device: &Device, tuning: &Tuning) -> anyhow::Result<()> {
    let remembered = Remembered { key: Key::of(device), tuning: tuning.clone() };
    remembered.key.write(KIND, EXTENSION, &serde_json::to_vec_pretty(&remembered)?)
}

/// The device with what is remembered of it.
pub(crate) fn remembered(args: &Args, device: Device) -> Device {
    if args.no_tune || device.is_cpu() {
        return device;
    }
    let tuning = read(&Key::of(&device));
    device.with_tuning(tuning)
}

/// The device with all that has to be known for this model, which is found out now if it was not before.
pub(crate) async fn tuned(args: &Args, device: &Device, opened: &Opened, options: &LoadOptions<'_>) -> anyhow::Result<Device> {
    // Another run, or another model of this one, may have added to it.
    let device = remembered(args, device.clone());
    if args.no_tune || device.is_cpu() {
        return Ok(device);
    }
    let plans = generate::plans(opened, options, &device)?;
    if verify::is_tuned(&device, &plans) {
        return Ok(device);
    }
    if !args.quiet {
        eprintln!("checking the kernels on {}, once (--no-tune leaves it out)", device.name());
    }
    let bar = progress::bar(args, "{pos} of {len} {wide_bar} {eta}");
    let mut progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let tuning = verify::tune(&device, &plans, Effort::Once, &mut progress).await;
    bar.finish_and_clear();
    let tuning = tuning.context("checking the kernels")?;
    for (variant, found) in &tuning.wrong {
        log::warn!("{variant} is wrong on this device and is not used: {found}");
    }
    if let Err(error) = write(&device, &tuning) {
        log::warn!("what was found of the kernels could not be written down: {error:#}");
    }
    Ok(device.with_tuning(tuning))
}
