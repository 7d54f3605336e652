//! Finding the fastest correct variants for the plans that are to run on a device.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::{Failure, VerifyError, check_launches, graph, planned, variants, with_launch, without_tuning};
use crate::caps::Caps;
use crate::device::{Device, DeviceError, yield_now};
use crate::exec::{Program, States, Weights};
use crate::graph::fuse::scans::TwoPasses;
use crate::kernels::{Case, CaseInput, Fill, KERNELS, Launch, Role};
use crate::plan::{Place, Plan, PlanStep};
use crate::step::{Sequence, Step};
use crate::tensor::Axis;
use crate::tuning::{Size, Timing, Tuning};

/// How much [`tune`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What is done once, and remembered: the largest four start-up cases of each launch, and timings.
    Once,
    /// What is done at every start: one start-up case of each launch until the time is up, and no timings.
    EveryStart {
        /// The time; a case that began within it is finished.
        within: Duration,
    },
}

/// Whether [`tune`] would find nothing new for these plans.
pub fn is_tuned(device: &Device, plans: &[Plan]) -> bool {
    device.is_cpu() || (untimed(device, plans).is_empty() && unknown(device.caps(), plans, &[]).is_empty())
}

/// Checks the launches that these plans may use on their device, and times those that compute the same; what the device was given of it already
/// ([`Device::with_tuning`]) is taken over. `progress` is told how many checks and timings are done, and of how many.
///
/// A launch that no case has in just this form is judged by the cases of the most similar one: the same file with other sizes.
pub async fn tune(
    device: &Device,
    plans: &[Plan],
    effort: Effort,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Tuning, VerifyError> {
    let mut tuning = Tuning::clone(&device.caps().tuning);
    if device.is_cpu() {
        return Ok(tuning);
    }
    let device = &device.without_profile();
    let start = Instant::now();
    let steps = if effort == Effort::Once { untimed(device, plans) } else { Vec::new() };
    let checks = checks(device.caps(), &unknown(device.caps(), plans, &steps), effort);
    let total = checks.len() + steps.len();
    for (done, check) in checks.into_iter().enumerate() {
        if matches!(effort, Effort::EveryStart { within } if start.elapsed() >= within) {
            break;
        }
        progress(done, total);
        let (name, began) = (format!("{} {}", check.case.op.name(), check.case.name), Instant::now());
        check.run(device, &mut tuning).await?;
        log::debug!("checked {name} in {:.3} s", began.elapsed().as_secs_f64());
        yield_now().await;
    }
    for (i, step) in steps.iter().enumerate() {
        progress(total - steps.len() + i, total);
        // The sizes of earlier steps may have been near.
        let caps = Caps { tuning: Arc::new(tuning.clone()), ..device.caps().clone() };
        if let Some(choice) = to_time(step, &caps, device.is_software()) {
            let began = Instant::now();
            time(device, step, &choice, &mut tuning).await?;
            log::debug!("timed {} in {:.3} s", step.label, began.elapsed().as_secs_f64());
        }
    }
    progress(total, total);
    Ok(tuning)
}

/// The variants of a step that the device can run, the planned one first.
fn candidates(step: &PlanStep, caps: &Caps) -> Vec<Launch> {
    let mut candidates = step.op.kernel().variants(&step.io, caps);
    candidates.retain(|v| v.rounds <= caps.loop_rounds && *v != step.launch);
    candidates.insert(0, step.launch.clone());
    candidates
}

/// The launches that these plans may use and of which nothing is known, with their kernels: first those that they do use, and last what may take the
/// place of the steps that are to be timed.
fn unknown(caps: &Caps, plans: &[Plan], untimed: &[&PlanStep]) -> Vec<(&'static str, Launch)> {
    let (mut planned, mut others) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for step in plans.iter().flat_map(|p| &p.steps) {
        for (i, launch) in candidates(step, caps).into_iter().enumerate() {
            let name = launch.name();
            if !caps.tuning.knows(&name) && seen.insert(name) {
                if i == 0 { &mut planned } else { &mut others }.push((step.op.name(), launch));
            }
        }
    }
    for (kernel, launch) in untimed.iter().filter_map(|step| two_passes(step)?.launches(caps)).flatten() {
        if !caps.tuning.knows(&launch.name()) && seen.insert(launch.name()) {
            others.push((kernel, launch));
        }
    }
    planned.append(&mut others);
    planned
}

/// A case, and the launches of it that are to be run, each with the names of those that it stands for.
struct Check {
    case: Case,
    launches: Vec<(Launch, Vec<String>)>,
}

impl Check {
    async fn run(self, device: &Device, tuning: &mut Tuning) -> Result<(), VerifyError> {
        let launches = self.launches.iter().map(|(launch, _)| launch.clone()).collect();
        let outcomes = check_launches(device, &self.case, launches).await?;
        for (outcome, (_, names)) in outcomes.into_iter().zip(self.launches) {
            let failure = outcome.failure(&self.case);
            for name in names {
                let failure = failure.as_ref().map(|failure| {
                    // A name that is noted already need not be said again.
                    let variant = failure.variant.clone().filter(|variant| *variant != name);
                    Failure { variant, ..failure.clone() }.to_string()
                });
                tuning.note(name, failure);
            }
        }
        Ok(())
    }
}

/// How unlike two launches are: the same; of other sizes; of other parts. None if they are of other files.
fn difference(a: &Launch, b: &Launch) -> Option<u8> {
    match (a.file == b.file, a.parts == b.parts, a.consts == b.consts) {
        (false, ..) => None,
        (_, true, true) => Some(0),
        (_, true, false) => Some(1),
        _ => Some(2),
    }
}

/// Start-up cases that a launch is judged by once: a driver takes most of a second to compile some of them.
const CASES: usize = 4;

/// The cases that launches are judged by, in the order of the launches.
fn checks(caps: &Caps, launches: &[(&'static str, Launch)], effort: Effort) -> Vec<Check> {
    let elements = |case: &Case| case.inputs.iter().map(|i| i.desc.len()).sum::<usize>();
    // The cases of each kernel that fit the device, with their variants.
    let mut of_kernels: HashMap<&str, Vec<(Case, Vec<Launch>)>> = HashMap::new();
    let mut checks: Vec<Check> = Vec::new();
    for (kernel, wanted) in launches {
        let cases = of_kernels.entry(kernel).or_insert_with(|| {
            let of_kernel = KERNELS.iter().filter(|(name, _)| name == kernel).flat_map(|(_, cases)| cases());
            of_kernel.filter_map(|case| variants(&case, caps).ok().map(|(launches, _)| (case, launches))).collect()
        });
        let mut alike: Vec<(u8, &Case, &Launch)> = cases
            .iter()
            .flat_map(|(case, launches)| launches.iter().map(move |launch| (case, launch)))
            .filter_map(|(case, launch)| Some((difference(wanted, launch)?, case, launch)))
            .collect();
        let least = alike.iter().map(|(difference, ..)| *difference).min();
        alike.retain(|(difference, ..)| Some(*difference) == least);
        if alike.iter().any(|(_, case, _)| case.startup) {
            alike.retain(|(_, case, _)| case.startup);
            // A large one has more to go wrong.
            alike.sort_by_key(|(_, case, _)| std::cmp::Reverse(elements(case)));
            alike.truncate(if effort == Effort::Once { CASES } else { 1 });
        } else {
            alike.sort_by_key(|(_, case, _)| elements(case));
            alike.truncate(1);
        }
        for (_, case, launch) in alike {
            let i = checks.iter().position(|c| c.case.op == case.op && c.case.name == case.name).unwrap_or_else(|| {
                checks.push(Check { case: case.clone(), launches: Vec::new() });
                checks.len() - 1
            });
            let launches = &mut checks[i].launches;
            match launches.iter_mut().find(|(l, _)| l == launch) {
                Some((_, names)) => names.push(wanted.name()),
                None => launches.push((launch.clone(), vec![wanted.name()])),
            }
        }
    }
    checks
}

/// Sizes within which one timing does for another: a factor of four.
const NEAR: f64 = 2.0;

/// Bytes of a node that is timed: a larger one would not fit beside a model, or take long.
const MOST_BYTES: f64 = 64e6;

/// Operations of a node that is timed on a software adapter, which takes seconds for others and is there for tests.
const MOST_OPERATIONS_IN_SOFTWARE: u64 = 10_000_000;

/// What is timed of a step.
struct Choice {
    variants: Vec<Launch>,
    /// What may take its place, with its name.
    passes: Option<(String, TwoPasses)>,
}

/// The two passes that may take the place of a step.
fn two_passes(step: &PlanStep) -> Option<TwoPasses> {
    let case = by_itself(step);
    TwoPasses::of(&step.op, &case.inputs.iter().map(|i| &i.desc).collect::<Vec<_>>())
}

/// What has to be timed of a step on a device with `caps`: more than one way, and none at a size that is near.
fn to_time(step: &PlanStep, caps: &Caps, in_software: bool) -> Option<Choice> {
    let size = Size::of(&step.op, &step.io);
    if step.io.least_bytes() > MOST_BYTES || (in_software && size.operations > MOST_OPERATIONS_IN_SOFTWARE) {
        return None;
    }
    let variants = caps.tuning.usable(candidates(step, caps));
    let passes = two_passes(step).and_then(|passes| Some((passes.name(caps)?, passes)));
    let names: Vec<String> = variants.iter().map(Launch::name).chain(passes.iter().map(|p| p.0.clone())).collect();
    let near = || caps.tuning.nearest(size, &names).is_some_and(|(_, distance)| distance <= NEAR);
    (names.len() > 1 && !near()).then_some(Choice { variants, passes })
}

/// The steps of plans that have to be timed.
fn untimed<'a>(device: &Device, plans: &'a [Plan]) -> Vec<&'a PlanStep> {
    let mut steps: Vec<&PlanStep> = Vec::new();
    for step in plans.iter().flat_map(|p| &p.steps).filter(|step| to_time(step, device.caps(), device.is_software()).is_some()) {
        if !steps.iter().any(|s| s.op == step.op && s.io == step.io) {
            steps.push(step);
        }
    }
    steps
}

/// Times a step, in turns, and notes how long it took in each way.
async fn time(device: &Device, step: &PlanStep, choice: &Choice, tuning: &mut Tuning) -> Result<(), VerifyError> {
    /// Seconds that a turn should take at least, so that clocks and submits don't matter, and all turns at most.
    const TURN: f64 = 2e-3;
    const ALL: f64 = 0.2;
    let case = by_itself(step);
    let (graph, _) = graph(&case)?;
    let (plan, alone) = planned(&graph, device.caps())?;
    // Rows that lie apart in the plan lie together here, so that the names may differ, but not the order.
    let of_plan = step.op.kernel().variants(&step.io, device.caps());
    let here = alone.op.kernel().variants(&alone.io, device.caps());
    let chosen = here.into_iter().zip(of_plan).filter(|(_, planned)| choice.variants.contains(planned));
    let mut ways: Vec<(String, Plan)> =
        chosen.map(|(launch, planned)| (planned.name(), with_launch(&plan, &case, launch))).collect();
    if let Some((name, passes)) = &choice.passes {
        let mut graph = graph.clone();
        passes.clone().replace(&mut graph, 0);
        ways.push((name.clone(), Plan::new(&graph, &without_tuning(device.caps()))?));
    }
    let mut timed = Vec::new();
    for (name, plan) in ways {
        match Timed::new(device, plan, &case.steps[0]).await {
            Ok(run) => timed.push((name, run)),
            Err(error @ DeviceError::Shader { .. }) => {
                tuning.note(name, Some(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut samples: Vec<Vec<f64>> = Vec::new();
    for (_, run) in &mut timed {
        samples.push(vec![run.seconds(1).await?]);
    }
    let once: f64 = samples.iter().flatten().sum();
    let times = (TURN * timed.len() as f64 / once).clamp(1.0, 32.0) as usize;
    let turns = (ALL / (once * times as f64)).min(9.0) as usize;
    for _ in 0..turns {
        for ((_, run), samples) in timed.iter_mut().zip(&mut samples) {
            samples.push(run.seconds(times).await?);
        }
    }
    let median = |mut samples: Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        (samples[samples.len() / 2] * 1e9) as u64
    };
    let nanoseconds = timed.into_iter().map(|(name, _)| name).zip(samples.into_iter().map(median)).collect();
    tuning.timings.push(Timing { size: Size::of(&step.op, &step.io), nanoseconds });
    Ok(())
}

/// A step as a case of its own, with zeros: shaders take as long for any numbers.
fn by_itself(step: &PlanStep) -> Case {
    let (io, updates) = (&step.io, step.op.kernel().updates());
    let (read, written) = step.places.split_at(io.inputs.len());
    let mut read = io.inputs.iter().zip(read);
    let mut inputs = Vec::new();
    for i in 0..io.inputs.len() + updates.len() {
        let updated = updates.iter().find(|u| u.0 == i).map(|(_, output)| (&io.outputs[*output], &written[*output]));
        let (operand, place) = updated.or_else(|| read.next()).expect("every input is read or updated");
        let role = match place {
            Place::Slot(_) => Role::Activation,
            Place::Weight { .. } => Role::Weight,
            Place::State { .. } => Role::State,
        };
        inputs.push(CaseInput { desc: operand.desc.clone(), role, fill: Fill::Constant(0.0) });
    }
    let rows = |axis| io.inputs.iter().chain(&io.outputs).filter(|o| o.desc.axis == axis).map(|o| o.desc.rows()).max();
    let sequences = rows(Axis::Sequences).unwrap_or(1);
    let tokens = rows(Axis::Tokens).unwrap_or(sequences) / sequences;
    let run = Step::new(vec![Sequence::new(0, tokens as u32); sequences]);
    Case::new(&step.label, step.op.clone(), tokens, inputs).steps(vec![run])
}

/// A program that is run to be timed.
struct Timed {
    program: Program,
    states: States,
    step: Step,
}

impl Timed {
    /// Compiles it and runs it once. Its buffers are zero, as the device made them.
    async fn new(device: &Device, plan: Plan, step: &Step) -> Result<Timed, DeviceError> {
        let mut weights = Weights::new(device);
        for weight in &plan.weights {
            weights.fill(weight).await?.finish();
        }
        let states = States::new(device, &plan.states, &plan, &weights).await?;
        let program = Program::new(device, Arc::new(plan), &weights).await?;
        let mut timed = Timed { program, states, step: step.clone() };
        timed.seconds(1).await?;
        Ok(timed)
    }

    /// Seconds that a run takes, of so many, a submit each.
    async fn seconds(&mut self, times: usize) -> Result<f64, DeviceError> {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..times {
            last = Some(self.program.run(&mut self.states, &self.step, &[], &[])?);
        }
        if let Some(last) = last {
            last.finish().await?;
        }
        Ok(start.elapsed().as_secs_f64() / times as f64)
    }
}
