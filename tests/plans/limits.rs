//! Devices with small limits: weights and states in parts, and errors that name what does not fit.

use std::sync::Arc;

use fastweight::caps::Caps;
use fastweight::device::Device;
use fastweight::exec::{Program, States};
use fastweight::graph::{Graph, GraphError, Pack, ValueId};
use fastweight::kernels::add::Add;
use fastweight::kernels::causal_conv::CausalConv;
use fastweight::kernels::copy::Copy;
use fastweight::kernels::embed::Embed;
use fastweight::kernels::layer_norm::LayerNorm;
use fastweight::kernels::matmul::Matmul;
use fastweight::kernels::matvec::{Epilogue, Matvec, Prologue};
use fastweight::kernels::rms_norm::RmsNorm;
use fastweight::kernels::rope::{Positions, Rope};
use fastweight::kernels::ttt_linear::TttLinear;
use fastweight::kernels::{Fill, Geometry};
use fastweight::plan::{Plan, PlanError};
use fastweight::step::{Sequence, Step};
use fastweight::tensor::{DType, Desc};
use fastweight_tests::software;
use pollster::block_on;

use super::dice::Dice;
use super::made::Made;
use super::run::{BOUND, run, weights, worst};
use super::{GRAPHS, on_random_graphs};

/// Bytes that a binding may cover on the small devices of this page: 16 rows of 8 floats.
const SMALL: u64 = 512;

fn small(caps: &mut Caps) {
    (caps.binding_bytes, caps.buffer_bytes) = (SMALL, 4 * SMALL);
}

/// Tokens of the graphs of this page.
const TOKENS: usize = 2;

/// Builds a graph of one divisible op; `x` has `[TOKENS, 8]` numbers, `ids` as many ids below 40.
type Build = fn(&mut Graph, ValueId, ValueId) -> Result<(), GraphError>;

fn weight(g: &mut Graph, name: &str, dtype: DType, shape: &[usize]) -> ValueId {
    g.weight(&[name], Pack::Stacked, Desc::fixed(dtype, shape))
}

fn product(g: &mut Graph, x: ValueId, dtype: DType, residual: bool) -> Result<(), GraphError> {
    let w = weight(g, "w", dtype, &[60, 8]);
    let mut inputs = vec![x, w];
    if residual {
        let wide = weight(g, "first", DType::F32, &[60, 8]);
        inputs.push(g.node("first", Matvec::plain(false), &[x, wide])?);
    }
    let y = g.node("matmul", Matmul { residual }, &inputs)?;
    g.output("y", y);
    Ok(())
}

const DIVIDED: &[(&str, Build)] = &[
    ("matmul f32", |g, x, _| product(g, x, DType::F32, false)),
    ("matmul bf16 with residual", |g, x, _| product(g, x, DType::BF16, true)),
    ("matvec f16 with norm", |g, x, _| {
        let (w, gains) = (weight(g, "w", DType::F16, &[63, 8]), weight(g, "gains", DType::F32, &[1, 8]));
        let prologue = Prologue::Rms(RmsNorm { eps: 1e-2 });
        let y = g.node("matvec", Matvec { prologue, epilogue: Epilogue::None }, &[x, w, gains])?;
        g.output("y", y);
        Ok(())
    }),
    ("embed f32", |g, _, ids| {
        let table = weight(g, "table", DType::F32, &[40, 8]);
        let y = g.node("embed", Embed, &[ids, table])?;
        g.output("y", y);
        Ok(())
    }),
    ("embed f16", |g, _, ids| {
        let table = weight(g, "table", DType::F16, &[40, 7]);
        let y = g.node("embed", Embed, &[ids, table])?;
        g.output("y", y);
        Ok(())
    }),
    ("ttt_linear heads", |g, x, _| ttt(g, x, 0)),
    ("ttt_linear probe", |g, x, _| ttt(g, x, 3)),
];

/// One output of a layer of two sequences of two heads: four rows of 288 bytes, one a part.
fn ttt(g: &mut Graph, x: ValueId, output: usize) -> Result<(), GraphError> {
    let geometry = Geometry { heads: 2, head_dim: 8, mini_batch: 3 };
    let (to_qk, to_v) = (weight(g, "to_qk", DType::F32, &[32, 8]), weight(g, "to_v", DType::F32, &[16, 8]));
    let to_lr = weight(g, "to_lr", DType::F32, &[2, 8]);
    let qk = g.node("qk", Matmul { residual: false }, &[x, to_qk])?;
    let v = g.node("v", Matmul { residual: false }, &[x, to_v])?;
    let lr = g.node("lr", Matmul { residual: false }, &[x, to_lr])?;
    let params = weight(g, "params", DType::F32, &[1, geometry.params_len()]);
    let (fast_len, open_len) = (TttLinear::fast_len(&geometry), geometry.mini_batch * TttLinear::row_len(&geometry));
    let learned = weight(g, "learned", DType::F32, &[2, fast_len]);
    let fast = g.state("layer", "fast", Desc::fixed(DType::F32, &[4, fast_len]), Some(learned));
    let open = g.state("layer", "open", Desc::fixed(DType::F32, &[4, open_len]), None);
    let (fast, open) = (g.current(fast), g.current(open));
    let outputs = g.nodes("ttt", TttLinear { geometry, probe: output == 3, front: None }, &[qk, v, lr, params, fast, open])?;
    g.output("y", outputs[output]);
    Ok(())
}

