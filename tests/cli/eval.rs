//! `fastweight eval`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{run, stdout, text};

/// Two short books in a folder.
fn books() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let stories =
        ["The king had three sons, and the youngest was called Hans.\n", "“Come in,” said the fox to the old grey goose.\n"];
    let write = |(i, story): (usize, &&str)| {
        let path = folder.path().join(format!("book, no. {i}.txt"));
        std::fs::write(&path, story.repeat(30)).expect("a file");
        path
    };
    let files = stories.iter().enumerate().map(write).collect();
    (folder, files)
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn eval_reports_numbers_as_text_json_csv_and_figure() {
    let (folder, files) = books();
    let (csv, svg) = (folder.path().join("curve.csv"), folder.path().join("curve.svg"));
    let (a, b) = (name(&files[0]), name(&files[1]));
    let base = ["-q", "-d", "cpu", "eval", "-c", "64", "-f", a, b, "--learning", "1", "--learning", "0"];
    let printed = stdout(&[&base[..], &["--json", "--csv", name(&csv), "--svg", name(&svg)]].concat());
    let json: Value = serde_json::from_str(&printed).expect("JSON");
    let results = json["results"].as_array().expect("a list");
    assert_eq!((results.len(), &json["device"], &json["interrupted"]), (2, &"cpu".into(), &false.into()));
    let trained = &results[0];
    assert_eq!((&trained["window"], &trained["stride"], &trained["opening"]), (&64.into(), &64.into(), &serde_json::json!([])));
    let number = |value: &Value| value.as_f64().expect("a number");
    let loss = number(&trained["loss"]["mean"]);
    assert!((number(&trained["perplexity"]["mean"]).ln() - loss).abs() < 1e-9);
    let bits = loss * number(&trained["tokens"]) / number(&trained["bytes"]) * std::f64::consts::LOG2_E;
    assert!((number(&trained["bits_per_byte"]["mean"]) - bits).abs() < 1e-9);
    // A story told thirty times is learned.
    assert!(number(&results[1]["difference"]["mean"]) > 0.0 && trained["difference"].is_null());

    let mut table = std::fs::read_to_string(&csv).expect("a file").lines().map(String::from).collect::<Vec<_>>();
    assert_eq!(table.remove(0), "corpus,model,learning,from,to,tokens,loss,standard_error,windows");
    let buckets = |i: usize| results[i]["positions"].as_array().expect("a list").len();
    assert_eq!(table.len(), buckets(0) + buckets(1));
    assert!(table[0].starts_with("2 texts,ttt-linear-stories-6m,1.0,1,1,"), "{}", table[0]);
    let figure = std::fs::read_to_string(&svg).expect("a file");
    for part in ["<svg", "loss in nats a token", "tokens read before", "learning 0", "<polygon", "</svg>"] {
        assert!(figure.contains(part), "the figure lacks {part}");
    }

    let people = stdout(&[&base[..], &["--each", "--chunks", "2"]].concat());
    for part in [a, b, "2 of 64, stride 64, last 64 scored", "nats/token", "bits per byte", "against first"] {
        assert!(people.contains(part), "{part}:\n{people}");
    }
}

#[test]
fn memory_is_measured_with_its_interval() {
    let (folder, files) = books();
    let csv = folder.path().join("passages.csv");
    let (a, b) = (name(&files[0]), name(&files[1]));
    let base = ["-q", "-d", "cpu", "eval", "--memory", "--context", "40", "--passage", "20", "-f", a, "-f", b];
    let json: Value = serde_json::from_str(&stdout(&[&base[..], &["--json", "--csv", name(&csv)]].concat())).expect("JSON");
    let result = &json["results"][0];
    let effect = &result["passages"]["effect"];
    let passages = effect["units"].as_u64().expect("a number");
    assert_eq!((&json["context"], &json["passage"], &result["scored"]), (&40.into(), &20.into(), &19.into()));
    assert!(passages > 10 && effect["mean"].as_f64().expect("a number") > 0.1, "what repeats is remembered: {effect}");
    assert_eq!(effect["interval"].as_array().map(Vec::len), Some(2));
    let table = std::fs::read_to_string(&csv).expect("a file");
    assert_eq!(table.lines().count() as u64, passages + 1);
    // The names of the files have commas.
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("\"") && line.split('"').nth(1) == Some(a)), "{table}");
    let people = stdout(&[&base[..], &["--chunks", "3"]].concat());
    for part in ["6 passages of 20 tokens", "over another text", "over nothing", "Student", a, b] {
        assert!(people.contains(part), "{part}:\n{people}");
    }
}

#[test]
fn texts_that_can_not_be_evaluated_are_named() {
    let (folder, files) = books();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let (empty, one, bad) = (write("empty", b""), write("one", b"a"), write("bad", b"The king\xff had"));
    let cases: &[(&[&str], &str)] = &[
        (&["-f", name(&empty)], "empty has 0 tokens"),
        (&["-f", name(&one)], "one has 1 tokens"),
        (&["-f", name(&bad)], "bad is not UTF-8 at byte 8"),
        (&["-f", "no/such/text"], "no/such/text"),
        (&["-c", "1", "-f", name(&files[0])], "the window is 1 tokens"),
        (&["--stride", "0", "-f", name(&files[0])], "stride"),
        (&["--learning", "101", "-f", name(&files[0])], "learning is 101"),
        (&["--memory", "-f", name(&files[0])], "texts of 1280 tokens or more"),
        (&["--csv", "no/such/folder/x", "-f", name(&files[0])], "no/such/folder"),
    ];
    for (more, word) in cases {
        let output = run(&[&["-q", "-d", "cpu", "eval"][..], more].concat());
        let err = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{more:?}");
        assert!(err.contains(word), "{more:?}: {err}");
    }
}
