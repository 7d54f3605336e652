//! `--profile`: where the time goes, step by step.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use fastweight::bench::results::{Ceilings, Settings};
use fastweight::bench::{Observer, ceilings};
use fastweight::device::Device;
use fastweight::exec::{Line, Profile};
use serde::Serialize;

use crate::commands::{check_writable, save};

#[derive(Debug, ClapArgs)]
pub(crate) struct Profiling {
    /// Time every step, and say at the end which took how long, and what share of the device's ceiling that is
    #[arg(long)]
    pub(crate) profile: bool,

    /// Write the times of all steps to this file, which ui.perfetto.dev opens
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_trace: Option<PathBuf>,
}

/// What is collected, if it was asked for.
pub(crate) struct Profiler {
    /// The device without a profile.
    device: Device,
    profile: Profile,
    lines: bool,
    trace: Option<PathBuf>,
}

/// One kind of step, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct ProfileLine {
    #[serde(flatten)]
    line: Line,
    bytes_per_second: f64,
    operations_per_second: f64,
    /// The larger share of the device's ceilings, of bandwidth at this working set or of multiply-adds.
    share_of_ceiling: f64,
}

/// Measures in silence.
struct Quiet;

impl Observer for Quiet {
    fn progress(&mut self, _: f64, _: &str) {}

    fn cancelled(&self) -> bool {
        false
    }
}

impl Profiling {
    /// The device to run on, and what collects there.
    pub(crate) fn start(&self, device: Device) -> anyhow::Result<(Device, Option<Profiler>)> {
        if !self.profile && self.profile_trace.is_none() {
            return Ok((device, None));
        }
        if let Some(file) = &self.profile_trace {
            check_writable(file)?;
        }
        let profile = Profile::default();
        let profiler =
            Profiler { device: device.clone(), profile: profile.clone(), lines: self.profile, trace: self.profile_trace.clone() };
        Ok((device.with_profile(profile)?, Some(profiler)))
    }
}

impl Profiler {
    /// Writes the trace, and prints the lines to stderr unless they go into JSON; returns them for that.
    pub(crate) async fn finish(self, into_json: bool) -> anyhow::Result<Vec<ProfileLine>> {
        if let Some(file) = &self.trace {
            save(file, self.profile.trace().await?.as_bytes())?;
        }
        if !self.lines {
            return Ok(Vec::new());
        }
        let lines = self.profile.lines().await?;
        let settings = Settings { quick: true, repetitions: 3, delay: 0.0, sustain: 0.0, only: Vec::new(), seed: 1 };
        let ceilings = ceilings(&self.device, &settings, &mut Vec::new(), &mut Quiet).await?;
        let lines: Vec<ProfileLine> = lines.into_iter().map(|line| ProfileLine::new(line, &ceilings)).collect();
        if !into_json {
            print(&lines, &ceilings);
        }
        Ok(lines)
    }
}

impl ProfileLine {
    fn new(line: Line, ceilings: &Ceilings) -> ProfileLine {
        let (bytes, operations) = (line.least / line.seconds, line.operations / line.seconds);
        let share_of_ceiling = (bytes / ceilings.bandwidth(line.working_set)).max(operations / ceilings.f32);
        ProfileLine { line, bytes_per_second: bytes, operations_per_second: operations, share_of_ceiling }
    }
}

fn print(lines: &[ProfileLine], ceilings: &Ceilings) {
    eprintln!(
        "{:>6} {:>7} {:>10} {:>8} {:>9} {:>8}  kernel and operands",
        "share", "count", "total ms", "GB/s", "GFLOP/s", "ceiling"
    );
    for ProfileLine { line, bytes_per_second, operations_per_second, share_of_ceiling } in lines {
        eprintln!(
            "{:>5.1}% {:>7} {:>10.3} {:>8.2} {:>9.2} {:>7.0}%  {} {}",
            100.0 * line.share,
            line.count,
            1e3 * line.seconds,
            bytes_per_second / 1e9,
            operations_per_second / 1e9,
            100.0 * share_of_ceiling,
            line.kernel,
            line.shape,
        );
    }
    let total: f64 = lines.iter().map(|l| l.line.seconds).sum();
    eprintln!(
        "{:.1} ms in {} steps; ceilings: {:.1} GB/s of large reads, {:.1} GFLOP/s of multiply-adds",
        1e3 * total,
        lines.iter().map(|l| l.line.count).sum::<usize>(),
        ceilings.read.last().map_or(0.0, |point| point.rate / 1e9),
        ceilings.f32 / 1e9,
    );
}
