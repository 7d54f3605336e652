//! `fastweight bench`, measuring: what its results hold, and what becomes of them when it is interrupted. No time is judged but as a share of the
//! device's own ceiling. One test at a time, in a program of their own: what is measured side by side is measured wrong.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastweight::bench::results::{Results, Section};
use fastweight::kernels::KERNELS;

#[path = "cli/program.rs"]
mod program;

use program::{command, run, text};

/// Held by the test that measures.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a bench into a file, and reads that.
fn measured(args: &[&str]) -> Results {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("results.json");
    let file = out.to_str().expect("its name is UTF-8");
    let output = run(&[args, &["--out", file]].concat());
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    let results = std::fs::read_to_string(&out).expect("it was written");
    Results::parse(file, &results).unwrap_or_else(|e| panic!("{args:?}: {e}"))
}

#[test]
fn a_quick_run_covers_every_kernel_and_four_models() {
    let _alone = alone();
    let results = measured(&["bench", "--quick", "-r", "3", "-d", "software"]);
    assert_eq!(results.invalid, Vec::<String>::new());
    assert!(results.complete && results.valid);
    let names = |section: Section| -> BTreeSet<&str> {
        results.measurements.iter().filter(|m| m.section == section).map(|m| m.name.as_str()).collect()
    };
    let ceilings = ["multiply_add", "stream_copy", "stream_read"];
    let kernels: BTreeSet<&str> = KERNELS.iter().map(|(name, _)| *name).filter(|name| !ceilings.contains(name)).collect();
    assert_eq!(names(Section::Kernels), kernels);
    assert_eq!(names(Section::Device), ["copy", "dispatch", "multiply-add", "read", "read-back", "submit"].into());
    for family in ["ttt-linear", "ttt-mlp", "transformer", "mamba"] {
        for row in ["pp", "tg"] {
            let found = results.measurements.iter().any(|m| {
                m.section == Section::Models && m.subject.starts_with(&format!("{family} tiny")) && m.name.starts_with(row)
            });
            assert!(found, "{row} of {family}");
        }
    }
    let verified = results.verified.expect("the kernels are verified first");
    assert_eq!((verified.kernels, verified.failures.len()), (KERNELS.len(), 0));
    // Before, between and after the sections.
    assert!(results.sentinels.len() > 2 && results.sentinels[0].after == "start");
}

#[test]
fn only_what_is_named_is_measured() {
    let _alone = alone();
    let results = measured(&["bench", "device", "--quick", "-r", "2", "-d", "cpu", "--only", "rms_norm"]);
    let kernels: BTreeSet<&str> =
        results.measurements.iter().filter(|m| m.section == Section::Kernels).map(|m| m.name.as_str()).collect();
    assert_eq!(kernels, ["group_rms_norm", "rms_norm"].into());
    assert!(results.measurements.iter().all(|m| m.samples.len() == 2));
}

#[cfg(unix)]
#[test]
fn what_was_measured_survives_an_interruption() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("results.json");
    let file = out.to_str().expect("its name is UTF-8");
    // A rest before each sample keeps it busy for minutes, were it not interrupted.
    let args = ["bench", "device", "--quick", "-r", "2", "-d", "cpu", "--delay", "100ms", "--out", file];
    let mut bench =
        command(&args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let began = Instant::now();
    while !out.exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no section was finished");
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = bench.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill is there").success());
    assert_eq!(bench.wait().expect("it ends").code(), Some(130));
    let results = Results::parse(file, &std::fs::read_to_string(&out).expect("it was written")).expect("it is whole");
    assert!(!results.complete);
    assert!(results.measurements.iter().any(|m| m.section == Section::Device));
}

#[test]
fn a_profile_names_every_step() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace.json");
    let file = trace.to_str().expect("its name is UTF-8");
    for device in ["cpu", "software"] {
        let args = [
            "generate",
            "Once upon a time",
            "-n",
            "4",
            "--temp",
            "0",
            "-d",
            device,
            "--json",
            "--profile",
            "--profile-trace",
            file,
        ];
        let output = run(&args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let out = text(&output.stdout);
        let summary: serde_json::Value = serde_json::from_str(out.lines().last().expect("a summary")).expect("JSON");
        let lines = summary["profile"].as_array().expect("a profile");
        let shares: f64 = lines.iter().map(|line| line["share"].as_f64().expect("a share")).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{shares}");
        let counted: u64 = lines.iter().map(|line| line["count"].as_u64().expect("a count")).sum();
        let trace: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&trace).expect("written")).expect("JSON");
        assert_eq!(trace["traceEvents"].as_array().map(|events| events.len() as u64), Some(counted));
        assert!(lines.iter().any(|line| line["kernel"] == "ttt_linear"), "{lines:?}");
    }
}
