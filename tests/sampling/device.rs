//! The sampling kernels through graph, plan and execution.

use std::sync::Arc;

use fastweight::device::Device;
use fastweight::exec::{Program, States, Weights};
use fastweight::graph::Graph;
use fastweight::kernels::repetition::Repetition;
use fastweight::kernels::sample::{RECORD, Sample, record_at};
use fastweight::plan::Plan;
use fastweight::step::{HISTORY, MAX_RUNS, MAX_SEQUENCES, Sequence, Step};
use fastweight::tensor::{DType, Desc};
use pollster::block_on;

/// What the kernel writes of a draw: id, 1 if all logits were finite, candidates kept, 0.
pub(super) type Record = [u32; 4];

fn words(rows: &[&[f32]]) -> Vec<u32> {
    rows.iter().flat_map(|row| row.iter().map(|x| x.to_bits())).collect()
}

/// A program with its states: logits in, what a kernel makes of them out.
struct Ready {
    program: Program,
    states: States,
}

impl Ready {
    fn new(device: &Device, graph: &Graph) -> Ready {
        let plan = Arc::new(Plan::new(graph, device.caps()).expect("it fits"));
        let weights = Weights::new(device);
        let program = block_on(Program::new(device, plan.clone(), &weights)).expect("a program");
        let states = block_on(States::new(device, &plan.states, &plan, &weights)).expect("states");
        Ready { program, states }
    }

    fn run(&mut self, logits: &[u32], records: Vec<Sequence>, output: &str, words: usize) -> Vec<u32> {
        let run = self.program.run(&mut self.states, &Step::new(records), &[("logits", logits)], &[(output, words)]);
        block_on(run.expect("a run").finish()).expect("an output").swap_remove(0)
    }
}

/// Draws from rows of one vocabulary, as many at a time as a step takes.
pub(super) struct Sampler {
    ready: Ready,
    sequences: usize,
}

impl Sampler {
    pub(super) fn new(device: &Device, vocabulary: usize, sequences: usize) -> Sampler {
        let sequences = sequences.min(MAX_SEQUENCES);
        let mut g = Graph::new();
        let logits = g.input("logits", Desc::sequences(sequences, vocabulary));
        let token = g.state("session", "token", Desc::fixed(DType::U32, &[sequences, 1]), None);
        let pending = g.current(token);
        let record = g.node("sample", Sample, &[logits, pending]).expect("shapes fit");
        g.output("record", record);
        Sampler { ready: Ready::new(device, &g), sequences }
    }

    /// The record of each row's draw. The token that the next step would take is the drawn one.
    pub(super) fn draw(&mut self, rows: &[(&[f32], Sequence)]) -> Vec<Record> {
        let mut all = Vec::new();
        for rows in rows.chunks(self.sequences) {
            let logits = words(&rows.iter().map(|r| r.0).collect::<Vec<_>>());
            let records = rows.iter().map(|r| r.1).collect();
            let places: Vec<usize> = rows.iter().enumerate().map(|(s, row)| record_at(s, row.1.position)).collect();
            let found = self.ready.run(&logits, records, "record", RECORD * MAX_RUNS * rows.len());
            let found: Vec<Record> = places.iter().map(|at| found[*at..at + RECORD].try_into().expect("four words")).collect();
            let tokens = block_on(self.ready.states.read(0, 1, 0)).expect("the tokens").swap_remove(0);
            let drawn: Vec<u32> = found.iter().map(|r| r[0]).collect();
            assert_eq!(tokens[..rows.len()], drawn, "the next step takes what was drawn");
            all.extend(found);
        }
        all
    }
}

/// The logits of one sequence after the penalty, with `ring` as its last tokens.
pub(super) fn penalise(device: &Device, logits: &[f32], ring: &[u32; HISTORY], record: Sequence) -> Vec<f32> {
    let mut g = Graph::new();
    let input = g.input("logits", Desc::sequences(1, logits.len()));
    let history = g.state("session", "history", Desc::fixed(DType::U32, &[1, HISTORY]), None);
    let current = g.current(history);
    let penalised = g.node("repetition", Repetition, &[input, current]).expect("shapes fit");
    g.output("penalised", penalised);
    let mut ready = Ready::new(device, &g);
    ready.states.write(0, 0, ring);
    let found = ready.run(&words(&[logits]), vec![record], "penalised", logits.len());
    found.into_iter().map(f32::from_bits).collect()
}
