//! The command line, as a user runs it: the built program, its outputs and exit codes.

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/chat.rs"]
mod chat;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/hub.rs"]
mod hub;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/verify.rs"]
mod verify;

use std::process::{Command, Stdio};

use fastweight_tests::fixtures::{self, shipped};
use serde_json::Value;

use program::{command, run, text};

/// Runs, expects success, and returns stdout.
fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn generate_writes_text_to_stdout_and_the_rest_to_stderr() {
    let args = ["-d", "cpu", "generate", "Once upon a time", "-n", "24", "-s", "7"];
    let output = run(&args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && !out.is_empty());
    for word in ["device: cpu", "seed 7", "temp 0.8", "prefill:", "tokens/s"] {
        assert!(err.contains(word) && !out.contains(word), "{word} belongs on stderr:\n{err}");
    }
    assert_eq!(out, stdout(&args), "the same seed writes the same text");
    assert_ne!(out, stdout(&["-d", "cpu", "generate", "Once upon a time", "-n", "24", "-s", "8"]));
    assert!(text(&run(&["-q", "-d", "cpu", "generate", "Once", "-n", "2"]).stderr).is_empty());
}

#[test]
fn prompts_come_from_arguments_files_and_stdin() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, "The king").expect("a file");
    let base = ["-d", "cpu", "-q", "generate", "-n", "8", "-s", "1"];
    let with = |more: &[&str]| stdout(&[&base[..], more].concat());
    let wanted = with(&["The king"]);
    assert_eq!(with(&["-f", file.to_str().expect("UTF-8")]), wanted);
    let mut child = command(&base).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), b"The king").expect("a pipe");
    assert_eq!(text(&child.wait_with_output().expect("an end").stdout), wanted);
}

#[test]
fn a_saved_text_goes_on_as_if_it_had_not_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let state = state.to_str().expect("UTF-8");
    let base = ["-d", "cpu", "-q", "generate"];
    let with = |more: &[&str]| stdout(&[&base[..], more].concat());
    let whole = with(&["Once upon a time", "-n", "40", "-s", "5", "--temp", "1.1"]);
    let first = with(&["Once upon a time", "-n", "15", "-s", "5", "--temp", "1.1", "--save-state", state]);
    let rest = with(&["-n", "25", "--load-state", state]);
    assert_eq!(format!("{first}{rest}"), whole);
}

