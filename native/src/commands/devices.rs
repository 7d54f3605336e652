//! `fastweight devices`.

use std::io::Write;

use fastweight::device::{AdapterReport, adapters};
use serde::Serialize;

use crate::Ended;
use crate::args::Args;
use crate::commands::{bytes, print_json};

/// The list as JSON.
#[derive(Serialize)]
struct Devices {
    /// The device that `auto` takes.
    auto: String,
    /// Why.
    why: String,
    /// The CPU device's threads.
    cpu_threads: usize,
    /// The system's adapters.
    adapters: Vec<AdapterReport>,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<Ended> {
    let adapters = adapters().await;
    let taken = adapters.iter().find(|a| a.auto);
    let why = match taken {
        Some(adapter) => format!("a {} GPU", adapter.kind),
        None if adapters.is_empty() => "no GPU was found".to_string(),
        None => "only software adapters were found, and the CPU device is faster".to_string(),
    };
    let auto = taken.map_or("cpu", |a| &a.id).to_string();
    let devices = Devices { auto, why, cpu_threads: rayon::current_num_threads(), adapters };
    if args.json {
        print_json(&devices)?;
        return Ok(Ended::Normally);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "cpu        this machine's processor, {} threads", devices.cpu_threads)?;
    for a in &devices.adapters {
        writeln!(out, "{:<10} {} ({}, {})", a.id, a.name, a.kind, a.driver)?;
        let yes = |has: bool| if has { "yes" } else { "no" };
        let subgroups = a.subgroups.map_or("no".to_string(), |(min, max)| format!("{min} to {max}"));
        writeln!(
            out,
            "           binding {}, buffer {}, workgroup memory {}, invocations {}, f16 {}, subgroups {subgroups}, timestamps {}",
            bytes(a.max_binding_bytes),
            bytes(a.max_buffer_bytes),
            bytes(u64::from(a.workgroup_bytes)),
            a.workgroup_invocations,
            yes(a.shader_f16),
            yes(a.timestamps),
        )?;
    }
    writeln!(out, "auto takes {}: {}", devices.auto, devices.why)?;
    Ok(Ended::Normally)
}
