//! The files in `results/`, their table in the project's README, and the description of the schema.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fastweight::bench::report::{self, Entry};
use fastweight::bench::results::Results;
use serde_json::Value;

use super::made;

const BEGIN: &str = "<!-- results: begin -->\n";
const END: &str = "<!-- results: end -->";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../results")
}

/// Every file of results, by name.
fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir(folder()).expect("the folder") {
        let path = file.expect("a file").path();
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        if ["README.md", "SCHEMA.md"].contains(&file.as_str()) {
            continue;
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        assert!(file.ends_with(".json") && file.chars().all(plain), "results/{file}: see results/README.md for names");
        let text = std::fs::read_to_string(&path).expect("text");
        let results = Results::parse(&file, &text).unwrap_or_else(|e| panic!("{e}"));
        assert!(results.complete, "{file} was not finished");
        for place in ["/home/", "/Users/", "\\\\Users\\\\", "file://"] {
            assert!(!text.contains(place), "{file} names a place of somebody's machine: {place}");
        }
        entries.push(Entry { file, results });
    }
    entries.sort_by(|a, b| a.file.cmp(&b.file));
    entries
}

#[test]
fn the_readme_has_a_row_for_every_result() {
    let readme = folder().join("../README.md");
    let text = std::fs::read_to_string(&readme).expect("the README");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let entries = entries();
    let wanted = if entries.is_empty() { String::new() } else { format!("\n{}\n", report::overview(&entries)) };
    if std::env::var_os("FASTWEIGHT_UPDATE").is_some() {
        std::fs::write(&readme, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("a file");
        return;
    }
    assert_eq!(table, wanted, "FASTWEIGHT_UPDATE=1 brings the table up to date");
}

/// Paths of all values: `a.b[].c`, with `*` for the names of maps.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if ["device.limits", "system.flags", "models"].contains(&at) => {
            fields.values().for_each(|v| paths(v, &format!("{at}.*"), found));
        }
        Value::Object(fields) => {
            for (name, v) in fields {
                paths(v, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|v| paths(v, &format!("{at}[]"), found)),
        _ => _ = found.insert(at.to_string()),
    }
}

#[test]
fn the_schema_is_described_field_by_field() {
    let mut full = made::all().remove(0).results;
    full.invalid.push("a reason".into());
    full.settings.only.push("a name".into());
    full.verified.as_mut().expect("checked").failures.push("a failure".into());
    let mut wanted = BTreeSet::new();
    paths(&serde_json::to_value(&full).expect("JSON"), "", &mut wanted);
    let text = std::fs::read_to_string(folder().join("SCHEMA.md")).expect("the description");
    let described: BTreeSet<String> =
        text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_string())).collect();
    assert_eq!(described, wanted, "described in results/SCHEMA.md, and what the structs have");
}