/// The outputs of two runs, then the states; and how many parts the most divided weight or state has.
fn divided(device: &Device, build: Build) -> (Vec<Vec<u32>>, usize) {
    let mut g = Graph::new();
    let x = g.input("x", Desc::tokens(TOKENS, 8));
    let ids = g.input("ids", Desc::tokens(TOKENS, 1).of(DType::U32));
    build(&mut g, x, ids).expect("shapes fit");
    let plan = Arc::new(Plan::new(&g, device.caps()).expect("it fits in parts"));
    let parts = plan.weights.iter().map(|w| w.parts.len()).chain(plan.states.states.iter().map(|s| s.parts.len())).max();
    let weights = weights(device, &plan, |name| {
        let planned = plan.weights.iter().find(|w| w.label == name).expect("a weight of the plan");
        Fill::uniform(name.len() as u32, 0.4).words(&planned.desc)
    });
    let program = block_on(Program::new(device, plan.clone(), &weights)).expect("a program");
    let mut states = block_on(States::new(device, &plan.states, &plan, &weights)).expect("states");
    let mut found = Vec::new();
    for run in 0..2 {
        let step = Step::new(vec![Sequence::new(1 + run, 1), Sequence::new(5 + run, 1)]);
        let x = Fill::uniform(7 + run, 1.0).words(&Desc::tokens(TOKENS, 8));
        let port = plan.output("y").expect("every graph has it");
        let run = program.run(&mut states, &step, &[("x", &x), ("ids", &[39, 3 + 20 * run])], &[("y", port.operand.desc.len())]);
        found.extend(block_on(run.expect("a run").finish()).expect("an output"));
    }
    found.extend(block_on(states.read(0, 1, 0)).expect("the states"));
    (found, parts.unwrap_or(0))
}

