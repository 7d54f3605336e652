//! Choosing a device in a browser, which tells little about what it has.

use fastweight::device::{self, Choice};
use fastweight::error::Error;
use fastweight::verify;
use wasm_bindgen::prelude::*;

use crate::error::Failure;

/// A device that models are loaded onto.
#[wasm_bindgen]
pub struct Device {
    pub(crate) inner: device::Device,
    why: String,
}

/// The browser's adapter.
fn adapter() -> Choice {
    Choice::Adapter { backend: "webgpu".into(), index: 0 }
}

/// Opens the device of a choice: `auto`, `webgpu` or `cpu`.
pub(crate) async fn open(choice: &str) -> Result<(device::Device, String), Error> {
    match choice {
        "cpu" => Ok((device::Device::cpu(), "asked for".into())),
        "webgpu" => Ok((device::Device::open(&adapter()).await?, "asked for".into())),
        "auto" => automatic().await,
        _ => Err(Error::Option { name: "device", found: choice.into(), wanted: "auto, webgpu or cpu" }),
    }
}

/// The GPU where there is one; where the browser hides what it is, whichever is faster.
async fn automatic() -> Result<(device::Device, String), Error> {
    let adapters = device::adapters().await;
    let cpu = |why: &str| Ok((device::Device::cpu(), why.to_string()));
    let Some(found) = adapters.first() else { return cpu("this browser offers no WebGPU adapter") };
    if !found.auto {
        return cpu("this browser's WebGPU runs in software, which is slower than the CPU device");
    }
    let gpu = match device::Device::open(&adapter()).await {
        Ok(gpu) => gpu,
        Err(error) => return cpu(&format!("the WebGPU adapter could not be opened: {error}")),
    };
    if !found.name.is_empty() {
        return Ok((gpu, "a GPU".into()));
    }
    match (verify::product_seconds(&device::Device::cpu()).await, verify::product_seconds(&gpu).await) {
        (Ok(on_cpu), Ok(on_gpu)) if on_gpu < on_cpu => {
            Ok((gpu, format!("a product took {on_gpu:.4} s on it, {on_cpu:.4} s on the CPU")))
        }
        (Ok(on_cpu), Ok(on_gpu)) => {
            cpu(&format!("a product took {on_cpu:.4} s on it, {on_gpu:.4} s on the WebGPU adapter, whose name the browser hides"))
        }
        (_, Err(error)) => cpu(&format!("the WebGPU adapter failed at a small product: {error}")),
        (Err(_), Ok(_)) => Ok((gpu, "the CPU failed at a small product".into())),
    }
}

#[wasm_bindgen]
impl Device {
    /// Opens the device of a choice: `auto`, `webgpu` or `cpu`.
    pub async fn open(choice: String) -> Result<Device, JsValue> {
        let (inner, why) = open(&choice).await.map_err(Failure)?;
        Ok(Device { inner, why })
    }

    /// Its name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.inner.name().into()
    }

    /// Whether it is the CPU device.
    #[wasm_bindgen(getter, js_name = isCpu)]
    pub fn is_cpu(&self) -> bool {
        self.inner.is_cpu()
    }

    /// Why it was chosen.
    #[wasm_bindgen(getter)]
    pub fn why(&self) -> String {
        self.why.clone()
    }
}
