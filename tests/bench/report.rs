//! The page and the summary.

use std::collections::HashSet;

use fastweight::bench::report::{self, Entry, STYLE};
use fastweight::bench::tables::{self, Format};
use fastweight::bench::units;

use super::{hostile, made};

/// Whether a page's tags close in the order in which they were opened.
fn check_nesting(page: &str) {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.replace(STYLE, "");
    rest.retain(|c| c != '\n');
    for tag in rest.split('<').skip(1) {
        let inside = tag.split_once('>').expect("a tag ends").0;
        let name = inside.split([' ', '/']).find(|s| !s.is_empty()).expect("a tag has a name");
        match inside.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name), "in <{inside}>"),
            false if !VOID.contains(&name) => open.push(name),
            false => {}
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|s| s.split('"').next().expect("an id ends")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<HashSet<_>>().len(), "each id once: {ids:?}");
}

#[test]
fn the_page_has_its_sections_and_needs_nothing_else() {
    let page = report::html(&made::all());
    check_nesting(&page);
    check_nesting(&report::html(&hostile::nasty()));
    for part in [
        "What was measured",
        "What the devices can do",
        "Kernels against the ceilings",
        "Decode on A: Made GPU 1",
        "Prefill on C: Made software GPU",
        "Memory of the state",
        "Kernels side by side",
        "From A to B",
        "From B to C",
        "take longer",
        "figures flagged: the machine drifted",
        "results/README.md",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    for never in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", " style=", "<link"] {
        assert!(!page.contains(never), "{never} in the page");
    }
    assert!(page.contains(&report::style_source().replace('\'', "&#39;")) || page.contains(&report::style_source()));
    // Whatever the results, the style is the same: a policy may name it.
    assert!(report::html(&[]).contains(STYLE) && page.contains(STYLE));
}

#[test]
fn what_the_results_lack_the_page_lacks() {
    let mut entries: Vec<Entry> = made::all().into_iter().take(1).collect();
    let whole = report::html(&entries);
    entries[0].results.ceilings = None;
    entries[0].results.sentinels.clear();
    let page = report::html(&entries);
    assert!(whole.contains("What the devices can do") && !page.contains("What the devices can do"));
    assert!(!page.contains("Kernels against the ceilings") && page.contains("Kernels side by side") && !page.contains("From A"));
    entries[0].results.measurements.clear();
    let bare = report::html(&entries);
    assert!(!bare.contains("<h2 id=\"models-title\"") && !bare.contains("Kernels side by side") && bare.contains("valid"));
    entries[0].results.valid = false;
    entries[0].results.invalid = vec!["the tab was hidden".into()];
    entries[0].results.complete = false;
    let invalid = report::html(&entries);
    for part in ["not valid", "the tab was hidden", "unfinished"] {
        assert!(invalid.contains(part) && report::markdown(&entries).contains(part), "{part}");
    }
    assert!(report::html(&[]).contains("No results."));
}

#[test]
fn rows_stand_beside_those_of_llama_bench() {
    let entries = made::all();
    let rows = tables::rows(&entries[0].results);
    let table = tables::write(&rows, Format::Markdown);
    assert!(table.starts_with("| model | size | params | backend | threads | test | t/s |"), "{table}");
    for part in [
        "| ttt-linear 125m q8\\_0 | 126 MiB | 124 M | vulkan | 8 | tg128 @ d8192 |",
        "| pp512 |",
        "| tg128 × 8 |",
        " ± ",
        "(chosen)",
        "| device | of | time | GB/s | GFLOP/s |",
    ] {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    let row = rows.iter().find(|row| row.test == "pp512" && row.subject.starts_with("llama")).expect("a row");
    let made = entries[0].results.measurements.iter().find(|m| m.name == "pp512" && m.subject.starts_with("llama")).expect("it");
    let mean = made.samples.iter().map(|s| 512.0 / s).sum::<f64>() / made.samples.len() as f64;
    assert!((row.avg_ts.expect("tokens") / mean - 1.0).abs() < 1e-12);
    let csv = tables::write(&rows, Format::Csv);
    let names: Vec<&str> = csv.lines().next().expect("names").split(',').collect();
    for name in ["test", "avg_ts", "stddev_ts", "model_size", "model_n_params", "median", "low", "high", "share"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(csv.lines().count(), rows.len() + 1);
    let summary = report::markdown(&entries);
    for part in [
        "# Fastweight bench",
        "| A made-before.json |",
        "## From A to B",
        "matvec 4096 x 4096 q8\\_0",
        "do not differ beyond noise",
    ] {
        assert!(summary.contains(part), "{part}:\n{summary}");
    }
}

#[test]
fn figures_for_people_have_three_digits_and_a_unit() {
    let numbers = [
        (0.0, "0"),
        (0.0123, "0.0123"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (999.6, "1,000"),
        (1_234_567.0, "1,234,567"),
        (-5.25, "-5.25"),
    ];
    for (x, wanted) in numbers {
        assert_eq!(units::number(x), wanted);
    }
    assert_eq!(units::number(f64::NAN), "none");
    assert_eq!([1.5, 0.9996e-3, 2e-9].map(units::seconds), ["1.50 s", "1.00 ms", "2.00 ns"]);
    assert_eq!([512.0, 1536.0, 132e6].map(units::bytes), ["512 B", "1.50 KiB", "126 MiB"]);
    assert_eq!((units::bandwidth(7.25e9), units::operations(8e12)), ("7.25 GB/s".into(), "8.00 TFLOP/s".into()));
    assert_eq!([6_005_624.0, 900.0].map(units::count), ["6.01 M", "900"]);
    assert_eq!([1.1, 0.9, 3.0].map(units::change), ["+10.0 %", "−10.0 %", "+200 %"]);
    assert_eq!(units::percent(0.625), "62.5 %");
}
