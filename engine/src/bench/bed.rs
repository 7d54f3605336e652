//! A kernel alone on a device, with its operands: what is timed, and what proves that the timed thing computes what it should.

use std::sync::Arc;

use super::results::{Cache, Measurement, Section, TimerKind, Work};
use super::sampling::Item;
use super::{BenchError, Program, States};
use crate::device::Device;
use crate::kernels::{Case, Cost, Launch};
use crate::plan::Plan;
use crate::verify;

/// A case with one of its launches, ready to run.
pub(super) struct Bed {
    pub(super) item: Item,
    /// The outputs of the first run.
    first: Vec<Vec<u32>>,
    /// Whether a run changes what the next one starts from.
    updates: bool,
    inputs: Vec<(String, Vec<u32>)>,
    reads: Vec<(String, usize)>,
    case: Case,
}

/// A case as the planner would run it.
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// The launches that this device can run, the planner's choice first.
    pub(super) launches: Vec<Launch>,
    pub(super) cost: Cost,
    /// Bytes of all operands, each once.
    pub(super) operands: f64,
    outputs: Vec<(String, crate::graph::ValueId)>,
}

impl Planned {
    pub(super) fn new(device: &Device, case: &Case) -> Result<Planned, BenchError> {
        let (graph, outputs) = verify::graph(case)?;
        let plan = Plan::new(&graph, device.caps())?;
        // A copy may come before it, where the case's op updates an input.
        let step = plan.steps.last().expect("a graph of one node has a step");
        let chosen = step.launch.clone();
        let mut launches = vec![chosen];
        for variant in step.op.kernel().variants(&step.io, device.caps()) {
            if variant.rounds <= device.caps().loop_rounds && !launches.contains(&variant) {
                launches.push(variant);
            }
        }
        let io = step.io.live(case.steps[0].head);
        let (cost, operands) = (step.op.kernel().cost(&io), io.least_bytes());
        Ok(Planned { plan, launches, cost, operands, outputs })
    }
}

impl Bed {
    /// Puts `copies` of a case on a device, launched as `launches[launch]` says, and runs the first once.
    pub(super) async fn new(
        device: &Device,
        case: &Case,
        planned: &Planned,
        launch: usize,
        copies: usize,
        mut measurement: Measurement,
    ) -> Result<Bed, BenchError> {
        let mut plan = verify::with_launch(&planned.plan, case, planned.launches[launch].clone());
        // The copy before it is for the graph's sake; runs after the first may start from what the last one left.
        plan.steps.retain(|s| s.op == case.op);
        measurement.variant = Some(planned.launches[launch].name());
        measurement.chosen = launch == 0;
        let step = case.steps[0].clone();
        let plan = Arc::new(plan);
        let mut programs = Vec::new();
        for _ in 0..copies {
            let weights = verify::weights_of(device, case, &plan).await?;
            let states = States::new(device, &plan.states, &plan, &weights).await?;
            programs.push((Program::new(device, plan.clone(), &weights).await?, states));
        }
        let (inputs, reads) = (verify::activations(case), verify::lengths(&plan, &planned.outputs, &step));
        let updates = !case.op.kernel().updates().is_empty();
        let item = Item::new(programs, step, measurement);
        let mut bed = Bed { item, first: Vec::new(), updates, inputs, reads, case: case.clone() };
        bed.first = bed.afresh(0).await?;
        for copy in 1..copies {
            bed.afresh(copy).await?;
        }
        Ok(bed)
    }

    /// Puts everything back to the start, runs once, and reads the outputs.
    async fn afresh(&mut self, copy: usize) -> Result<Vec<Vec<u32>>, BenchError> {
        let (program, states) = &mut self.item.programs[copy];
        verify::write_states(states, &self.case);
        let inputs: Vec<(&str, &[u32])> = self.inputs.iter().map(|(n, w)| (n.as_str(), &w[..])).collect();
        Ok(program.run(states, &self.item.step, &inputs, &reads(&self.reads))?.finish().await?)
    }

    /// Runs once and waits; and reads the outputs, if asked to.
    pub(super) async fn once(&mut self, read: bool) -> Result<(), BenchError> {
        let (program, states) = &mut self.item.programs[0];
        let reads = if read { reads(&self.reads) } else { Vec::new() };
        program.run(states, &self.item.step, &[], &reads)?.finish().await?;
        Ok(())
    }

    /// Looks at the outputs that the last timed run left; where every run starts from the last one's, at a run afresh.
    pub(super) async fn check_again(&mut self) -> Result<(), BenchError> {
        let found = if self.updates {
            self.afresh(0).await?
        } else {
            let (program, states) = &mut self.item.programs[0];
            // The same once more, to take a copy of what is there.
            program.run(states, &self.item.step, &[], &reads(&self.reads))?.finish().await?
        };
        if found == self.first {
            return Ok(());
        }
        let m = &self.item.measurement;
        Err(BenchError::Wrong {
            name: m.name.clone(),
            subject: m.subject.clone(),
            variant: m.variant.clone().unwrap_or_default(),
            reason: "after the timing its outputs are others than before".into(),
        })
    }
}

fn reads(of: &[(String, usize)]) -> Vec<(&str, usize)> {
    of.iter().map(|(name, words)| (name.as_str(), *words)).collect()
}

/// A figure without samples.
pub(super) fn unmeasured(section: Section, name: &str, subject: String, cache: Option<Cache>, work: Work) -> Measurement {
    Measurement {
        section,
        name: name.into(),
        subject,
        batch: 1,
        variant: None,
        chosen: true,
        cache,
        timer: TimerKind::Clock,
        samples: Vec::new(),
        clock: Vec::new(),
        order: Vec::new(),
        work,
        share: None,
        flagged: false,
    }
}
