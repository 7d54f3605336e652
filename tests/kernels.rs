//! Every kernel and every variant on the software GPU, against the reference.

use fastweight::device::Device;
use fastweight::kernels::{Case, KERNELS};
use fastweight::verify::check;
use fastweight_tests::{software, weakest};

/// Runs cases of every kernel that `wanted` lets through, and reports every failing one.
fn expect_all(device: &Device, wanted: impl Fn(&Case) -> bool) {
    let mut failures = Vec::new();
    for (name, cases) in KERNELS {
        let start = std::time::Instant::now();
        let cases: Vec<Case> = cases().into_iter().filter(&wanted).collect();
        assert!(!cases.is_empty(), "{name} has no case");
        for case in &cases {
            match pollster::block_on(check(device, case)) {
                Ok(outcomes) => {
                    assert!(!outcomes.is_empty(), "{name} {} has no variant", case.name);
                    let failed = outcomes.iter().filter(|o| !o.passed());
                    failures.extend(
                        failed.map(|o| format!("{name} {}: {} over {} at {}, {}", case.name, o.worst, o.bound, o.at, o.variant)),
                    );
                }
                Err(e) => failures.push(format!("{name} {}: {e}", case.name)),
            }
        }
        println!("{name}: {} cases in {:?}", cases.len(), start.elapsed());
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cases_pass_on_the_software_gpu() {
    expect_all(&software(), |_| true);
}

#[test]
fn startup_cases_pass_at_default_limits() {
    expect_all(&weakest(), |case| case.startup);
}
