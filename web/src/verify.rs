//! The conformance check in a browser.

use std::collections::BTreeSet;

use fastweight::kernels::KERNELS;
use fastweight::verify::check;
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::device::Device;

/// `VerifyLine` in `lib/types.ts`.
#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    cases: usize,
    variants: BTreeSet<String>,
    worst: f32,
    passed: bool,
    failures: Vec<String>,
}

/// Runs the cases of every kernel, in every variant that the device can run, against the reference: only the small ones that are for every start, or all.
/// `on_kernel` is called after each kernel with a line as JSON; it returns false to stop.
#[wasm_bindgen]
pub async fn verify(device: &Device, thorough: bool, on_kernel: &Function) -> Result<(), JsValue> {
    for (kernel, cases) in KERNELS {
        let mut line = Line { kernel, cases: 0, variants: BTreeSet::new(), worst: 0.0, passed: true, failures: Vec::new() };
        for case in cases().into_iter().filter(|case| thorough || case.startup) {
            line.cases += 1;
            match check(&device.inner, &case).await {
                Ok(outcomes) => {
                    for outcome in outcomes {
                        line.worst = line.worst.max(outcome.worst / outcome.bound.max(f32::MIN_POSITIVE));
                        if !outcome.passed() {
                            line.failures.push(format!(
                                "{}: {} over {} at {}, {}",
                                case.name, outcome.worst, outcome.bound, outcome.at, outcome.variant
                            ));
                        }
                        line.variants.insert(outcome.variant);
                    }
                }
                Err(error) => line.failures.push(format!("{}: {error}", case.name)),
            }
            fastweight::device::yield_now().await;
        }
        line.passed = line.failures.is_empty();
        let text = serde_json::to_string(&line).map_err(|e| JsError::new(&e.to_string()))?;
        if on_kernel.call1(&JsValue::NULL, &text.into())?.is_falsy() {
            break;
        }
    }
    Ok(())
}
