//! A column range is a value like any other: every kernel computes the same from it as from a value of its own.

use std::sync::Arc;

use fastweight::device::Device;
use fastweight::exec::{Program, States};
use fastweight::graph::{Graph, Pack};
use fastweight::kernels::{Case, CaseInput, KERNELS, Role};
use fastweight::plan::Plan;
use fastweight::tensor::{DType, Desc};
use fastweight_tests::software;
use pollster::block_on;

use super::run::{BOUND, Found, extent, rows, weights, worst};

/// Columns of the wider value before and behind the range.
const BEFORE: usize = 4;
const BEHIND: usize = 3;

/// A wider value with the numbers of `input` in its middle: its description and words.
fn widened(input: &CaseInput) -> (Desc, Vec<u32>) {
    let (desc, words) = (&input.desc, input.fill.words(&input.desc));
    let wide = desc.with_width(BEFORE + desc.width() + BEHIND);
    let element = desc.dtype.bytes_of(1);
    let (from, to): (&[u8], _) = (bytemuck::cast_slice(&words), (BEFORE * element, desc.width() * element));
    // Any numbers around it: they must not matter.
    let mut bytes = vec![0x3d; wide.bytes().next_multiple_of(4)];
    for r in 0..desc.rows() {
        bytes[r * wide.row_bytes() + to.0..][..to.1].copy_from_slice(&from[r * desc.row_bytes()..][..to.1]);
    }
    (wide, bytemuck::pod_collect_to_vec(&bytes))
}

/// All outputs of the first run of a case, with input `range` (if any) as a column range of a wider value.
fn outputs(device: &Device, case: &Case, range: Option<usize>) -> Result<Found, String> {
    let mut g = Graph::new();
    let (mut inputs, mut words, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for (i, input) in case.inputs.iter().enumerate() {
        let name = format!("input {i}");
        let (desc, stored) = if range == Some(i) { widened(input) } else { (input.desc.clone(), input.fill.words(&input.desc)) };
        let value = match input.role {
            Role::Activation => g.input(&name, desc),
            Role::Weight => g.weight(&[&name], Pack::Stacked, desc),
            Role::State => {
                states.push(stored.clone());
                let state = g.state("state", &name, desc, None);
                g.current(state)
            }
        };
        words.push((name, stored));
        inputs.push(if range == Some(i) { g.columns(value, BEFORE, input.desc.width()) } else { value });
    }
    let made = g.nodes("node", case.op.clone(), &inputs).map_err(|e| e.to_string())?;
    made.iter().enumerate().for_each(|(i, v)| g.output(format!("output {i}"), *v));
    let plan = Arc::new(Plan::new(&g, device.caps()).map_err(|e| e.to_string())?);
    let weights = weights(device, &plan, |name| words.iter().find(|w| w.0 == name).expect("its own name").1.clone());
    let program = block_on(Program::new(device, plan.clone(), &weights)).map_err(|e| e.to_string())?;
    let mut kept = block_on(States::new(device, &plan.states, &plan, &weights)).map_err(|e| e.to_string())?;
    states.iter().enumerate().for_each(|(s, words)| kept.write(s, 0, words));
    let step = &case.steps[0];
    let given: Vec<(&str, &[u32])> = words.iter().map(|(n, w)| (n.as_str(), &w[..])).collect();
    let reads: Vec<_> = plan.outputs.iter().map(|port| (port.name.as_str(), extent(port, step))).collect();
    let run = program.run(&mut kept, step, &given, &reads).map_err(|e| e.to_string())?;
    let found = block_on(run.finish()).map_err(|e| e.to_string())?;
    Ok(plan.outputs.iter().zip(found).map(|(p, words)| (p.name.clone(), p.operand.desc.dtype, rows(p, step, &words))).collect())
}

/// Tries every input of some cases as a range, on a device.
fn expect_ranges(device: &Device, cases_of_each: usize) {
    let mut failures = Vec::new();
    for (kernel, cases) in KERNELS {
        for case in cases().iter().filter(|c| c.startup).take(cases_of_each) {
            let wanted = outputs(device, case, None).unwrap_or_else(|e| panic!("{kernel} {}: {e}", case.name));
            // A weight of halves is read as pairs in words, and a cache by its axes: ranges of them don't exist.
            let cached = |input: &CaseInput| input.role == Role::State && (kernel.starts_with("attend") || *kernel == "append");
            let words = |i: &usize| matches!(case.inputs[*i].desc.dtype, DType::F32 | DType::U32) && !cached(&case.inputs[*i]);
            for i in (0..case.inputs.len()).filter(words) {
                let about = format!("{kernel} {}: input {i}", case.name);
                match outputs(device, case, Some(i)).map(|found| worst(&found, &wanted)) {
                    Ok((error, at)) if error > BOUND => failures.push(format!("{about}: {error} at {at}")),
                    Ok(_) => {}
                    Err(problem) => failures.push(format!("{about}: {problem}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn ranges_are_values_on_the_cpu_device() {
    expect_ranges(&Device::cpu(), usize::MAX);
}

#[test]
fn ranges_are_values_on_the_software_gpu() {
    expect_ranges(&software(), 2);
}
