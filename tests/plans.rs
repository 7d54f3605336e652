//! Random plans: the software GPU against the CPU device, fused against unfused, and what the planner promises.

#[path = "plans/decode.rs"]
mod decode;
#[path = "plans/dice.rs"]
mod dice;
#[path = "plans/errors.rs"]
mod errors;
#[path = "plans/grids.rs"]
mod grids;
#[path = "plans/limits.rs"]
mod limits;
#[path = "plans/made.rs"]
mod made;
#[path = "plans/planner.rs"]
mod planner;
#[path = "plans/ranges.rs"]
mod ranges;
#[path = "plans/run.rs"]
mod run;
#[path = "plans/scans.rs"]
mod scans;

use fastweight::device::Device;
use fastweight::graph::Graph;
use fastweight::graph::fuse::fuse;
use fastweight_tests::{Random, software};

use made::Made;
use run::{BOUND, run, worst};
use scans::faster_in_two_passes;

/// Graphs that are tried on a software GPU.
const GRAPHS: usize = 200;
/// Graphs that are fused on the CPU device, where they cost little: enough that the rarest rule meets dozens of them.
const FUSED_GRAPHS: usize = 1000;
/// The bound of a fused graph on the device where a fused kernel calls the ones that it stands for.
const FUSED: f32 = 1e-6;
/// Capacity of the token axis: never all of it is live.
const TOKENS: usize = 20;
/// The same for graphs that have few tokens a sequence, as in decoding.
const FEW: usize = 8;

/// Prints a graph if the engine panics on it.
struct OnPanic(String);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// Runs `test` on `graphs` random graphs; it returns what failed. Every failing graph is printed with its seed.
fn on_random_graphs(graphs: usize, mut test: impl FnMut(usize, &mut Made) -> Result<(), String>) {
    let mut random = Random::new();
    let mut failures = Vec::new();
    for i in 0..graphs {
        let seed = random.bits();
        let mut made = if i % 2 == 0 { Made::new(seed, TOKENS) } else { Made::attending(seed, FEW) };
        let shown = OnPanic(format!("graph {i}, seed {seed}:\n{}", made.graph));
        let tested = test(i, &mut made);
        drop(shown);
        if let Err(problem) = tested {
            println!("graph {i}, seed {seed}: {problem}\n{}", made.graph);
            failures.push(format!("graph {i}, seed {seed}: {problem}"));
        }
    }
    assert!(failures.is_empty(), "{} of {graphs} graphs failed:\n{}", failures.len(), failures.join("\n"));
}

/// An error over the bound.
fn within(bound: f32, what: &str, (error, at): (f32, String)) -> Result<(), String> {
    if error <= bound { Ok(()) } else { Err(format!("{what}: {error} over {bound} at {at}")) }
}

/// What each rule of fusion leaves in a printed graph.
const TRACES: [(&str, &str); 10] = [
    ("projections of one input are packed", "|"),
    ("a norm goes into a product", "prologue: Rms"),
    ("a gate goes into a norm", "gated: true"),
    ("a sum goes into what it adds", "residual: true"),
    ("a norm and a sum go into a convolution", "norm_conv("),
    ("a layer norm goes into a product", "prologue: Layer"),
    ("a gate goes into the product before it", "epilogue: Swiglu"),
    ("a layer makes its operands", "front: Some"),
    ("attention keeps keys and values", "attend_append("),
    ("a scan goes in two passes", "ttt_linear_outputs("),
];

#[test]
fn fused_graphs_equal_unfused_on_the_cpu_device() {
    let cpu = Device::cpu();
    let mut applied = [0; TRACES.len()];
    on_random_graphs(FUSED_GRAPHS, |_, made| {
        let steps = made.steps();
        let wanted = run(&cpu, made, &made.graph, &steps)?;
        let fused = fuse(made.graph.clone(), &faster_in_two_passes(made, cpu.caps()));
        for (applied, (_, trace)) in applied.iter_mut().zip(TRACES) {
            let count = |g: &Graph| g.to_string().matches(trace).count();
            *applied += usize::from(count(&fused) > count(&made.graph));
        }
        within(FUSED, "fused", worst(&run(&cpu, made, &fused, &steps)?, &wanted)).map_err(|e| format!("{e}\n{fused}"))
    });
    for (applied, (rule, _)) in applied.into_iter().zip(TRACES) {
        assert!(applied >= 5, "{rule}: in {applied} graphs only, too few to mean anything");
    }
}

#[test]
fn the_software_gpu_equals_the_cpu_device() {
    let (cpu, gpu) = (Device::cpu(), software());
    on_random_graphs(GRAPHS, |i, made| {
        let steps = made.steps();
        let wanted = run(&cpu, made, &made.graph, &steps)?;
        within(BOUND, "software GPU", worst(&run(&gpu, made, &made.graph, &steps)?, &wanted))?;
        if i % 4 == 0 {
            let fused = fuse(made.graph.clone(), &faster_in_two_passes(made, gpu.caps()));
            let found = worst(&run(&gpu, made, &fused, &steps)?, &wanted);
            within(BOUND, "fused on the software GPU", found).map_err(|e| format!("{e}\n{fused}"))?;
        }
        Ok(())
    });
}