#[test]
fn logits_are_the_same_for_any_split_and_on_both_devices() {
    let logits = |device: &str, more: &[&str]| -> Value {
        let args =
            [&["-q", "--json", "-d", device, "logits", "--ids", "5,77,300,4,9,1000,31,8,2,2,6,11,40,41,42,43,44,45"][..], more]
                .concat();
        serde_json::from_str(&stdout(&args)).expect("JSON")
    };
    let whole = logits("cpu", &["--positions", "0,9,17"]);
    assert_eq!(whole["positions"], serde_json::json!([0, 9, 17]));
    assert_eq!(whole["logits"].as_array().map(Vec::len), Some(3));
    let numbers =
        |v: &Value| -> Vec<f64> { serde_json::from_value::<Vec<Vec<f64>>>(v["logits"].clone()).expect("numbers").concat() };
    for other in [logits("cpu", &["--split", "5,7,17", "--positions", "0,9,17"]), logits("software", &["--positions", "0,9,17"])]
    {
        let worst = numbers(&whole).iter().zip(numbers(&other)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{worst}");
    }
    assert_eq!(logits("cpu", &[])["positions"].as_array().map(Vec::len), Some(18));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("logits.f32");
    let file = file.to_str().expect("UTF-8");
    let ids = ["-q", "-d", "cpu", "logits", "--ids", "5,77,300,4", "--positions", "1,3"];
    assert_eq!(stdout(&[&ids[..], &["--out", file]].concat()), "");
    let shape: Value = serde_json::from_str(&stdout(&[&ids[..], &["--out", file, "--json"]].concat())).expect("JSON");
    assert_eq!(shape, serde_json::json!({ "positions": [1, 3], "vocabulary": 4096 }));
    let printed: Value = serde_json::from_str(&stdout(&[&ids[..], &["--json"]].concat())).expect("JSON");
    let printed: Vec<Vec<f32>> = serde_json::from_value(printed["logits"].clone()).expect("numbers");
    let bytes = std::fs::read(file).expect("a file");
    let written: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
    assert_eq!(written, printed.concat(), "rows of f32, as --json prints them");
}

#[test]
fn devices_inspect_and_tokenize_speak_json() {
    let devices: Value = serde_json::from_str(&stdout(&["devices", "--json"])).expect("JSON");
    let ids: Vec<&str> = devices["adapters"].as_array().expect("a list").iter().filter_map(|a| a["id"].as_str()).collect();
    assert!(!ids.is_empty(), "the tests need a software Vulkan driver");
    let listed = stdout(&["devices"]);
    for id in &ids {
        assert!(listed.contains(id));
        // What is listed can be asked for.
        let output = run(&["-d", id, "logits", "--ids", "1"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let inspected: Value = serde_json::from_str(&stdout(&["inspect", "--json"])).expect("JSON");
    assert_eq!(inspected["parameters"], 6_005_624);
    assert_eq!(inspected["family"], "ttt");
    assert!(stdout(&["inspect", "--graph", "--plan", "-d", "cpu"]).contains("ttt_linear_rows"));
    let tokens: Value = serde_json::from_str(&stdout(&["tokenize", "--json", "Once upon a time"])).expect("JSON");
    assert_eq!(tokens["ids"].as_array().map(Vec::len), tokens["tokens"].as_array().map(Vec::len));
    let pieces = stdout(&["-d", "cpu", "-q", "--json", "generate", "Once", "-n", "3", "--logprobs", "2"]);
    let lines: Vec<Value> = pieces.lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect();
    assert_eq!(lines[0]["top"].as_array().map(Vec::len), Some(2));
    assert_eq!(lines.last().expect("a summary")["finish"], "length");
    assert!(stdout(&["completions", "bash"]).contains("fastweight"));
}

#[test]
fn convert_writes_models_that_run_and_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_string();
    let (shipped, whole, back) = (shipped(), path("whole.gguf"), path("back/model.safetensors"));
    let shipped = shipped.to_str().expect("UTF-8");
    std::fs::create_dir(folder.path().join("back")).expect("a folder");
    stdout(&["-q", "convert", shipped, &whole, "--outtype", "f32"]);
    stdout(&["-q", "convert", &whole, &back, "--outtype", "f32"]);
    stdout(&["-q", "convert", shipped, &path("small.gguf"), "--outtype", "q8_0"]);
    let write = |model: &str, more: &[&str]| {
        let args = ["-q", "-d", "cpu", "-m", model, "generate", "Once upon a time", "-n", "24", "--temp", "0"];
        stdout(&[&args[..], more].concat())
    };
    let wanted = write(shipped, &[]);
    assert_eq!(write(&whole, &[]), wanted);
    assert_eq!(write(&path("back"), &[]), wanted, "a folder with all that belongs to it");
    assert_eq!(write(&path("small.gguf"), &[]), write(shipped, &["--dtype", "q8_0"]));
    // A folder with one GGUF is that model.
    std::fs::create_dir(folder.path().join("one")).expect("a folder");
    std::fs::rename(path("small.gguf"), path("one/small.gguf")).expect("a move");
    let inspected: Value = serde_json::from_str(&stdout(&["-m", &path("one"), "--json", "inspect"])).expect("JSON");
    assert_eq!(inspected["family"], "ttt");

    let before = std::fs::read(&whole).expect("the file");
    for (args, word) in [
        (vec!["convert", shipped, &whole, "--outtype", "q4_0"], "--force"),
        (vec!["convert", &whole, &back], "--force"),
        (vec!["convert", shipped, &path("x.onnx")], ".gguf or .safetensors"),
        (vec!["convert", shipped, &path("x.safetensors"), "--outtype", "q8_0"], "q8_0"),
        (vec!["convert", "no/such", &path("x.gguf")], "no/such"),
        (vec!["convert", shipped, &path("no/such/x.gguf")], "no/such"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(word), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(std::fs::read(&whole).expect("the file"), before, "nothing was touched");
    stdout(&["-q", "convert", shipped, &whole, "--outtype", "q4_0", "--force"]);
    assert!(std::fs::metadata(&whole).expect("the file").len() < before.len() as u64 / 4);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 3, "no unfinished file is left: {left:?}");
}

#[test]
fn mistakes_have_exit_codes_and_words() {
    let llama = fixtures::path("llama/gqa-untied");
    let llama = llama.to_str().expect("a path in UTF-8");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["generate", "x", "--temp", "warm"], 2, "--temp"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["-d", "gpu", "devices"], 2, "vulkan:N"),
        (&["-d", "vulkan:99", "generate", "x"], 1, "vulkan:99"),
        (&["-d", "name:no such thing", "generate", "x"], 1, "no such thing"),
        (&["-m", "no/such/model", "generate", "x"], 1, "no/such/model"),
        (&["-m", "nosuchmodel", "generate", "x"], 1, "tried"),
        (&["-d", "cpu", "generate", ""], 1, "prompt is empty"),
        (&["-d", "cpu", "generate", "x", "--top-p", "1.5"], 1, "top_p"),
        (&["-d", "cpu", "generate", "x", "--temp", "nan"], 1, "temperature"),
        (&["-d", "cpu", "logits", "--ids", "1,99999"], 1, "99999"),
        (&["-d", "cpu", "logits", "--ids", "1,2", "--split", "9"], 1, "--split"),
        (&["logits", "--ids", "1", "--out", "no/such/logits.f32"], 1, "no/such does not exist"),
        (&["-d", "cpu", "generate", "--load-state", "/dev/null"], 1, "session state"),
        (&["-t", "0", "devices"], 2, "1 to 1024"),
        (&["-m", llama, "-d", "cpu", "-c", "3", "logits", "--ids", "1,2,3,4"], 1, "its context of 3"),
        (&["--cache-type", "q8_0", "devices"], 2, "f32 or f16"),
        (&["--dtype", "q3_k", "inspect"], 2, "q8_0, q4_0"),
    ];
    for (args, code, word) in cases {
        let output = run(args);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: {err}");
        assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error_and_an_interrupt_saves() {
    // `| head -c 1`: the reader goes away after the first byte.
    let mut child = command(&["-q", "-d", "cpu", "generate", "Once", "-n", "2000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut byte = [0];
    std::io::Read::read_exact(&mut child.stdout.take().expect("piped"), &mut byte).expect("a first byte");
    assert_eq!(child.wait().expect("an end").code(), Some(0));

    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let args = ["-q", "-d", "cpu", "generate", "Once", "-n", "1000000", "--save-state", state.to_str().expect("UTF-8")];
    let mut child = command(&args).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut out = child.stdout.take().expect("piped");
    std::io::Read::read_exact(&mut out, &mut byte).expect("a first byte");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    std::io::Read::read_to_end(&mut out, &mut Vec::new()).expect("the rest");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(!stdout(&["-q", "-d", "cpu", "generate", "-n", "4", "--load-state", state.to_str().expect("UTF-8")]).is_empty());
}

#[test]
fn bench_models_measures_models_without_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results.json");
    let few = ["--families", "mamba,transformer", "--sizes", "tiny", "--contexts", "250", "--batch", "2", "-p", "16", "-n", "2"];
    let args = ["-q", "-d", "cpu", "bench", "models", "-r", "1", "--only", "tg2", "--out", file.to_str().expect("UTF-8")];
    stdout(&[&args[..], &few].concat());
    let written = std::fs::read_to_string(&file).expect("the results");
    let results = fastweight::bench::results::Results::parse("results.json", &written).expect("valid results");
    let names: Vec<String> = results.measurements.iter().map(|m| format!("{} {}", m.subject, m.name)).collect();
    assert_eq!(
        names,
        ["mamba tiny f16 tg2", "mamba tiny f16 tg2 @ d256", "transformer tiny f16 tg2", "transformer tiny f16 tg2 @ d256"]
    );
    let refused = run(&["-d", "cpu", "bench", "models", "--sizes", "7b"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("tiny, 125m, 350m, 760m, 1.3b"));
}
