//! What the driver made of the kernels, remembered from run to run: a file a device in the user's cache folder, so that a later start compiles nothing. Many drivers
//! remember by themselves as well.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fastweight::device::Device;
use sha2::{Digest, Sha256};

use crate::device_cache::Key;

/// Its folder and files in the cache.
const KIND: &str = "pipelines";
const EXTENSION: &str = "bin";

/// Bytes of the digest that a file begins with.
const DIGEST: usize = 32;

/// The device of this run, and the digest of what was remembered of it.
static OPENED: Mutex<Option<(Device, Option<[u8; DIGEST]>)>> = Mutex::new(None);

/// A file's digest and data, if it is whole.
fn read(file: &Path) -> Option<([u8; DIGEST], Vec<u8>)> {
    let mut bytes = fs::read(file).ok()?;
    let data = bytes.split_off(bytes.len().min(DIGEST));
    let digest: [u8; DIGEST] = Sha256::digest(&data).into();
    if bytes != digest {
        log::info!("{} is damaged and is ignored", file.display());
        return None;
    }
    Some((digest, data))
}

/// Gives the device what is remembered of it.
pub(crate) fn recall(device: &Device) {
    if device.is_cpu() {
        return;
    }
    let known = Key::of(device).file(KIND, EXTENSION).and_then(|file| read(&file));
    #[expect(unsafe_code, reason = "the driver trusts the bytes")]
    // SAFETY: the file is of this device, driver and engine, in the user's own folder, and its digest says that it is as it was written.
    unsafe {
        device.take_compiled(known.as_ref().map(|(_, data)| &data[..]));
    }
    let digest = known.map(|(digest, _)| digest);
    *OPENED.lock().unwrap_or_else(PoisonError::into_inner) = Some((device.clone(), digest));
}

/// Writes down what there is now, if that is more than there was.
pub(crate) fn remember() {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((device, before)) = opened else { return };
    let Some(data) = device.compiled() else { return };
    let digest: [u8; DIGEST] = Sha256::digest(&data).into();
    if before == Some(digest) {
        return;
    }
    if let Err(error) = Key::of(&device).write(KIND, EXTENSION, &[&digest[..], &data].concat()) {
        log::warn!("what was compiled could not be written down: {error:#}");
    }
}
