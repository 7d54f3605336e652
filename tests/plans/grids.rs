//! What a run costs before it is run: passes, submits, workgroups.

use std::sync::Arc;

use fastweight::caps::Caps;
use fastweight::device::{Counters, Device};
use fastweight::exec::{Program, States};
use fastweight::generate::{LoadOptions, Model, Purpose};
use fastweight::plan::Plan;
use fastweight::step::{Sequence, Step};
use fastweight::tensor::DType;
use fastweight_tests::{Random, fixtures, fresh_software};
use pollster::block_on;

use super::made::Made;
use super::run::weights;

/// A step with these tokens of each sequence, all from `position` on.
fn step(position: u32, counts: &[u32]) -> Step {
    Step::new(counts.iter().map(|n| Sequence::new(position, *n)).collect())
}

fn plan(made: &Made) -> Plan {
    Plan::new(&made.graph, &Caps::default()).expect("tiny graphs fit everywhere")
}

#[test]
fn a_run_is_one_pass_and_one_submit() {
    let made = Made::new(Random::new().bits(), 8);
    // Devices of their own: nobody else counts.
    for device in [Device::cpu(), fresh_software()] {
        let plan = Arc::new(plan(&made));
        let weights = weights(&device, &plan, |name| made.tensor(name));
        let program = block_on(Program::new(&device, plan.clone(), &weights)).expect("a program");
        let mut states = block_on(States::new(&device, &plan.states, &plan, &weights)).expect("states");
        let words = made.words();
        let inputs: Vec<(&str, &[u32])> = words.iter().map(|(name, words)| (name.as_str(), &words[..])).collect();
        let mut first = None;
        for position in [0, 100, 20_000] {
            let before = device.counters();
            let run = program.run(&mut states, &step(position, &[2, 3]), &inputs, &[(&plan.outputs[0].name, 1)]);
            block_on(run.expect("a run").finish()).expect("an output");
            let after = device.counters();
            let spent = Counters {
                dispatches: after.dispatches - before.dispatches,
                passes: after.passes - before.passes,
                submits: after.submits - before.submits,
                bytes_up: after.bytes_up - before.bytes_up,
                bytes_down: after.bytes_down - before.bytes_down,
                ..Counters::default()
            };
            assert_eq!((spent.passes, spent.submits), (1, 1), "{} at {position}", device.name());
            assert_eq!(spent.dispatches, plan.steps.len() as u64, "{} at {position}", device.name());
            assert_eq!(spent.bytes_down, 4, "only what was asked for comes back");
            assert_eq!(*first.get_or_insert(spent), spent, "{} at {position} is as at 0", device.name());
        }
    }
}

#[test]
fn grids_do_not_depend_on_the_position() {
    let fixture = fixtures::golden().swap_remove(0);
    let cpu = Device::cpu();
    let model = block_on(Model::load(fixture.opened(DType::F32), &cpu, LoadOptions::default())).expect("a golden model");
    let purposes =
        [Purpose::Prefill, Purpose::Decode, Purpose::DecodeWithLogits, Purpose::Loss, Purpose::LossWithProbe, Purpose::Logits];
    let plans = purposes.iter().flat_map(|p| [1, 2].map(|n| (n, model.plan(*p, n).expect("a plan"))));
    for (sequences, plan) in plans {
        let counts = vec![1; sequences];
        assert_eq!(plan.grids(&step(100, &counts)), plan.grids(&step(20_000, &counts)), "{plan}");
        assert_eq!(plan.grids(&step(100, &counts)).len(), plan.steps.len());
    }
}

#[test]
fn a_short_run_of_a_large_plan_costs_what_its_tokens_cost() {
    let mut random = Random::new();
    for _ in 0..200 {
        let seed = random.bits();
        let (exact, large) = (Made::new(seed, 3), Made::new(seed, 256));
        let plans = (plan(&exact), plan(&large));
        for counts in [&[3][..], &[1, 2], &[1, 0, 2]] {
            let grids = (plans.0.grids(&step(7, counts)), plans.1.grids(&step(7, counts)));
            assert_eq!(grids.0, grids.1, "seed {seed}, {counts:?}:\n{}{}", plans.0, plans.1);
        }
        let workgroups = |counts: &[u32]| plans.1.grids(&step(0, counts)).iter().map(|[x, y]| x * y).sum::<u32>();
        assert!(
            workgroups(&[256]) > workgroups(&[3]) || !large.works_on_tokens(),
            "seed {seed}: 256 tokens cost more\n{}",
            plans.1
        );
    }
}
