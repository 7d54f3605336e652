//! `fastweight inspect`.

use std::io::Write;

use fastweight::device::Device;
use fastweight::generate;
use serde_json::json;

use crate::Ended;
use crate::args::{Args, Inspect};
use crate::commands::{bytes, print_json};
use crate::open;

pub(crate) async fn run(args: &Args, options: &Inspect) -> anyhow::Result<Ended> {
    let opened = open::files(args).await?;
    // Only the limits of the device matter here; the plan of the CPU device has none.
    let device = if options.plan { Device::open(&args.device).await? } else { Device::cpu() };
    let model = generate::inspect(&opened, device.caps())?;
    let (architecture, decode) = (&model.architecture, &model.decode);
    if args.json {
        let sizes: serde_json::Map<_, _> = architecture.sizes().into_iter().map(|(k, v)| (k.to_string(), v.into())).collect();
        print_json(&json!({
            "model": opened.checkpoint.name(),
            "family": architecture.family(),
            "sizes": sizes,
            "tensors": model.tensors,
            "parameters": model.parameters,
            "file_bytes": model.file_bytes,
            "weight_bytes": model.weight_bytes,
            "state_bytes": model.state_bytes,
            "buffer_bytes": model.buffer_bytes,
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
    writeln!(out, "parameters   {} in {} tensors, {} in the file", model.parameters, model.tensors, bytes(model.file_bytes))?;
    writeln!(
        out,
        "memory       weights {}, state {} a session, buffers {}",
        bytes(model.weight_bytes),
        bytes(model.state_bytes),
        bytes(model.buffer_bytes)
    )?;
    writeln!(out, "decode       {} dispatches a token", decode.plan.steps.len())?;
    if options.graph {
        writeln!(out, "\ndecode, as built:\n{}\ndecode, fused:\n{}", decode.graph, decode.fused)?;
    }
    if options.plan {
        writeln!(
            out,
            "\nplan of decode on {}:\n{}\nplan of prefill, up to 256 tokens:\n{}",
            device.name(),
            decode.plan,
            model.prefill.plan
        )?;
    }
    Ok(Ended::Normally)
}
