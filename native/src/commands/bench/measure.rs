//! Measuring this machine's device.

use std::collections::BTreeMap;
use std::path::Path;

use fastweight::bench::results::{Results, Section, Settings, System};
use fastweight::bench::{BenchError, Observer, Surroundings, run as measure};
use indicatif::ProgressBar;

use crate::Ended;
use crate::args::Args;
use crate::args::bench::Measure;
use crate::commands::{check_writable, save};
use crate::interrupt::Interrupt;
use crate::{open, progress};

/// Variables that change what is measured.
const FLAGS: [&str; 6] =
    ["RAYON_NUM_THREADS", "LP_NUM_THREADS", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "WGPU_BACKEND", "MESA_LOADER_DRIVER_OVERRIDE"];

/// A bar on stderr, Ctrl-C, and the file that grows.
struct Watching<'a> {
    bar: ProgressBar,
    interrupt: Interrupt,
    out: Option<&'a Path>,
    /// Why the file could not be written.
    unwritten: Option<anyhow::Error>,
}

impl Observer for Watching<'_> {
    fn progress(&mut self, done: f64, what: &str) {
        const STEPS: f64 = 1000.0;
        self.bar.set_length(STEPS as u64);
        self.bar.set_position((done * STEPS) as u64);
        self.bar.set_message(what.to_string());
    }

    fn cancelled(&self) -> bool {
        self.interrupt.heard()
    }

    fn partial(&mut self, results: &Results) {
        if let Some(out) = self.out {
            self.unwritten = save(out, results.to_json().as_bytes()).err();
        }
    }
}

pub(crate) async fn run(args: &Args, options: &Measure, sections: &[Section]) -> anyhow::Result<Ended> {
    if let Some(out) = &options.out {
        check_writable(out)?;
    }
    let settings = Settings {
        quick: options.quick,
        repetitions: options.repetitions.unwrap_or(if options.quick { 5 } else { 10 }) as usize,
        delay: options.delay.as_secs_f64(),
        sustain: options.sustain.as_secs_f64(),
        only: options.only.clone(),
        seed: options.seed,
    };
    let device = open::device(args).await?;
    let surroundings = Surroundings { system: system(), commit: option_env!("FASTWEIGHT_COMMIT").map(str::to_string) };
    let mut watching = Watching {
        bar: progress::bar(args, "{wide_msg} {bar:20} {percent} % {eta}"),
        interrupt: Interrupt::new()?,
        out: options.out.as_deref(),
        unwritten: None,
    };
    let (results, error) = measure(&device, surroundings, &settings, sections, &[], &mut watching).await;
    watching.bar.finish_and_clear();
    watching.partial(&results);
    if let Some(error) = watching.unwritten {
        return Err(error);
    }
    print!("{}", results.to_json());
    match error {
        None => Ok(Ended::Normally),
        Some(BenchError::Cancelled) => Ok(Ended::Interrupted),
        Some(error) => Err(error.into()),
    }
}

/// What is to be known of this machine, and nothing that names it.
fn system() -> System {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_frequency();
    let clock_mhz = system.cpus().iter().map(|cpu| cpu.frequency()).max().filter(|mhz| *mhz > 0);
    let flags: BTreeMap<String, String> =
        FLAGS.iter().filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?))).collect();
    System {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        browser: None,
        flags,
        threads: rayon::current_num_threads(),
        power: power().into(),
        clock_mhz,
    }
}

/// Where the power comes from, as Linux tells it in its files; other systems tell only through libraries of their own.
fn power() -> &'static str {
    let Ok(supplies) = std::fs::read_dir("/sys/class/power_supply") else { return "unknown" };
    let says = |folder: &Path, file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_string();
    let supplies: Vec<_> = supplies.flatten().map(|entry| entry.path()).collect();
    if supplies.iter().any(|s| says(s, "type") == "Mains" && says(s, "online") == "1") {
        "mains"
    } else if supplies.iter().any(|s| says(s, "type") == "Battery" && says(s, "status") == "Discharging") {
        "battery"
    } else {
        "unknown"
    }
}