#[test]
fn divided_weights_and_states_compute_the_same() {
    let mut failures = Vec::new();
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        for (about, build) in DIVIDED {
            let (wanted, whole) = divided(&device, *build);
            let (found, parts) = divided(&device.clone().with_caps(small), *build);
            assert!(whole == 1 && parts > 1, "{about} on {name}: {whole} and {parts} parts");
            let floats = |words: &Vec<Vec<u32>>| words.concat().into_iter().map(f32::from_bits).collect::<Vec<_>>();
            let (found, wanted) = (floats(&found), floats(&wanted));
            let worst = found.iter().zip(&wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
            // The same sums in the same order, perhaps by another routine at the edge of a part.
            if worst > 1e-6 || found.len() != wanted.len() || found.iter().any(|f| !f.is_finite()) {
                failures.push(format!("{about} on {name}: {worst} off in {parts} parts"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_does_not_fit_is_named() {
    let f32s = |shape: &[usize]| Desc::fixed(DType::F32, shape);
    let too_large = |label: &str, needed| PlanError::TooLarge { label: label.into(), needed, had: SMALL };
    let indivisible = |label: &str, op| PlanError::Indivisible { label: label.into(), op, had: SMALL };
    type Build = Box<dyn Fn(&mut Graph) -> Result<(), GraphError>>;
    let cases: Vec<(Build, PlanError)> = vec![
        (
            Box::new(|g| {
                g.input("prompt", Desc::tokens(17, 8));
                Ok(())
            }),
            too_large("prompt", 544),
        ),
        (
            Box::new(|g| {
                let (x, w) = (g.input("x", Desc::tokens(2, 8)), weight(g, "w", DType::F32, &[65, 8]));
                g.node("lm_head", Matmul { residual: false }, &[x, w]).map(drop)
            }),
            too_large("lm_head", 520),
        ),
        (
            Box::new(|g| {
                let (x, w) = (g.input("x", Desc::tokens(1, 128)), weight(g, "norm.weight", DType::F32, &[1, 129]));
                let w = g.columns(w, 0, 128);
                g.node("norm", RmsNorm { eps: 1.0 }, &[x, w]).map(drop)
            }),
            too_large("norm.weight", 516),
        ),
        (
            Box::new(move |g| {
                let state = g.state("layer", "layer.window", f32s(&[2, 129]), None);
                let window = g.current(state);
                g.node("kept", Copy, &[window]).map(drop)
            }),
            too_large("layer.window", 516),
        ),
        (
            Box::new(|g| {
                let rope = Rope { head_dim: 8, positions: Positions::Periodic(20), interleaved: true };
                let (x, table) =
                    (g.input("x", Desc::tokens(2, 8)), g.constant("turns", &[20, 8], &rope.table(&Rope::frequencies(8, 100.0))));
                g.node("rotate", rope, &[x, table]).map(drop)
            }),
            indivisible("turns", "rope"),
        ),
        (
            Box::new(move |g| {
                let state = g.state("layer", "layer.window", f32s(&[17, 8]), None);
                let (x, bias) = (g.input("x", Desc::tokens(2, 8)), weight(g, "bias", DType::F32, &[1, 8]));
                let (w, window) = (weight(g, "w", DType::F32, &[8, 2]), g.current(state));
                g.node("conv", CausalConv { filters: 1, taps: 2, silu: false, residual: false }, &[x, w, bias, window]).map(drop)
            }),
            indivisible("layer.window", "causal_conv"),
        ),
        (
            Box::new(|g| {
                let (w, y) = (weight(g, "w", DType::F32, &[17, 8]), weight(g, "y", DType::F32, &[17, 8]));
                g.node("sum", Add, &[w, y]).map(drop)
            }),
            indivisible("w", "copy"),
        ),
    ];
    let mut caps = Caps::default();
    small(&mut caps);
    for (build, wanted) in cases {
        let mut g = Graph::new();
        build(&mut g).expect("shapes fit");
        let found = Plan::new(&g, &caps).expect_err("over the limit");
        assert_eq!(found, wanted);
        let (PlanError::TooLarge { label, .. } | PlanError::Indivisible { label, .. }) = &wanted else {
            unreachable!("only these")
        };
        assert!(found.to_string().contains(label) && found.to_string().contains("512"), "{found}");
        assert!(Plan::new(&g, &Caps::default()).is_ok(), "{label} fits elsewhere");
    }
}

#[test]
fn too_many_buffers_are_named() {
    let mut g = Graph::new();
    let (x, gamma) = (g.input("x", Desc::tokens(2, 8)), weight(&mut g, "gamma", DType::F32, &[1, 8]));
    g.node("post_norm", LayerNorm { eps: 1.0, gated: false }, &[x, gamma, gamma]).expect("shapes fit");
    let found = Plan::new(&g, &Caps { storage_buffers: 3, ..Caps::default() });
    assert_eq!(found, Err(PlanError::TooManyBuffers { label: "post_norm".into(), needed: 4, had: 3 }));
}

/// Bindings over the limit.
fn over(plan: &Plan, limit: u64) -> Option<String> {
    let slots = plan.slots.iter().enumerate().map(|(i, bytes)| (format!("slot {i}"), *bytes));
    let weights = plan
        .weights
        .iter()
        .flat_map(|w| w.parts.iter().map(|p| (w.label.clone(), u64::from(p.count) * w.desc.row_bytes() as u64)));
    let states = plan.states.states.iter().flat_map(|s| s.parts.iter().map(|p| (s.name.clone(), p.bytes)));
    let buffers = plan.states.buffers.iter().filter(|bytes| **bytes > 4 * limit).map(|bytes| ("state buffer".into(), *bytes));
    slots.chain(weights).chain(states).filter(|(_, bytes)| *bytes > limit).chain(buffers).map(|b| format!("{b:?}")).next()
}

#[test]
fn random_graphs_at_random_limits_compute_the_same_or_name_what_does_not_fit() {
    let (cpu, mut computed, mut refused) = (Device::cpu(), 0, 0);
    on_random_graphs(GRAPHS, |i, made: &mut Made| {
        let limit = [1600, 1280, 640, 300][i % 4] + 4 * Dice::new(i as u64).below(8) as u64;
        let device = cpu.clone().with_caps(|caps| (caps.binding_bytes, caps.buffer_bytes) = (limit, 4 * limit));
        match Plan::new(&made.graph, device.caps()) {
            Err(PlanError::TooLarge { label, needed, had }) => {
                refused += 1;
                let known = made.knows(&label);
                if known && needed > limit && had == limit { Ok(()) } else { Err(format!("{label} needs {needed} of {had}")) }
            }
            Err(PlanError::Indivisible { label, had, .. }) => {
                refused += 1;
                if made.knows(&label) && had == limit { Ok(()) } else { Err(format!("{label} is indivisible at {had}")) }
            }
            Err(other) => Err(other.to_string()),
            Ok(plan) => {
                computed += 1;
                if let Some(binding) = over(&plan, limit) {
                    return Err(format!("{binding} is over {limit}"));
                }
                let steps = made.steps();
                let wanted = run(&cpu, made, &made.graph, &steps)?;
                match worst(&run(&device, made, &made.graph, &steps)?, &wanted) {
                    (error, at) if error > BOUND => Err(format!("at {limit} bytes: {error} at {at}")),
                    _ => Ok(()),
                }
            }
        }
    });
    println!("{computed} computed, {refused} refused");
    assert!(computed > 20 && refused > 20, "{computed} computed, {refused} refused: the limits say too little");
}
