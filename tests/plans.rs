//! Random plans: the software GPU against the CPU device, fused against unfused, and what the planner promises.

#[path = "plans/made.rs"]
mod made;
#[path = "plans/run.rs"]
mod run;
#[path = "plans/ranges.rs"]
mod ranges;

use fastweight::device::Device;
use fastweight::graph::fuse::fuse;
use fastweight_tests::{Random, software};

use made::Made;
use run::{BOUND, run, worst};

/// Graphs that are tried.
const GRAPHS: usize = 200;
/// Capacity of the token axis: never all of it is live.
const TOKENS: usize = 20;

/// Runs `test` on random graphs; it returns what failed. Every failing graph is printed with its seed.
fn on_random_graphs(mut test: impl FnMut(usize, &mut Made) -> Result<(), String>) {
    let mut random = Random::new();
    let mut failures = Vec::new();
    for i in 0..GRAPHS {
        let seed = random.bits();
        let mut made = Made::new(seed, TOKENS);
        if let Err(problem) = test(i, &mut made) {
            println!("graph {i}, seed {seed}: {problem}\n{}", made.graph);
            failures.push(format!("graph {i}, seed {seed}: {problem}"));
        }
    }
    assert!(failures.is_empty(), "{} of {GRAPHS} graphs failed:\n{}", failures.len(), failures.join("\n"));
}

/// An error over the bound.
fn within(bound: f32, what: &str, (error, at): (f32, String)) -> Result<(), String> {
    if error <= bound { Ok(()) } else { Err(format!("{what}: {error} over {bound} at {at}")) }
}

#[test]
fn fused_graphs_equal_unfused_on_the_cpu_device() {
    let cpu = Device::cpu();
    let mut fewer = 0;
    let mut most = 0f32;
    on_random_graphs(|_, made| {
        let steps = made.steps();
        let wanted = run(&cpu, made, &made.graph, &steps)?;
        let fused = fuse(made.graph.clone());
        let lines = |g: &fastweight::graph::Graph| g.to_string().lines().count();
        fewer += usize::from(lines(&fused) < lines(&made.graph));
        let w = worst(&run(&cpu, made, &fused, &steps)?, &wanted);
        most = most.max(w.0);
        within(BOUND, "fused", w).map_err(|e| format!("{e}\n{fused}"))
    });
    println!("{fewer} fused, worst {most}");
    assert!(fewer > GRAPHS / 2, "fusion found something to do in {fewer} graphs only");
}

#[test]
fn the_software_gpu_equals_the_cpu_device() {
    let (cpu, gpu) = (Device::cpu(), software());
    let mut most = 0f32;
    on_random_graphs(|i, made| {
        let steps = made.steps();
        let wanted = run(&cpu, made, &made.graph, &steps)?;
        let w = worst(&run(&gpu, made, &made.graph, &steps)?, &wanted);
        most = most.max(w.0);
        within(BOUND, "GPU", w)?;
        if i % 4 == 0 {
            let fused = fuse(made.graph.clone());
            within(BOUND, "fused GPU", worst(&run(&gpu, made, &fused, &steps)?, &wanted)).map_err(|e| format!("{e}\n{fused}"))?;
        }
        Ok(())
    });
    println!("worst {most}");
}
