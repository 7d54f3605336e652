//! Many runs in one submit, timed: by the device's own stamps where it has them, and by the clock always.

use std::slice;
use std::time::Duration;

use web_time::Instant;

use super::{Program, ProgramKind, States, StatesKind, gpu::GpuProgram, gpu::GpuStates};
use crate::device::{DeviceError, count};
use crate::step::Step;

/// How long a burst took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed {
    /// From before the first run was encoded until the host knew that the last was done.
    pub clock: Duration,
    /// From the beginning to the end of the pass, as the device stamped them; none where it can't, or its stamps make no sense.
    pub device: Option<Duration>,
}

/// Runs programs `times` times in all, one after the other in the order given, over and over: one pass, one submit, and waits for it. Inputs are what
/// earlier runs left there; every run has the same step values.
pub async fn burst(runs: &mut [(&Program, &mut States)], step: &Step, times: usize) -> Result<Elapsed, DeviceError> {
    let start = Instant::now();
    let mut gpu: Vec<(&GpuProgram, &mut GpuStates)> = Vec::new();
    for (program, states) in runs.iter_mut() {
        match (&program.kind, &mut states.kind) {
            (ProgramKind::Gpu(program), StatesKind::Gpu(states)) => gpu.push((program, states)),
            (ProgramKind::Cpu(_), StatesKind::Cpu(_)) => {}
            _ => unreachable!("plan and states are on one device"),
        }
    }
    if !gpu.is_empty() {
        return on_gpu(&mut gpu, step, times, start).await;
    }
    for i in 0..times {
        let at = i % runs.len();
        let (program, states) = &mut runs[at];
        program.run(states, step, &[], &[])?.finish().await?;
    }
    Ok(Elapsed { clock: start.elapsed(), device: None })
}

async fn on_gpu(
    runs: &mut [(&GpuProgram, &mut GpuStates)],
    step: &Step,
    times: usize,
    start: Instant,
) -> Result<Elapsed, DeviceError> {
    let gpu = runs[0].0.gpu.clone();
    let mut groups = Vec::new();
    for (program, states) in runs.iter_mut() {
        program.write_steps(slice::from_ref(step));
        groups.push(program.state_groups(states));
    }
    let stamps = gpu.stamps(1);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut dispatches = 0;
    {
        let timestamp_writes = stamps.as_ref().map(|stamps| stamps.around(0));
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("burst"), timestamp_writes });
        for i in 0..times {
            let at = i % runs.len();
            dispatches += runs[at].0.encode(&mut pass, &groups[at], (step, 0));
        }
    }
    if let Some(stamps) = &stamps {
        stamps.resolve(&mut encoder);
    }
    gpu.queue.submit([encoder.finish()]);
    for (cell, n) in [(&gpu.counters.dispatches, dispatches), (&gpu.counters.passes, 1), (&gpu.counters.submits, 1)] {
        count(cell, n);
    }
    gpu.wait().await?;
    let clock = start.elapsed();
    let device = match &stamps {
        Some(stamps) => {
            let times = stamps.read(&gpu).await?;
            // Drivers and browsers have an end that is not after the beginning now and then.
            Some(times[1] - times[0]).filter(|seconds| *seconds > 0.0).map(Duration::from_secs_f64)
        }
        None => None,
    };
    Ok(Elapsed { clock, device })
}
