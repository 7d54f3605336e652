//! The choice of variants by what was found on a device.

use std::collections::BTreeMap;

use fastweight::caps::Caps;
use fastweight::device::{Choice, Device};
use fastweight::generate::{LoadOptions, plans};
use fastweight::graph::fuse::fuse;
use fastweight::graph::{Graph, Pack};
use fastweight::kernels::matmul::Matmul;
use fastweight::kernels::ttt_linear::TttLinear;
use fastweight::kernels::{Geometry, Io, KERNELS, Operand};
use fastweight::plan::{Plan, PlanError};
use fastweight::tensor::{DType, Desc};
use fastweight::tuning::{Size, Timing, Tuning};
use fastweight::verify::{Effort, is_tuned, tune, variants};
use fastweight_tests::{fixtures, fresh_software, software};

/// The plan of a product, its variants that may be chosen, and its size.
fn product(rows: usize, tuning: &Tuning) -> Result<(String, Vec<String>, Size), PlanError> {
    let (x, w) = (Desc::tokens(rows, 64), Desc::fixed(DType::F16, &[128, 64]));
    let mut g = Graph::new();
    let (x, w) = (g.input("x", x), g.weight(&["w"], Pack::Stacked, w));
    let y = g.node("product", Matmul { residual: false }, &[x, w]).expect("shapes fit");
    g.output("y", y);
    let caps = Caps { tuning: tuning.clone().into(), ..Caps::default() };
    let plan = Plan::new(&g, &caps)?;
    let step = plan.steps.last().expect("a step");
    let names = step.op.kernel().variants(&step.io, &caps).iter().map(|v| v.name()).collect();
    Ok((step.launch.name(), names, Size::of(&step.op, &step.io)))
}

fn names() -> Vec<String> {
    let (_, names, _) = product(256, &Tuning::default()).expect("a plan");
    assert!(names.len() > 1, "a product of many rows has variants");
    names
}

