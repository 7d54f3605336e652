//! Faults that are planted into launches: the conformance check finds each, and says where.

use fastweight::kernels::{Case, KERNELS, Launch};
use fastweight::verify::{Line, check_launches, kernel, variants};
use fastweight_tests::software;

/// The first case of a kernel with this word in its name, and its first variant.
pub(super) fn case(kernel: &str, word: &str) -> (Case, Launch) {
    let (_, cases) = KERNELS.iter().find(|(name, _)| *name == kernel).expect("a kernel");
    let case = cases().into_iter().find(|case| case.name.contains(word)).expect("a case");
    let launch = variants(&case, software().caps()).expect("the case fits").0.swap_remove(0);
    (case, launch)
}

/// The line of a kernel of which this launch of a case is run.
fn line(name: &str, case: &Case, launch: Launch) -> Line {
    let mut line = Line::new(name);
    line.add(case, pollster::block_on(check_launches(&software(), case, vec![launch])).expect("the device works"));
    line
}

/// The launch with another value of an override.
fn with(mut launch: Launch, name: &'static str, value: f64) -> Launch {
    launch.overrides.retain(|(n, _)| *n != name);
    launch.set(name, value)
}

#[test]
fn a_wrong_number_is_named_with_kernel_case_and_variant() {
    let (case, launch) = case("rms_norm", "");
    assert!(line("rms_norm", &case, launch.clone()).passed);
    let line = line("rms_norm", &case, with(launch.clone(), "EPS", 0.5));
    assert!(!line.passed && line.worst > 1.0);
    let [failure] = &line.failures[..] else { panic!("{:?}", line.failures) };
    assert_eq!((&failure.case, failure.variant.as_ref()), (&case.name, Some(&launch.name())));
    assert!(failure.error > failure.bound);
    assert!(failure.at.contains("element") && failure.at.contains("wanted"), "{failure}");
    assert!(failure.to_string().contains(&case.name) && failure.to_string().contains(&launch.name()), "{failure}");
}

#[test]
fn a_result_that_is_no_number_fails() {
    let (case, launch) = case("rms_norm", "");
    // The root of a negative number.
    let line = line("rms_norm", &case, with(launch, "EPS", -1e6));
    assert!(!line.passed && line.worst == f32::MAX, "{line:?}");
    assert!(!serde_json::to_string(&line).expect("a form in JSON").contains("null"));
}

#[test]
fn a_shader_that_the_driver_rejects_is_a_failure_of_its_variant() {
    let (case, launch) = case("rms_norm", "");
    // The shader has a function of this name.
    let launch = launch.constant("main", 1);
    let line = line("rms_norm", &case, launch.clone());
    let [failure] = &line.failures[..] else { panic!("{:?}", line.failures) };
    assert_eq!(failure.variant, Some(launch.name()));
    assert!(failure.at.contains("rejected"), "{failure}");
}

#[test]
fn a_line_counts_what_was_run_and_stops_when_told() {
    let (_, cases) = KERNELS.iter().find(|(name, _)| *name == "add").expect("a kernel");
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.startup).collect();
    let all = pollster::block_on(kernel(&software(), "add", &cases, || true)).expect("the device works");
    assert!(all.passed && all.failures.is_empty() && all.skipped.is_empty(), "{all:?}");
    assert_eq!((all.kernel.as_str(), all.cases), ("add", cases.len()));
    assert_eq!(all.variants.len(), 1);
    let one = pollster::block_on(kernel(&software(), "add", &cases, || false)).expect("the device works");
    assert_eq!(one.cases, 1);
    // A driver that ends every loop at once: nothing is run, and that is told.
    let none = software().with_caps(|caps| caps.loop_rounds = 0);
    let (case, launch) = case("selective_scan", "");
    let none = pollster::block_on(kernel(&none, "selective_scan", &[case], || true)).expect("the device works");
    assert!(none.variants.is_empty() && none.skipped.contains(&launch.name()), "{none:?}");
}
