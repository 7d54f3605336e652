//! `fastweight bench compare`, `report` and `show`.

use serde_json::Value;

use super::{fixtures, run, stdout, text};

fn made(name: &str) -> String {
    fixtures::path(&format!("bench/made-{name}.json")).to_str().expect("UTF-8").into()
}

#[test]
fn bench_compare_says_what_changed_and_fails_when_asked_to() {
    let (before, after, software) = (made("before"), made("after"), made("software"));
    let people = stdout(&["bench", "compare", &before, &after]);
    for part in ["slower, beyond noise: ", "faster, beyond noise: ", "tg128 @ d8192 ttt-linear", "95 %: ", "unchanged"] {
        assert!(people.contains(part), "{part}:\n{people}");
    }
    let code = |args: &[&str]| run(&[&["bench", "compare"], args].concat()).status.code();
    assert_eq!(code(&[&before, &after, "--fail-on-regression", "5"]), Some(1));
    assert_eq!(code(&[&before, &after, "--fail-on-regression", "50"]), Some(0));
    assert_eq!(code(&[&before, &before, "--fail-on-regression", "0"]), Some(0));
    assert_eq!(code(&[&before, &after, "--fail-on-regression", "x"]), Some(2));
    let failed = run(&["bench", "compare", &before, &after, "--fail-on-regression", "5", "-q"]);
    let message = text(&failed.stderr);
    assert!(message.contains("take 5 % longer or more, the worst ") && message.lines().count() == 1, "{message}");

    let refused = run(&["bench", "compare", &before, &software]);
    assert!(refused.status.code() == Some(1) && text(&refused.stderr).contains("both device and engine differ"));
    let forced = run(&["bench", "compare", &before, &software, "--force", "--json"]);
    assert!(text(&forced.stderr).contains("note: devices differ"));
    let json: Value = serde_json::from_slice(&forced.stdout).expect("JSON");
    assert!(
        json["pairs"].as_array().is_some_and(|pairs| pairs.len() > 30) && json["pairs"][0]["change"]["interval"][1].is_number()
    );
}

#[test]
fn bench_report_writes_a_page_and_a_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_string();
    let files = [made("before"), made("after"), made("software")];
    let base: Vec<&str> = ["bench", "report"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let (page, summary) = (at("page.html"), at("summary.md"));
    let done = run(&[&base[..], &["--out", &page, "--markdown", &summary]].concat());
    assert!(done.status.success() && done.stdout.is_empty() && text(&done.stderr).contains("results/README.md"));
    let written = std::fs::read_to_string(&page).expect("a page");
    assert!(written.starts_with("<!DOCTYPE html>") && written.contains("From A to B"));
    assert_eq!(stdout(&[&base[..], &["--markdown", "-", "-q"]].concat()), std::fs::read_to_string(&summary).expect("a summary"));
    let nowhere = run(&[&base[..], &["--out", &at("no/page.html")]].concat());
    assert!(text(&nowhere.stderr).contains("does not exist"));
    std::fs::write(at("bad.json"), "{").expect("a file");
    let bad = run(&["bench", "report", &at("bad.json"), "--out", &at("none.html")]);
    assert!(bad.status.code() == Some(1) && text(&bad.stderr).contains("bad.json: no results of fastweight bench"));
    assert!(!folder.path().join("none.html").exists());
}

#[test]
fn bench_show_prints_rows_in_four_forms() {
    let file = made("software");
    let show = |more: &[&str]| stdout(&[&["bench", "show", &file], more].concat());
    assert!(show(&[]).starts_with("| model | size |"));
    let list: Value = serde_json::from_str(&show(&["-o", "json"])).expect("JSON");
    let rows = list.as_array().expect("a list").len();
    assert_eq!(serde_json::from_str::<Value>(&show(&["--json"])).expect("JSON"), list);
    assert_eq!(show(&["-o", "jsonl"]).lines().count(), rows);
    assert_eq!(show(&["-o", "csv"]).lines().count(), rows + 1);
    let unknown = run(&["bench", "show", &file, "-o", "xml"]);
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("wanted md, json, jsonl or csv"));
}
