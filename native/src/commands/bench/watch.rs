//! Watching a bench: a bar, Ctrl-C, and the memory that the program holds.

use fastweight::bench::Observer;
use indicatif::ProgressBar;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use crate::args::Args;
use crate::interrupt::Interrupt;
use crate::progress;

/// Steps of the bar.
const STEPS: f64 = 1000.0;

pub(super) struct Watch {
    bar: ProgressBar,
    quiet: bool,
    interrupt: Interrupt,
    system: System,
    /// Bytes that the program held at each report.
    pub(super) resident: Vec<u64>,
}

impl Watch {
    pub(super) fn new(args: &Args) -> anyhow::Result<Watch> {
        let bar = progress::bar(args, "{wide_bar} {percent} % {msg}");
        bar.set_length(STEPS as u64);
        Ok(Watch { bar, quiet: args.quiet, interrupt: Interrupt::new()?, system: System::new(), resident: Vec::new() })
    }
}

impl Observer for Watch {
    fn progress(&mut self, done: f64, what: &str) {
        self.bar.set_position((done * STEPS) as u64);
        self.bar.set_message(what.to_string());
        let Ok(id) = sysinfo::get_current_pid() else { return };
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[id]),
            false,
            ProcessRefreshKind::nothing().with_memory(),
        );
        self.resident.extend(self.system.process(id).map(|process| process.memory()));
    }

    fn cancelled(&self) -> bool {
        self.interrupt.pressed()
    }

    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}
