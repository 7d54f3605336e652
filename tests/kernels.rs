//! Every kernel and every variant on the software GPU, against the reference.

use fastweight::device::Device;
use fastweight::kernels::{Case, KERNELS};
use fastweight::verify::check;
use fastweight_tests::{software, weakest};

#[path = "kernels/loops.rs"]
mod loops;
#[path = "kernels/planted.rs"]
mod planted;
#[path = "kernels/shapes.rs"]
mod shapes;
#[path = "kernels/tuning.rs"]
mod tuning;

/// Runs cases, each with the name of its kernel, and reports every failing one.
fn report(device: &Device, cases: Vec<(&str, Case)>) {
    let mut failures = Vec::new();
    for (kernel, case) in &cases {
        match pollster::block_on(check(device, case)) {
            Ok(outcomes) => {
                assert!(!outcomes.is_empty(), "{kernel} {} has no variant", case.name);
                let failed = outcomes.iter().filter(|o| !o.passed());
                failures.extend(
                    failed.map(|o| format!("{kernel} {}: {} over {} at {}, {}", case.name, o.worst, o.bound, o.at, o.variant)),
                );
            }
            Err(e) => failures.push(format!("{kernel} {}: {e}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{} failures in {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// The cases of every kernel that `wanted` lets through.
fn cases(wanted: impl Fn(&Case) -> bool) -> Vec<(&'static str, Case)> {
    let mut all = Vec::new();
    for (name, cases) in KERNELS {
        let before = all.len();
        all.extend(cases().into_iter().filter(&wanted).map(|case| (*name, case)));
        assert!(all.len() > before, "{name} has no case");
    }
    all
}

/// The cases of the kernels that `wanted` names.
fn cases_of(wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, Case)> {
    let cases: Vec<_> = cases(|_| true).into_iter().filter(|(kernel, _)| wanted(kernel)).collect();
    assert!(!cases.is_empty(), "no kernel has that name");
    cases
}

// In three tests, which run side by side: most of their time goes into compiling.

#[test]
fn cases_of_products_pass_on_the_software_gpu() {
    report(&software(), cases_of(|kernel| kernel.starts_with("mat")));
}

#[test]
fn cases_of_ttt_pass_on_the_software_gpu() {
    report(&software(), cases_of(|kernel| kernel.starts_with("ttt")));
}

#[test]
fn other_cases_pass_on_the_software_gpu() {
    report(&software(), cases_of(|kernel| !kernel.starts_with("mat") && !kernel.starts_with("ttt")));
}

#[test]
fn startup_cases_pass_at_default_limits() {
    report(&weakest(), cases(|case| case.startup));
}
