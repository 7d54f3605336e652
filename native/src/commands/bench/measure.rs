//! Measuring this machine's device.

use std::collections::BTreeMap;
use std::path::Path;

use fastweight::bench::results::{Results, Section, Settings, System};
use fastweight::bench::tables;
use fastweight::bench::{BenchError, ModelOptions, Observer, Surroundings, run as measure};
use indicatif::ProgressBar;

use crate::Ended;
use crate::args::Args;
use crate::args::bench::Measure;
use crate::commands::{bytes, check_writable, save};
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
    quiet: bool,
    /// Whether every step is timed, which takes time itself.
    profiled: bool,
    process: sysinfo::System,
    /// Bytes that the program held at each report.
    resident: Vec<u64>,
}

impl Watching<'_> {
    /// Looks at how much memory the program holds.
    fn look(&mut self) {
        let Ok(id) = sysinfo::get_current_pid() else { return };
        let only = sysinfo::ProcessRefreshKind::nothing().with_memory();
        self.process.refresh_processes_specifics(sysinfo::ProcessesToUpdate::Some(&[id]), false, only);
        self.resident.extend(self.process.process(id).map(|process| process.memory()));
    }
}

impl Observer for Watching<'_> {
    fn progress(&mut self, done: f64, what: &str) {
        const STEPS: f64 = 1000.0;
        self.bar.set_length(STEPS as u64);
        self.bar.set_position((done * STEPS) as u64);
        self.bar.set_message(what.to_string());
        self.look();
    }

    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    fn cancelled(&self) -> bool {
        self.interrupt.heard()
    }

    fn disturbed(&self) -> Option<String> {
        self.profiled.then(|| "every step was timed by itself".into())
    }

    fn partial(&mut self, results: &Results) {
        if let Some(out) = self.out {
            self.unwritten = save(out, results.to_json().as_bytes()).err();
        }
    }
}

/// Measures `sections`; `choose` may change which models are usual.
pub(crate) async fn run(
    args: &Args,
    options: &Measure,
    sections: &[Section],
    choose: impl FnOnce(&mut ModelOptions),
) -> anyhow::Result<Ended> {
    if let Some(out) = &options.out {
        check_writable(out)?;
    }
    let settings = Settings {
        quick: options.quick,
        repetitions: options.repetitions.unwrap_or(if options.quick { 3 } else { 10 }) as usize,
        delay: options.delay.as_secs_f64(),
        sustain: options.sustain.as_secs_f64(),
        only: options.only.clone(),
        seed: options.seed,
    };
    let (device, profiler) = options.profiling.start(open::device(args).await?)?;
    let surroundings = Surroundings { system: system(), commit: option_env!("FASTWEIGHT_COMMIT").map(str::to_string) };
    let mut watching = Watching {
        bar: progress::bar(args, "{wide_msg} {bar:20} {percent} % {eta}"),
        interrupt: Interrupt::new()?,
        out: options.out.as_deref(),
        unwritten: None,
        quiet: args.quiet,
        profiled: profiler.is_some(),
        process: sysinfo::System::new(),
        resident: Vec::new(),
    };
    let mut models = ModelOptions::usual(&device, settings.quick).await?;
    models.memory = open::memory(&device);
    models.dtype = args.dtype.unwrap_or(models.dtype);
    choose(&mut models);
    let (results, error) = measure(&device, surroundings, &settings, sections, &models, &mut watching).await;
    watching.bar.finish_and_clear();
    if sections == [Section::Long] {
        let most = |of: &[u64]| bytes(of.iter().copied().max().unwrap_or_default());
        let (first, second) = watching.resident.split_at(watching.resident.len() / 2);
        let held =
            format!("memory that the program held: {} at most in the first half, {} in the second", most(first), most(second));
        watching.note(&held);
    }
    watching.partial(&results);
    if let Some(error) = watching.unwritten {
        return Err(error);
    }
    if let Some(profiler) = profiler {
        profiler.finish(false).await?;
    }
    super::print_rows(args, &options.rows, &tables::rows(&results))?;
    if !args.quiet {
        conclude(&results, options.out.as_deref());
    }
    match error {
        None => Ok(Ended::Normally),
        Some(BenchError::Cancelled) => Ok(Ended::Interrupted),
        Some(error) => Err(error.into()),
    }
}

/// Says how far the results can be trusted, and what can be done with them.
fn conclude(results: &Results, out: Option<&Path>) {
    for reason in &results.invalid {
        eprintln!("not valid: {reason}");
    }
    let flagged = results.measurements.iter().filter(|m| m.flagged).count();
    if flagged > 0 {
        eprintln!(
            "{flagged} of {} figures are flagged: the machine's speed changed by more than 5 % meanwhile",
            results.measurements.len()
        );
    }
    match out {
        Some(out) => eprintln!(
            "results: {}; to share them, add the file to the folder results of {} (its README says how)",
            out.display(),
            env!("CARGO_PKG_REPOSITORY")
        ),
        None => eprintln!("with --out FILE the results are kept, to be compared, drawn (`fastweight bench report`) and shared"),
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