#[test]
fn a_wrong_variant_is_never_planned() {
    let names = names();
    let mut tuning = Tuning::default();
    assert_eq!(product(256, &tuning).expect("a plan").0, names[0], "nothing is known");
    tuning.note(names[0].clone(), Some("case 1x1: error 9 over 1".into()));
    assert_eq!(product(256, &tuning).expect("a plan").0, names[1]);
    // Right in another case is wrong all the same.
    tuning.note(names[0].clone(), None);
    assert!(tuning.knows(&names[0]) && !tuning.right.contains(&names[0]));
    for name in &names[1..] {
        tuning.note(name.clone(), Some("no number".into()));
    }
    let error = product(256, &tuning).expect_err("no variant is left");
    let PlanError::Wrong { label, op, found } = &error else { panic!("{error}") };
    assert_eq!((label.as_str(), *op, found.len()), ("product", "matmul", names.len()));
    let told = error.to_string();
    for word in ["product", "matmul", &names[0], "case 1x1: error 9 over 1", "no number"] {
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn the_fastest_variant_at_the_nearest_size_is_planned() {
    let names = names();
    let size = |rows| product(rows, &Tuning::default()).expect("a plan").2;
    let timing = |rows, nanoseconds: &[u64]| Timing {
        size: size(rows),
        nanoseconds: names.iter().cloned().zip(nanoseconds.iter().copied().chain(std::iter::repeat(1_000_000))).collect(),
    };
    // Small ones are faster with the second variant, large ones with the first.
    let timings = vec![timing(64, &[1000, 500]), timing(512, &[4000, 8000])];
    let tuning = Tuning { timings, ..Tuning::default() };
    for (rows, wanted) in [(40, 1), (64, 1), (100, 1), (400, 0), (512, 0), (4096, 0)] {
        assert_eq!(product(rows, &tuning).expect("a plan").0, names[wanted], "{rows} rows");
    }
    // What is faster by less than clocks can tell is left.
    let tuning = Tuning { timings: vec![timing(64, &[1000, 970])], ..Tuning::default() };
    assert_eq!(product(64, &tuning).expect("a plan").0, names[0]);
    // Timings of other launches say nothing.
    let other = Timing { size: size(64), nanoseconds: BTreeMap::from([("other".to_string(), 1)]) };
    assert_eq!(product(64, &Tuning { timings: vec![other], ..Tuning::default() }).expect("a plan").0, names[0]);
    // The fastest is of no use if it is wrong.
    let mut tuning = Tuning { timings: vec![timing(64, &[1000, 500])], ..Tuning::default() };
    tuning.note(names[1].clone(), Some("wrong".into()));
    assert_eq!(product(64, &tuning).expect("a plan").0, names[0]);
}

#[test]
fn sizes_are_as_far_apart_as_they_have_doublings_between_them() {
    let size = |rows, k| {
        let io = Io {
            inputs: vec![Operand::whole(Desc::tokens(rows, k)), Operand::whole(Desc::fixed(DType::F32, &[64, k]))],
            outputs: vec![Operand::whole(Desc::tokens(rows, 64))],
        };
        Size::of(&Matmul { residual: false }.into(), &io)
    };
    assert_eq!(size(8, 32), Size { rows: 8, operations: 2 * 8 * 32 * 64 });
    for (a, b, wanted) in [((8, 32), (8, 32), 0.0), ((8, 32), (32, 32), 2.0), ((8, 32), (8, 256), 3.0), ((64, 8), (8, 64), 6.0)] {
        assert_eq!(size(a.0, a.1).distance(&size(b.0, b.1)), wanted, "{a:?} {b:?}");
    }
}

#[test]
fn what_was_found_on_a_device_is_found_once() {
    let device = fresh_software();
    let opened = pollster::block_on(fastweight::load::open_path(&fixtures::path("llama/gqa-untied"))).expect("a model");
    let plans_of = |device: &_| plans(&opened, &LoadOptions::default(), device).expect("plans");
    let plans = plans_of(&device);
    assert!(!is_tuned(&device, &plans));
    let mut told = Vec::new();
    let found = pollster::block_on(tune(&device, &plans, Effort::Once, &mut |done, total| told.push((done, total))));
    let found = found.expect("the device works");
    assert!(found.wrong.is_empty(), "{:?}", found.wrong);
    assert!(told.windows(2).all(|pair| pair[0].0 <= pair[1].0) && told.last().is_some_and(|(done, total)| done == total));
    for step in plans.iter().flat_map(|plan| &plan.steps) {
        assert!(found.right.contains(&step.launch.name()), "{} was not checked", step.launch.name());
    }
    // Through a file and back, it is all known, and nothing is run again.
    let text = serde_json::to_string(&found).expect("a form in JSON");
    let again: Tuning = serde_json::from_str(&text).expect("its own form");
    assert_eq!(again, found);
    let device = device.with_tuning(again);
    let plans = plans_of(&device);
    assert!(is_tuned(&device, &plans));
    let before = device.counters();
    assert_eq!(pollster::block_on(tune(&device, &plans, Effort::Once, &mut |_, _| {})).expect("no work"), found);
    assert_eq!(device.counters(), before);
    // Every timing has the variants of some step, all of them.
    for timing in &found.timings {
        assert!(timing.nanoseconds.len() > 1 && timing.nanoseconds.values().all(|ns| *ns > 0), "{timing:?}");
    }
}

#[test]
fn a_scan_is_timed_in_two_passes_too_and_once() {
    let (device, geometry) = (fresh_software(), Geometry { heads: 2, head_dim: 16, mini_batch: 4 });
    let (fast, open) = (TttLinear::fast_len(&geometry), geometry.mini_batch * TttLinear::row_len(&geometry));
    let mut g = Graph::new();
    let rows = [2 * geometry.width(), geometry.width(), geometry.heads].map(|width| Desc::tokens(64, width));
    let mut inputs: Vec<_> = rows.into_iter().enumerate().map(|(i, desc)| g.input(format!("x{i}"), desc)).collect();
    inputs.push(g.weight(&["params"], Pack::Stacked, Desc::fixed(DType::F32, &[geometry.params_len()])));
    for (name, width) in [("fast", fast), ("open", open)] {
        let state = g.state("layer", name, Desc::fixed(DType::F32, &[geometry.heads, width]), None);
        inputs.push(g.current(state));
    }
    let y = g.node("scan", TttLinear { geometry, probe: false, front: None }, &inputs).expect("shapes fit");
    g.output("y", y);
    let plan = |device: &Device| Plan::new(&fuse(g.clone(), device.caps()), device.caps()).expect("a plan");
    let kernels = |device: &Device| plan(device).steps.iter().map(|s| s.op.name()).collect::<Vec<_>>();
    let found = pollster::block_on(tune(&device, &[plan(&device)], Effort::Once, &mut |_, _| {})).expect("the device works");
    assert!(found.wrong.is_empty(), "{:?}", found.wrong);
    let [timing] = &found.timings[..] else { panic!("{:?}", found.timings) };
    let (passes, variants): (Vec<&String>, Vec<&String>) = timing.nanoseconds.keys().partition(|name| name.contains(" then "));
    assert_eq!((passes.len(), variants.len()), (1, 2), "{timing:?}");
    for pass in passes[0].split(" then ") {
        assert!(found.right.contains(pass), "{pass} was not checked");
    }
    // The faster way is taken, and either has nothing left to be found.
    for (nanoseconds, wanted) in [(1, &["ttt_linear_states", "ttt_linear_outputs"][..]), (u64::MAX, &["ttt_linear"])] {
        let mut tuning = found.clone();
        tuning.timings[0].nanoseconds.insert(passes[0].clone(), nanoseconds);
        let device = device.clone().with_tuning(tuning);
        assert_eq!(kernels(&device), wanted);
        assert!(is_tuned(&device, &[plan(&device)]));
    }
    // Passes of which one is wrong are not.
    let mut tuning = found.clone();
    tuning.timings[0].nanoseconds.insert(passes[0].clone(), 1);
    let wrong = passes[0].split(" then ").next().expect("a name").to_string();
    tuning.note(wrong, Some("case 1x1: error 9 over 1".into()));
    assert_eq!(kernels(&device.with_tuning(tuning)), ["ttt_linear"]);
}

#[test]
fn every_launch_of_a_model_is_judged_by_a_case_of_its_parts() {
    let device = software();
    let caps = device.caps().clone();
    let mut cases = Vec::new();
    for case in KERNELS.iter().flat_map(|(_, cases)| cases()) {
        cases.extend(variants(&case, &caps).expect("every case fits").0.into_iter().map(|v| (v.file, v.parts)));
    }
    for model in [fixtures::shipped(), fixtures::path("llama/gqa-untied"), fixtures::path("mamba/golden")] {
        let opened = pollster::block_on(fastweight::load::open_path(&model)).expect("a model");
        for step in plans(&opened, &LoadOptions::default(), &device).expect("plans").iter().flat_map(|p| &p.steps) {
            for launch in step.op.kernel().variants(&step.io, &caps) {
                assert!(cases.contains(&(launch.file, launch.parts.clone())), "no case has {}", launch.name());
            }
        }
    }
}

#[test]
fn at_every_start_there_is_an_end_to_it() {
    let device = fresh_software();
    let opened = pollster::block_on(fastweight::load::open_path(&fixtures::path("llama/gqa-untied"))).expect("a model");
    let plans = plans(&opened, &LoadOptions::default(), &device).expect("plans");
    let within = |millis| Effort::EveryStart { within: std::time::Duration::from_millis(millis) };
    let none = pollster::block_on(tune(&device, &plans, within(0), &mut |_, _| {})).expect("no work");
    assert_eq!((none, device.counters().dispatches), (Tuning::default(), 0));
    let cpu = pollster::block_on(fastweight::device::Device::open(&Choice::Cpu)).expect("it is always there");
    assert!(is_tuned(&cpu, &plans));
}
