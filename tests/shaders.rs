//! Every linked shader: what its header says, and what naga, its three back ends and Chromium make of it.

use std::collections::{BTreeMap, BTreeSet};

use fastweight::caps::Caps;
use fastweight::graph::{Graph, Pack};
use fastweight::kernels::{Case, KERNELS, Launch, Role};
use fastweight::plan::{Plan, PlanStep};
use fastweight::shader::{Access, Compiler, Linked, link, plain_places};
use fastweight_tests::software;

#[path = "shaders/headers.rs"]
mod headers;
#[path = "shaders/naga.rs"]
mod naga_checks;
#[path = "shaders/tint.rs"]
mod tint;

/// A launch of one case of a kernel.
struct Launched {
    /// The kernel and the case, for messages.
    about: String,
    launch: Launch,
    /// Workgroup memory of the device that it is for.
    workgroup_bytes: u32,
}

/// A linked shader with the values of its overrides: what a driver compiles.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Compiled {
    source: String,
    /// Language extensions that it uses.
    enables: Vec<&'static str>,
    /// Name and bits of each value.
    overrides: Vec<(&'static str, u64)>,
}

impl Compiled {
    fn new(launch: &Launch, linked: Linked) -> Compiled {
        let overrides = launch.overrides.iter().map(|(n, v)| (*n, v.to_bits())).collect();
        Compiled { source: linked.source, enables: launch.enables.clone(), overrides }
    }

    fn constants(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.overrides.iter().map(|(n, v)| (*n, f64::from_bits(*v)))
    }
}

/// The step that a case becomes on a device with `caps`.
fn step(case: &Case, caps: &Caps) -> PlanStep {
    let mut g = Graph::new();
    let mut inputs = Vec::new();
    for (i, input) in case.inputs.iter().enumerate() {
        let (name, desc) = (format!("input {i}"), input.desc.clone());
        inputs.push(match input.role {
            Role::Activation => g.input(name, desc),
            Role::Weight => g.weight(&[&name], Pack::Stacked, desc),
            Role::State => {
                let state = g.state("state", name, desc, None);
                g.current(state)
            }
        });
    }
    let outputs = g.nodes("node", case.op.clone(), &inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    outputs.iter().for_each(|v| g.output("output", *v));
    let plan = Plan::new(&g, caps).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    plan.steps.last().expect("a graph of one node has a step").clone()
}

/// The devices whose choice of variants is looked at.
fn all_caps() -> [Caps; 2] {
    [Caps::default(), software().caps().clone()]
}

/// Every variant of every case of every kernel.
fn launches() -> Vec<Launched> {
    let mut launches = Vec::new();
    for caps in all_caps() {
        for (kernel, cases) in KERNELS {
            for case in cases() {
                let step = step(&case, &caps);
                for launch in step.op.kernel().variants(&step.io, &caps) {
                    let about = format!("{kernel} {}: {}", case.name, launch.name());
                    launches.push(Launched { about, launch, workgroup_bytes: caps.workgroup_bytes });
                }
            }
        }
    }
    launches
}

/// The operands' places when their buffers have different owners.
fn spread_places(n: usize) -> Vec<(u32, u32)> {
    (0..n as u32).map(|i| (i % 3, i / 3)).collect()
}

/// Every distinct shader for a compiler with its operands at these places, and the first launch that it came from: of the least device, if it runs there.
fn shaders(compiler: Compiler, places: impl Fn(usize) -> Vec<(u32, u32)>) -> BTreeMap<Compiled, Launched> {
    let mut shaders = BTreeMap::new();
    for launched in launches() {
        let Launched { about, launch, .. } = &launched;
        let linked = link(launch, &places(launch.bindings.len()), compiler).unwrap_or_else(|e| panic!("{about}: {e}"));
        shaders.entry(Compiled::new(launch, linked)).or_insert(launched);
    }
    shaders
}

/// Fails with all of `failures`, each on a line.
fn expect_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_planned_launch_is_one_of_the_variants() {
    let mut failures = Vec::new();
    for caps in all_caps() {
        for (kernel, cases) in KERNELS {
            for case in cases() {
                let step = step(&case, &caps);
                if !step.op.kernel().variants(&step.io, &caps).contains(&step.launch) {
                    failures.push(format!("{kernel} {}: {} is no variant", case.name, step.launch.name()));
                }
            }
        }
    }
    expect_none(&failures);
}

#[test]
fn every_file_is_part_of_some_variant() {
    // The linker puts the step values in front of every kernel.
    let mut reached = BTreeSet::from(["parts/step".to_string()]);
    for Launched { launch, .. } in launches() {
        reached.insert(launch.file.to_string());
        reached.extend(launch.parts.iter().map(|part| format!("parts/{part}")));
    }
    let dead: Vec<&str> =
        fastweight_shaders::SOURCES.iter().map(|(name, _)| *name).filter(|name| !reached.contains(*name)).collect();
    assert!(dead.is_empty(), "no variant uses {dead:?}");
}

/// Compilers of some browsers' shaders (naga in Firefox 153) make a variable of a loop's body zero only once.
#[test]
fn every_local_variable_is_given_its_first_value() {
    let mut without = Vec::new();
    for (file, source) in fastweight_shaders::SOURCES {
        let local = |line: &&str| line.starts_with(' ') && line.trim_start().starts_with("var ") && !line.contains('=');
        without.extend(source.lines().filter(local).map(|line| format!("{file}: {}", line.trim())));
    }
    assert!(without.is_empty(), "{without:#?}");
}
