//! The conformance check in a browser.

use std::time::Duration;

use fastweight::device;
use fastweight::error::Error;
use fastweight::generate::{self, LoadOptions};
use fastweight::kernels::{Case, KERNELS};
use fastweight::load::Opened;
use fastweight::verify::{self, Effort};
use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::device::Device;
use crate::error::Failure;

/// Runs the cases of every kernel, in every variant that the device can run, against the reference: only the small ones that are for every start, or all.
/// `on_kernel` is called after each kernel with a line (`VerifyLine` in `lib/types.ts`) as JSON; it returns false to stop.
#[wasm_bindgen]
pub async fn verify(device: &Device, thorough: bool, on_kernel: &Function) -> Result<(), JsValue> {
    for (kernel, cases) in KERNELS {
        let cases: Vec<Case> = cases().into_iter().filter(|case| thorough || case.startup).collect();
        let line = verify::kernel(&device.inner, kernel, &cases, || true).await.map_err(Failure::from)?;
        let text = serde_json::to_string(&line).map_err(|e| JsError::new(&e.to_string()))?;
        if on_kernel.call1(&JsValue::NULL, &text.into())?.is_falsy() {
            break;
        }
    }
    Ok(())
}

/// How long a model's kernels are checked before it is loaded. A software adapter, which would compile for minutes, gets through some of them.
const CHECK: Duration = Duration::from_millis(1000);

/// The device with what is found of the kernels that a model uses there. A browser hides the driver, so that nothing can be remembered.
pub(crate) async fn checked(
    device: &device::Device,
    opened: &Opened,
    options: &LoadOptions<'_>,
) -> Result<device::Device, Error> {
    let plans = generate::plans(opened, options, device)?;
    let tuning = verify::tune(device, &plans, Effort::EveryStart { within: CHECK }, &mut |_, _| {}).await?;
    Ok(device.clone().with_tuning(tuning))
}
