//! Runs of a made graph on a device, and the comparison of what comes out.

use std::sync::Arc;

use fastweight::device::Device;
use fastweight::exec::{Program, States, Weights};
use fastweight::graph::{Graph, Weight};
use fastweight::kernels::Operand;
use fastweight::plan::{Plan, Port};
use fastweight::step::Step;
use fastweight::tensor::{Axis, DType};
use pollster::block_on;

use super::made::Made;

/// The bound of every number, as a share of the largest of its output.
pub(super) const BOUND: f32 = 2e-4;

/// Numbers that come out: where, the type, the words.
pub(super) type Found = Vec<(String, DType, Vec<u32>)>;

/// Fills the weights of a plan with the tensors that `tensor` gives by name.
pub(super) fn weights(device: &Device, plan: &Plan, tensor: impl Fn(&str) -> Vec<u32>) -> Weights {
    let mut weights = Weights::new(device);
    for weight in &plan.weights {
        let words: Vec<u32> = match &weight.weight {
            Weight::Constant(words) => words.to_vec(),
            Weight::Tensors { names, .. } => names.iter().flat_map(|name| tensor(name)).collect(),
        };
        let row = weight.desc.row_bytes();
        assert_eq!(words.len(), weight.desc.bytes().div_ceil(4), "words of {}", weight.label);
        let mut filling = block_on(weights.fill(weight)).expect("room for a weight");
        for (i, part) in weight.parts.iter().enumerate() {
            let (start, end) = (part.first as usize * row / 4, ((part.first + part.count) as usize * row).div_ceil(4));
            filling.write(i, 0, &words[start..end]);
        }
        filling.finish();
    }
    weights
}

/// Words that so many elements of an operand take.
fn words(operand: &Operand, elements: usize) -> usize {
    operand.desc.dtype.bytes_of(elements) / 4
}

/// Words from the start of an output's buffer to the end of its last live row.
pub(super) fn extent(port: &Port, step: &Step) -> usize {
    let o = &port.operand;
    let live = step.live(o.desc.axis, o.desc.rows());
    if live == 0 { 0 } else { words(o, o.offset + (live - 1) * o.stride + o.desc.width()) }
}

/// The live rows of an output. What a sequence without tokens has in a row of its own is nobody's.
pub(super) fn rows(port: &Port, step: &Step, stored: &[u32]) -> Vec<u32> {
    let o = &port.operand;
    let live = step.live(o.desc.axis, o.desc.rows());
    let rows = (0..live).filter(|r| o.desc.axis != Axis::Sequences || step.sequences[*r].count > 0);
    rows.flat_map(|r| &stored[words(o, o.offset + r * o.stride)..][..words(o, o.desc.width())]).copied().collect()
}

/// Runs `graph`, which is the made one or its fusion: every output of every step, then every state.
pub(super) fn run(device: &Device, made: &Made, graph: &Graph, steps: &[Step]) -> Result<Found, String> {
    let plan = Arc::new(Plan::new(graph, device.caps()).map_err(|e| e.to_string())?);
    run_plan(device, made, &plan, steps)
}

/// Runs a plan of the made graph or its fusion.
pub(super) fn run_plan(device: &Device, made: &Made, plan: &Arc<Plan>, steps: &[Step]) -> Result<Found, String> {
    let weights = weights(device, plan, |name| made.tensor(name));
    let program = block_on(Program::new(device, plan.clone(), &weights)).map_err(|e| e.to_string())?;
    let mut states = block_on(States::new(device, &plan.states, plan, &weights)).map_err(|e| e.to_string())?;
    let words = made.words();
    let inputs: Vec<(&str, &[u32])> = words.iter().map(|(name, words)| (name.as_str(), &words[..])).collect();
    let mut all = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let reads: Vec<_> = plan.outputs.iter().map(|port| (port.name.as_str(), extent(port, step))).collect();
        let run = program.run(&mut states, step, &inputs, &reads).map_err(|e| e.to_string())?;
        let found = block_on(run.finish()).map_err(|e| e.to_string())?;
        for (port, words) in plan.outputs.iter().zip(found) {
            all.push((format!("{} of run {i}", port.name), port.operand.desc.dtype, rows(port, step, &words)));
        }
    }
    let kept = block_on(states.read(0, 1, 0)).map_err(|e| e.to_string())?;
    for (place, words) in plan.states.states.iter().zip(kept) {
        all.push((place.name.clone(), place.desc.dtype, words));
    }
    Ok(all)
}

/// The largest error as a share of the largest number of its output, and what it is of.
pub(super) fn worst(found: &Found, wanted: &Found) -> (f32, String) {
    assert_eq!(found.len(), wanted.len(), "as many outputs");
    let mut worst = (0.0, String::new());
    for ((name, dtype, found), (_, _, wanted)) in found.iter().zip(wanted) {
        assert_eq!(found.len(), wanted.len(), "as many numbers in {name}");
        let number = |word: &u32| if *dtype == DType::F32 { f32::from_bits(*word) } else { *word as f32 };
        // Small outputs are compared with their own size, but not with what is mere rounding.
        let scale = wanted.iter().map(|w| number(w).abs()).fold(0.05, f32::max);
        for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
            let error = if f == w { 0.0 } else { (number(f) - number(w)).abs() / scale };
            // An error that is no number is the worst.
            if error.is_nan() || error > worst.0 {
                let at = format!("{name}, element {i}: {}, wanted {}", number(f), number(w));
                worst = (if error.is_nan() { f32::INFINITY } else { error }, at);
            }
        }
    }
    worst
}
