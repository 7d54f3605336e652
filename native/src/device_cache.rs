//! The user's cache folder for what is found out about a device: a file for each device, engine and set of shaders.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use fastweight::device::{Device, Identity};
use fastweight::shader;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::commands::save;
use crate::hub::user_cache;

/// What is remembered of a device holds for it, this engine and these shaders.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    device: Identity,
    engine: String,
    shaders: String,
}

impl Key {
    pub(crate) fn of(device: &Device) -> Key {
        Key { device: device.identity(), engine: env!("CARGO_PKG_VERSION").into(), shaders: shader::fingerprint() }
    }

    /// Its file of a kind, in a folder of its own; none where the user has no cache folder.
    pub(crate) fn file(&self, kind: &str, extension: &str) -> Option<PathBuf> {
        let text = serde_json::to_string(self).expect("texts have a form in JSON");
        let digest: String = Sha256::digest(text).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Some(user_cache()?.join("fastweight").join(kind).join(digest).with_extension(extension))
    }

    /// Writes that file, if there is a place for it.
    pub(crate) fn write(&self, kind: &str, extension: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(file) = self.file(kind, extension) else { return Ok(()) };
        let folder = file.parent().expect("the file is in a folder of ours");
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        save(&file, bytes)
    }
}
