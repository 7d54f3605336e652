//! Several runs in one submit, ahead of whoever decides how many of them count.

use super::{Program, ProgramKind, Run, RunKind, States, StatesKind};
use crate::device::DeviceError;
use crate::step::{MAX_RUNS, Step};

impl Program {
    /// Runs the plan once for each of `steps`, at most [`MAX_RUNS`], in one submit, each on what the one before left, and takes a copy of the outputs in
    /// `reads` after the last. Before more than one run the states that do not grow are copied, so that [`States::rewind`] can put them back.
    pub async fn run_ahead(&self, states: &mut States, steps: &[Step], reads: &[(&str, usize)]) -> Result<Run, DeviceError> {
        assert!((1..=MAX_RUNS).contains(&steps.len()), "{} runs in a submit", steps.len());
        if let (ProgramKind::Gpu(program), StatesKind::Gpu(gpu)) = (&self.kind, &mut states.kind) {
            if steps.len() > 1 {
                gpu.make_kept(&states.layout).await?;
            }
            let run = program.run(gpu, steps, &[], reads, self.device.profile())?;
            return Ok(Run { kind: RunKind::Gpu(run) });
        }
        if let (StatesKind::Cpu(words), true) = (&states.kind, steps.len() > 1) {
            let fixed = states.layout.states.iter().enumerate().filter(|(_, s)| !s.grows);
            states.kept = fixed.map(|(i, _)| (i, words[i].clone())).collect();
        }
        let (last, first) = steps.split_last().expect("there is one");
        for step in first {
            self.run(states, step, &[], &[])?;
        }
        self.run(states, last, &[], reads)
    }
}

impl States {
    /// Puts the states back to where they were before the last [`Program::run_ahead`] of more than one run.
    pub fn rewind(&mut self) {
        match &mut self.kind {
            StatesKind::Cpu(states) => self.kept.iter().for_each(|(i, words)| states[*i].clone_from(words)),
            StatesKind::Gpu(states) => states.rewind(&self.layout),
        }
    }
}
