//! `fastweight verify`, and what a device's first use leaves behind.

use std::path::Path;
use std::process::Command;

use fastweight_tests::fixtures;
use serde_json::{Value, json};

use super::{command, run, stdout, text};

#[test]
fn verify_tells_a_line_a_kernel() {
    let some = ["-d", "software", "verify", "--quick", "--kernel", "rms_norm", "--kernel", "ttt_linear"];
    let report: Value = serde_json::from_str(&stdout(&[&some[..], &["--json"]].concat())).expect("JSON");
    assert_eq!(json!([report["passed"], report["quick"], report["interrupted"]]), json!([true, true, false]));
    assert_eq!(json!([report["device"]["backend"], report["device"]["kind"]]), json!(["vulkan", "software"]));
    assert!(report["device"]["driver"].as_str().is_some_and(|driver| !driver.is_empty()));
    assert!(report["caps"]["workgroup_bytes"].as_u64().is_some_and(|bytes| bytes >= 16 << 10));
    let kernels = report["kernels"].as_array().expect("a list");
    let names: Vec<&str> = kernels.iter().filter_map(|line| line["kernel"].as_str()).collect();
    assert_eq!(names, ["rms_norm", "ttt_linear"]);
    for line in kernels {
        let worst = line["worst"].as_f64().expect("a number");
        assert!(line["passed"] == true && (0.0..=1.0).contains(&worst), "{line}");
        assert!(line["cases"].as_u64().is_some_and(|n| n > 2), "{line}");
        assert_eq!(line["failures"], json!([]));
    }
    let variants = kernels[1]["variants"].as_array().expect("a list");
    assert!(variants.iter().any(|v| v.as_str().is_some_and(|v| v.starts_with("ttt_linear_rows"))), "{variants:?}");

    let without = ["-q", "-d", "software", "verify", "--quick", "--kernel", "matmul", "--kernel", "add", "--without-features"];
    let report: Value = serde_json::from_str(&stdout(&[&without[..], &["--json"]].concat())).expect("JSON");
    assert_eq!(json!([report["caps"]["shader_f16"], report["caps"]["subgroups"]]), json!([false, null]));
    assert_eq!(report["passed"], true);
    let table = run(&["-d", "software", "verify", "--quick", "--kernel", "add"]);
    let (out, err) = (text(&table.stdout), text(&table.stderr));
    assert!(table.status.success() && out.contains("add") && out.contains("1 of 1 kernels passed"), "{out}");
    assert!(err.contains("device:") && !out.contains("device:"), "{err}");
}

#[test]
fn verify_refuses_to_verify_nothing() {
    for (args, code, words) in [
        (&["-d", "cpu", "verify"][..], 1, &["nothing to verify", "--device"][..]),
        (&["-d", "software", "verify", "--kernel", "no_such"], 2, &["no_such"]),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(output.stdout.is_empty());
        let err = text(&output.stderr);
        assert!(words.iter().all(|word| err.contains(word)), "{args:?}: {err}");
    }
}

/// Logits of a small model on the software GPU, whose kernels are checked first, with this folder for what is remembered.
fn first_use(cache: &Path) -> Command {
    let mut command = command(&["-d", "software", "logits", "--ids", "1,2,3", "--positions", "2"]);
    command.env("FASTWEIGHT_MODEL", fixtures::path("llama/gqa-untied")).env("XDG_CACHE_HOME", cache);
    command.env_remove("FASTWEIGHT_NO_TUNE");
    command
}

#[test]
fn what_a_first_use_found_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cache, tuning) = (folder.path(), folder.path().join("fastweight/tuning"));
    // Whether a use checked the kernels, and the one file that it leaves.
    let first_use = |more: &[&str]| {
        let output = first_use(cache).args(more).output().expect("the program starts");
        let err = text(&output.stderr);
        assert!(output.status.success(), "{err}");
        let files: Vec<_> = std::fs::read_dir(&tuning).into_iter().flatten().map(|e| e.expect("an entry").path()).collect();
        (err.contains("checking the kernels on"), files, output.stdout)
    };
    let (checked, files, _) = first_use(&["--no-tune"]);
    assert!(!checked && files.is_empty());
    let (checked, files, logits) = first_use(&[]);
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(checked);
    let written = std::fs::read_to_string(file).expect("the file");
    let remembered: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(remembered["key"]["device"]["backend"], "vulkan");
    assert_eq!(remembered["key"]["engine"], env!("CARGO_PKG_VERSION"));
    assert!(remembered["tuning"]["right"].as_array().is_some_and(|right| right.len() > 5));

    let unchanged = |when: &str| {
        let (checked, files, again) = first_use(&[]);
        assert!(!checked && files == [file.clone()] && again == logits, "{when}");
        assert_eq!(std::fs::read_to_string(file).expect("the file"), written, "{when}");
    };
    unchanged("a second use");
    // Damaged, or of another driver or engine: found out and written anew.
    let engine = concat!("\"engine\": \"", env!("CARGO_PKG_VERSION"), "\"");
    let foreign = written.replacen(engine, "\"engine\": \"0.0.0\"", 1);
    assert_ne!(foreign, written);
    for damaged in [&written[..written.len() / 2], foreign.as_str()] {
        std::fs::write(file, damaged).expect("a file");
        let (checked, files, _) = first_use(&[]);
        assert!(checked && files.len() == 1, "{damaged}");
        let rewritten = std::fs::read_to_string(file).expect("the file");
        let rewritten: Value = serde_json::from_str(&rewritten).expect("JSON");
        assert_eq!((&rewritten["key"], &rewritten["tuning"]["right"]), (&remembered["key"], &remembered["tuning"]["right"]));
    }

    // What is wrong there is not used: without another variant that is an error with its name.
    let mut remembered = remembered;
    let right = remembered["tuning"]["right"].as_array_mut().expect("a list");
    let i = right.iter().position(|v| v.as_str().is_some_and(|v| v.starts_with("rope"))).expect("a Transformer turns");
    let name = right.remove(i);
    let name = name.as_str().expect("a name");
    remembered["tuning"]["wrong"][name] = "case planted: error 1 over 0".into();
    std::fs::write(file, remembered.to_string()).expect("a file");
    let output = self::first_use(cache).output().expect("the program starts");
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!([name, "case planted: error 1 over 0"].iter().all(|word| err.contains(word)), "{err}");
}

#[test]
fn what_the_driver_compiled_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipelines = folder.path().join("fastweight/pipelines");
    let logits = || {
        let output = first_use(folder.path()).arg("--no-tune").output().expect("the program starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let wanted = logits();
    let files: Vec<_> = std::fs::read_dir(&pipelines).expect("its folder").map(|e| e.expect("an entry").path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let written = std::fs::read(file).expect("the file");
    assert!(written.len() > 32, "a digest and something more");
    assert_eq!(logits(), wanted);
    assert_eq!(std::fs::read(file).expect("the file"), written, "nothing new was compiled");
    // What is damaged never reaches the driver.
    let mut flipped = written.clone();
    flipped[40] ^= 1;
    for damaged in [&written[..written.len() - 1], &written[..7], &flipped] {
        std::fs::write(file, damaged).expect("a file");
        assert_eq!(logits(), wanted);
        assert_eq!(std::fs::read(file).expect("the file"), written, "written anew");
    }
}
