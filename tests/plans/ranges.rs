//! A column range is a value like any other: every kernel computes the same from it as from a value of its own.

use std::sync::Arc;

use fastweight::device::Device;
use fastweight::exec::{Program, States};
use fastweight::graph::{Graph, Pack, ValueId};
use fastweight::kernels::{Case, CaseInput, KERNELS, Role};
use fastweight::plan::Plan;
use fastweight::tensor::{Axis, DType, Desc};
use fastweight_tests::software;
use pollster::block_on;

use super::run::weights;

/// Columns of the wider value before and behind the range.
const BEFORE: usize = 4;
const BEHIND: usize = 3;

/// A wider value with the numbers of `input` in its middle: its description and words.
fn widened(input: &CaseInput) -> (Desc, Vec<u32>) {
    let (desc, words) = (&input.desc, input.fill.words(&input.desc));
    let wide = desc.with_width(BEFORE + desc.width() + BEHIND);
    let element = desc.dtype.bytes();
    let (from, to): (&[u8], _) = (bytemuck::cast_slice(&words), (BEFORE * element, desc.width() * element));
    // Any numbers around it: they must not matter.
    let mut bytes = vec![0x3d; wide.bytes().next_multiple_of(4)];
    for r in 0..desc.rows() {
        bytes[r * wide.row_bytes() + to.0..][..to.1].copy_from_slice(&from[r * desc.row_bytes()..][..to.1]);
    }
    (wide, bytemuck::pod_collect_to_vec(&bytes))
}

/// All outputs of the first run of a case, with input `range` (if any) as a column range of a wider value; and the wider values
/// after it.
fn outputs(device: &Device, case: &Case, range: Option<usize>) -> Result<Vec<Vec<u32>>, String> {
    let mut g = Graph::new();
    let (mut inputs, mut words, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for (i, input) in case.inputs.iter().enumerate() {
        let name = format!("input {i}");
        let (desc, stored) = if range == Some(i) { widened(input) } else { (input.desc.clone(), input.fill.words(&input.desc)) };
        let value = match input.role {
            Role::Activation => g.input(&name, desc),
            Role::Weight => g.weight(&[&name], Pack::Stacked, desc),
            Role::State => {
                let state = g.state("state", &name, desc, None);
                written.push((i, state));
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
    let mut states = block_on(States::new(device, &plan.states, &plan, &weights)).map_err(|e| e.to_string())?;
    for (s, (i, _)) in written.iter().enumerate() {
        states.write(s, 0, &words[*i].1);
    }
    let step = &case.steps[0];
    let given: Vec<(&str, &[u32])> = words.iter().map(|(n, w)| (n.as_str(), &w[..])).collect();
    let read = |v: &ValueId| step.live(g.desc(*v).axis, g.desc(*v).rows()) * g.desc(*v).width();
    let reads: Vec<_> = plan.outputs.iter().zip(&made).map(|(port, v)| (port.name.as_str(), read(v))).collect();
    let run = program.run(&mut states, step, &given, &reads).map_err(|e| e.to_string())?;
    block_on(run.finish()).map_err(|e| e.to_string())
}

#[test]
fn probe() {
    let _ = (Axis::Fixed, DType::F32);
    for (name, device) in [("cpu", Device::cpu()), ("gpu", software())] {
        for (kernel, cases) in KERNELS {
            for case in cases().iter().filter(|c| c.startup).take(40) {
                for i in 0..case.inputs.len() {
                    let wanted = outputs(&device, case, None);
                    let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| outputs(&device, case, Some(i))));
                    match r {
                        Err(_) => println!("{name} {kernel} input {i} {:?} PANIC", case.inputs[i].role),
                        Ok(Err(e)) => println!("{name} {kernel} input {i}: refused {e}"),
                        Ok(Ok(found)) => {
                            if found != *wanted.as_ref().unwrap() {
                                println!("{name} {kernel} input {i} {:?} {}: DIFFERENT", case.inputs[i].role, case.inputs[i].desc);
                            }
                        }
                    }
                }
            }
        }
    }
}
