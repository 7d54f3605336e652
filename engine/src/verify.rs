//! The conformance check: a kernel's cases, on a device, against the reference.

use std::sync::Arc;

use web_time::Instant;

use crate::caps::Caps;
use crate::device::{Device, DeviceError};
use crate::exec::{Program, States, Weights};
use crate::graph::{Graph, GraphError, ValueId, Weight};
use crate::kernels::{Case, Launch, Role};
use crate::plan::{Place, Plan, PlanError, PlanStep, PlanWeight};
use crate::step::Step;
use crate::tensor::DType;

mod product;
mod report;
mod tune;

pub use product::Product;
pub use report::{Failure, Line, kernel};
pub use tune::{Effort, is_tuned, tune};

/// How one variant did on one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The launch: its file and choices.
    pub variant: String,
    /// The largest error, as a share of the largest value of the output (or of 1); `f32::MAX` for what is no number, or did not run.
    pub worst: f32,
    /// The error allowed.
    pub bound: f32,
    /// Where the worst error is: output, element, found and wanted. Or why it did not run.
    pub at: String,
}

impl Outcome {
    /// Whether the error is within its bound.
    pub fn passed(&self) -> bool {
        self.worst <= self.bound
    }
}

/// Why a case can't be run.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The case is wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The case does not fit the device.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// The variants of a case on a device with `caps`, and those of them whose loops its driver would cut off.
pub fn variants(case: &Case, caps: &Caps) -> Result<(Vec<Launch>, Vec<Launch>), VerifyError> {
    let PlanStep { op, io, .. } = planned(&graph(case)?.0, caps)?.1;
    Ok(op.kernel().variants(&io, caps).into_iter().partition(|v| v.rounds <= caps.loop_rounds))
}

/// Runs every variant of a case that a device can run and compares it with the reference.
pub async fn check(device: &Device, case: &Case) -> Result<Vec<Outcome>, VerifyError> {
    check_launches(device, case, variants(case, device.caps())?.0).await
}

/// Runs these launches of a case on a device and compares each with the reference.
pub async fn check_launches(device: &Device, case: &Case, launches: Vec<Launch>) -> Result<Vec<Outcome>, VerifyError> {
    let (graph, outputs) = graph(case)?;
    let wanted = run(&Device::cpu(), case, &Plan::new(&graph, Device::cpu().caps())?, &outputs).await?;
    let (plan, _) = planned(&graph, device.caps())?;
    let mut outcomes = Vec::new();
    for launch in launches {
        let variant = launch.name();
        let (worst, at) = match run(device, case, &with_launch(&plan, case, launch), &outputs).await {
            Ok(found) => compare(&found, &wanted, &graph, &outputs),
            // The driver's word about this variant alone.
            Err(VerifyError::Device(error @ DeviceError::Shader { .. })) => (f32::MAX, error.to_string()),
            Err(error) => return Err(error),
        };
        outcomes.push(Outcome { variant, worst, bound: case.bound, at });
    }
    Ok(outcomes)
}

/// What a device allows, whatever is known of the variants.
fn without_tuning(caps: &Caps) -> Caps {
    Caps { loop_rounds: u64::MAX, tuning: Arc::default(), ..caps.clone() }
}

/// The plan of a graph of one node, whatever is known of its variants, and the node's step.
fn planned(graph: &Graph, caps: &Caps) -> Result<(Plan, PlanStep), PlanError> {
    let plan = Plan::new(graph, &without_tuning(caps))?;
    // A copy may come before it, where the op updates an input.
    let step = plan.steps.last().expect("a graph of one node has a step").clone();
    Ok((plan, step))
}

/// The plan of a case with this launch.
pub(crate) fn with_launch(plan: &Plan, case: &Case, launch: Launch) -> Plan {
    let mut plan = plan.clone();
    for step in plan.steps.iter_mut().filter(|s| s.op == case.op) {
        step.launch = launch.clone();
    }
    plan
}

/// Seconds that a product takes on a device, warm: 64 rows of 256 with a matrix of 256 × 1024, as in a small model's prefill. For choosing between devices
/// of which nothing else is known.
pub async fn product_seconds(device: &Device) -> Result<f64, VerifyError> {
    let mut product = Product::new(device, 64, 256, 1024).await?;
    let start = Instant::now();
    product.run(1).await?;
    Ok(start.elapsed().as_secs_f64())
}

/// The graph of a case, and its outputs.
pub(crate) fn graph(case: &Case) -> Result<(Graph, Vec<(String, ValueId)>), GraphError> {
    let mut g = Graph::new();
    let mut inputs = Vec::new();
    for (i, input) in case.inputs.iter().enumerate() {
        let name = format!("input {i}");
        inputs.push(match input.role {
            Role::Activation => g.input(name, input.desc.clone()),
            Role::Weight => g.weight(&[&name], crate::graph::Pack::Stacked, input.desc.clone()),
            Role::State => {
                let state = g.state("state", name, input.desc.clone(), None);
                g.current(state)
            }
        });
    }
    let values = g.nodes(case.name.clone(), case.op.clone(), &inputs)?;
    let outputs: Vec<(String, ValueId)> = values.into_iter().enumerate().map(|(i, v)| (format!("output {i}"), v)).collect();
    for (name, value) in &outputs {
        g.output(name.clone(), *value);
    }
    Ok((g, outputs))
}

