//! `fastweight inspect`.

use std::io::Write;

use fastweight::device::Device;
use fastweight::generate::{Purpose, outline};
use fastweight::models;
use serde_json::json;

use crate::Ended;
use crate::args::{Args, Inspect};
use crate::commands::{bytes, print_json};
use crate::open;

/// Rows of the prefill plan that is shown.
const ROWS: usize = 256;

pub(crate) async fn run(args: &Args, options: &Inspect) -> anyhow::Result<Ended> {
    let opened = open::files(args).await?;
    let architecture = models::open(&opened.checkpoint, opened.config.as_ref())?;
    // Only the limits of the device matter here; the plan of the CPU device has none.
    let device = if options.plan { Device::open(&args.device).await? } else { Device::cpu() };
    let decode = outline(&*architecture, Purpose::Decode, 1, device.caps())?;
    let prefill = outline(&*architecture, Purpose::Prefill, ROWS, device.caps())?;
    let parameters: usize = opened.checkpoint.tensors.values().map(|t| t.len()).sum();
    let file_bytes: u64 = opened.checkpoint.tensors.values().map(|t| t.bytes()).sum();
    let weights = decode.plan.weight_bytes();
    let state = decode.plan.states.bytes();
    let buffers = decode.plan.slot_bytes() + prefill.plan.slot_bytes();
    if args.json {
        let sizes: serde_json::Map<_, _> = architecture.sizes().into_iter().map(|(k, v)| (k.to_string(), v.into())).collect();
        print_json(&json!({
            "model": opened.checkpoint.name(),
            "family": architecture.family(),
            "sizes": sizes,
            "tensors": opened.checkpoint.tensors.len(),
            "parameters": parameters,
            "file_bytes": file_bytes,
            "weight_bytes": weights,
            "state_bytes": state,
            "buffer_bytes": buffers,
            "dispatches_per_token": decode.plan.steps.len(),
        }))?;
        return Ok(Ended::Normally);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", opened.checkpoint.name())?;
    writeln!(out, "family       {}", architecture.family())?;
    for (size, value) in architecture.sizes() {
        writeln!(out, "{size:<12} {value}")?;
    }
    writeln!(out, "parameters   {parameters} in {} tensors, {} in the file", opened.checkpoint.tensors.len(), bytes(file_bytes))?;
    writeln!(out, "memory       weights {}, state {} a session, buffers {}", bytes(weights), bytes(state), bytes(buffers))?;
    writeln!(out, "decode       {} dispatches a token", decode.plan.steps.len())?;
    if options.graph {
        writeln!(out, "\ndecode, as built:\n{}\ndecode, fused:\n{}", decode.graph, decode.fused)?;
    }
    if options.plan {
        writeln!(
            out,
            "\nplan of decode on {}:\n{}\nplan of prefill, up to {ROWS} tokens:\n{}",
            device.name(),
            decode.plan,
            prefill.plan
        )?;
    }
    Ok(Ended::Normally)
}
