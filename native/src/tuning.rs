//! What was found of the kernels' variants on a device, remembered from run to run: a file a device in the user's cache folder.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use fastweight::device::{Device, Identity};
use fastweight::generate::{self, LoadOptions};
use fastweight::load::Opened;
use fastweight::shader;
use fastweight::tuning::Tuning;
use fastweight::verify::{self, Effort};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::args::Args;
use crate::commands::save;
use crate::hub::user_cache;
use crate::progress;

/// What is remembered of a device holds for it, this engine and these shaders.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    device: Identity,
    engine: String,
    shaders: String,
}

/// Its folder in the cache.
const FOLDER: &str = "tuning";

#[derive(Serialize, Deserialize)]
struct Remembered {
    key: Key,
    tuning: Tuning,
}

impl Key {
    pub(crate) fn of(device: &Device) -> Key {
        Key { device: device.identity(), engine: env!("CARGO_PKG_VERSION").into(), shaders: shader::fingerprint() }
    }

    /// Its file in a folder of the cache; none where the user has no cache folder.
    pub(crate) fn file(&self, folder: &str) -> Option<PathBuf> {
        let text = serde_json::to_string(self).expect("texts have a form in JSON");
        let digest: String = Sha256::digest(text).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Some(user_cache()?.join("fastweight").join(folder).join(digest))
    }

    /// What is remembered; a file that is damaged, or of something else, is as good as none.
    fn read(&self) -> Tuning {
        let remembered = || {
            let file = self.file(FOLDER)?.with_extension("json");
            let bytes = fs::read(&file).ok()?;
            let remembered = serde_json::from_slice::<Remembered>(&bytes);
            let remembered = remembered.inspect_err(|e| log::info!("{} is ignored: {e}", file.display())).ok()?;
            (remembered.key == *self).then_some(remembered.tuning)
        };
        remembered().unwrap_or_default()
    }

    fn write(self, tuning: &Tuning) -> anyhow::Result<()> {
        let Some(file) = self.file(FOLDER) else { return Ok(()) };
        let folder = file.parent().expect("the file is in a folder of ours");
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        save(&file.with_extension("json"), &serde_json::to_vec_pretty(&Remembered { key: self, tuning: tuning.clone() })?)
    }
}

/// The device with what is remembered of it.
pub(crate) fn remembered(args: &Args, device: Device) -> Device {
    if args.no_tune || device.is_cpu() {
        return device;
    }
    let tuning = Key::of(&device).read();
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
    if let Err(error) = Key::of(&device).write(&tuning) {
        log::warn!("what was found of the kernels could not be written down: {error:#}");
    }
    Ok(device.with_tuning(tuning))
}