/// The words of every output after every run.
async fn run(device: &Device, case: &Case, plan: &Plan, outputs: &[(String, ValueId)]) -> Result<Vec<Vec<u32>>, VerifyError> {
    let weights = weights_of(device, case, plan).await?;
    let program = Program::new(device, Arc::new(plan.clone()), &weights).await?;
    let mut states = States::new(device, &plan.states, plan, &weights).await?;
    write_states(&mut states, case);
    let activations = activations(case);
    let mut all = Vec::new();
    for step in &case.steps {
        let inputs: Vec<(&str, &[u32])> = activations.iter().map(|(n, w)| (n.as_str(), &w[..])).collect();
        let lengths = lengths(plan, outputs, step);
        let reads: Vec<(&str, usize)> = lengths.iter().map(|(name, words)| (name.as_str(), *words)).collect();
        all.extend(program.run(&mut states, step, &inputs, &reads)?.finish().await?);
    }
    Ok(all)
}

/// The weights of a case on a device.
pub(crate) async fn weights_of(device: &Device, case: &Case, plan: &Plan) -> Result<Weights, DeviceError> {
    let mut weights = Weights::new(device);
    for weight in &plan.weights {
        fill(&mut weights, weight, &words_of(weight, case)).await?;
    }
    Ok(weights)
}

/// Puts the states of a case to their start.
pub(crate) fn write_states(states: &mut States, case: &Case) {
    for (i, input) in case.inputs.iter().filter(|i| i.role == Role::State).enumerate() {
        states.write(i, 0, &input.fill.words(&input.desc));
    }
}

/// Name and words of each activation of a case.
pub(crate) fn activations(case: &Case) -> Vec<(String, Vec<u32>)> {
    let activations = case.inputs.iter().enumerate().filter(|(_, input)| input.role == Role::Activation);
    activations.map(|(i, input)| (format!("input {i}"), input.fill.words(&input.desc))).collect()
}

/// Name and length in words of each output of a run: a state whole; of the rest, the live rows.
pub(crate) fn lengths(plan: &Plan, outputs: &[(String, ValueId)], step: &Step) -> Vec<(String, usize)> {
    let length = |(name, _): &(String, ValueId)| {
        let port = plan.output(name).expect("every output was named");
        let desc = &port.operand.desc;
        let rows = match port.place {
            Place::State { .. } => desc.rows(),
            _ => step.live(desc.axis, desc.rows()),
        };
        (name.clone(), rows * desc.row_bytes() / 4)
    };
    outputs.iter().map(length).collect()
}

/// The words of the weight of a case.
fn words_of(weight: &PlanWeight, case: &Case) -> Vec<u32> {
    let Weight::Tensors { names, .. } = &weight.weight else { unreachable!("cases have no constants") };
    let index: usize = names[0]["input ".len()..].parse().expect("the name was made of it");
    case.inputs[index].fill.words(&weight.desc)
}

/// Puts the words of a weight on a device, part by part.
pub(crate) async fn fill(weights: &mut Weights, weight: &PlanWeight, words: &[u32]) -> Result<(), DeviceError> {
    let row = weight.desc.row_bytes();
    let mut filling = weights.fill(weight).await?;
    for (i, part) in weight.parts.iter().enumerate() {
        let (start, end) = (part.first as usize * row / 4, ((part.first + part.count) as usize * row).div_ceil(4));
        filling.write(i, 0, &words[start..end.min(words.len())]);
    }
    filling.finish();
    Ok(())
}

/// Stored words as the numbers that they are, each exactly.
fn numbers(dtype: DType, words: &[u32]) -> Vec<f64> {
    let halves = || words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]);
    match dtype {
        DType::F32 => words.iter().map(|w| f64::from(f32::from_bits(*w))).collect(),
        DType::F16 => halves().map(|h| half::f16::from_bits(h).to_f64()).collect(),
        DType::BF16 => halves().map(|h| half::bf16::from_bits(h).to_f64()).collect(),
        DType::U32 => words.iter().map(|w| f64::from(*w)).collect(),
        DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => unreachable!("only weights are quantised"),
    }
}

fn compare(found: &[Vec<u32>], wanted: &[Vec<u32>], graph: &Graph, outputs: &[(String, ValueId)]) -> (f32, String) {
    let mut worst = (0.0, String::new());
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let (name, value) = &outputs[i % outputs.len()];
        let run = i / outputs.len();
        let (found, wanted) = (numbers(graph.desc(*value).dtype, found), numbers(graph.desc(*value).dtype, wanted));
        let scale = wanted.iter().fold(1f64, |scale, w| scale.max(w.abs()));
        for (j, (&f, &w)) in found.iter().zip(&wanted).enumerate() {
            let error = match ((f - w).abs() / scale) as f32 {
                _ if f.to_bits() == w.to_bits() => 0.0,
                // A NaN is worse than any number.
                error if error.is_nan() => f32::MAX,
                error => error.clamp(f32::MIN_POSITIVE, f32::MAX),
            };
            if error > worst.0 {
                worst = (error, format!("{name} of run {run}, element {j}: {f}, wanted {w}"));
            }
        }
    }
    worst
}
