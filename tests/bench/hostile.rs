//! Files of results from strangers.

use fastweight::bench::compare::Comparison;
use fastweight::bench::report::{self, Entry};
use fastweight::bench::results::Results;
use fastweight::bench::tables::{self, Format};
use serde_json::{Value, json};

use super::made;

fn value() -> Value {
    serde_json::to_value(&made::all()[0].results).expect("results are JSON")
}

fn refused(value: &Value) -> String {
    Results::parse("stranger.json", &value.to_string()).expect_err("to be refused").to_string()
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let set = |place: &str, to: Value| {
        let mut value = value();
        *value.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = to;
        refused(&value)
    };
    let cases = [
        ("/schema", json!("fastweight-bench/2"), "schema is \"fastweight-bench/2\""),
        ("/schema", json!(1), "schema is 1"),
        ("/suite_version", json!(99), "suite_version is 99"),
        ("/date", json!("2026-13-01"), "date"),
        ("/date", json!("yesterday\u{1b}[2J"), "date"),
        ("/valid", json!(false), "valid"),
        ("/timer/quantum", json!(0.0), "timer.quantum"),
        ("/ceilings/f32", json!(-1.0), "ceilings.f32"),
        ("/ceilings/read", json!([]), "ceilings.read"),
        ("/measurements/0/samples/0", json!(0.0), "a sample"),
        ("/measurements/0/samples/0", json!(-1.0), "a sample"),
        ("/measurements/0/samples", json!([]), "number of samples"),
        ("/measurements/0/order", json!([1]), "length of order"),
        ("/measurements/0/batch", json!(0), "batch"),
        ("/measurements/0/batch", json!(-1), "no results"),
        ("/measurements/0/work/tokens", json!(-5.0), "work or share"),
        ("/measurements/0/samples/0", json!("NaN"), "no results"),
        ("/measurements/0/samples/0", Value::Null, "no results"),
        ("/measurements/0/section", json!("none"), "no results"),
        ("/device/limits", json!({ "a": -1 }), "no results"),
    ];
    for (place, to, part) in cases {
        let message = set(place, to);
        assert!(message.starts_with("stranger.json: ") && message.contains(part), "{place}: {message}");
        assert!(!message.contains('\u{1b}'), "{message:?}");
    }
    let mut twice = value();
    let list = twice["measurements"].as_array_mut().expect("a list");
    list.push(list[0].clone());
    assert!(refused(&twice).contains("there twice"));
    let mut more = value();
    more["host"] = json!("my-laptop");
    assert!(refused(&more).contains("unknown field"), "nothing but the schema's own fields");
}

#[test]
fn no_beginning_of_a_file_and_no_number_of_json_is_taken() {
    let text = made::all()[0].results.to_json();
    for end in (0..text.len() - 2).step_by(1999).filter(|end| text.is_char_boundary(*end)) {
        assert!(Results::parse("cut.json", &text[..end]).is_err(), "cut at {end}");
    }
    for bad in ["1e999", "-1e999", "NaN", "Infinity", "1e-400"] {
        let broken = text.replacen("\"quantum\": 1e-8", &format!("\"quantum\": {bad}"), 1);
        assert_ne!(broken, text, "the quantum is there");
        assert!(Results::parse("number.json", &broken).is_err(), "{bad}");
    }
    for nothing in ["", "null", "[]", "{}", "\u{feff}{}", "{\"schema\":\"fastweight-bench/1\"}", &"[".repeat(100_000)] {
        assert!(Results::parse("nothing.json", nothing).is_err());
    }
}

/// Names that would be markup, and numbers at the ends of what is allowed.
pub(crate) fn nasty() -> Vec<Entry> {
    const NASTY: &str =
        "\"><script>alert(1)</script><img src=x onerror=alert(2)>'</style></title></svg>| a | b |\n# `x` [y](javascript:z)";
    let mut entries = made::all();
    for entry in &mut entries {
        entry.file = NASTY.into();
        let r = &mut entry.results;
        for text in [&mut r.device.name, &mut r.device.vendor, &mut r.device.driver, &mut r.device.kind, &mut r.device.backend] {
            *text = NASTY.into();
        }
        for text in [&mut r.system.os, &mut r.system.arch, &mut r.system.power, &mut r.engine.version, &mut r.engine.wgsl] {
            *text = NASTY.into();
        }
        r.engine.commit = Some("é".repeat(12) + NASTY);
        r.system.browser = Some(NASTY.into());
        r.system.flags = [(NASTY.to_string(), NASTY.to_string())].into();
        r.device.features = vec![NASTY.into()];
        r.settings.only = vec![NASTY.into()];
        r.sentinels[0].after = NASTY.into();
        r.valid = false;
        r.invalid = vec![NASTY.into()];
        r.models = r.models.iter().map(|(name, facts)| (format!("{name}{NASTY}"), *facts)).collect();
        for (i, m) in r.measurements.iter_mut().enumerate() {
            m.name += NASTY;
            m.subject += NASTY;
            m.variant = m.variant.as_ref().map(|v| format!("{v}{NASTY}"));
            match i % 7 {
                0 => m.samples.iter_mut().for_each(|s| *s = f64::MIN_POSITIVE),
                1 => m.samples.iter_mut().for_each(|s| *s = 1e308),
                2 => (m.samples, m.order, m.clock) = (vec![1e-3], vec![0], vec![]),
                3 => (m.work.tokens, m.work.context, m.work.state) = (1e300, 1e300, 1e300),
                4 => (m.work.operations, m.work.least, m.share) = (1e-300, 1e300, Some(1e300)),
                _ => {}
            }
        }
        if let Some(ceilings) = &mut r.ceilings {
            ceilings.read[0].rate = f64::MIN_POSITIVE;
            ceilings.copy[1].rate = 1e308;
            ceilings.f16 = Some(1e308);
        }
    }
    entries
}

#[test]
fn a_strangers_names_stay_text_in_every_form() {
    let entries = nasty();
    for entry in &entries {
        Results::parse("nasty.json", &entry.results.to_json()).expect("odd, but of the schema");
    }
    let page = report::html(&entries);
    for tag in ["<script", "<img", "onerror=alert(2)>'</style", "javascript:z\"", "NaN", "inf<", "\"inf"] {
        assert!(!page.contains(tag), "{tag} in the page");
    }
    assert_eq!(page.matches("<style>").count(), 1);
    assert_eq!(page.matches("</style>").count(), 1);
    let summary = report::markdown(&entries);
    assert!(!summary.contains("<script") && !summary.contains("| a | b |") && !summary.contains("\n# `x`"));
    for entry in &entries {
        let rows = tables::rows(&entry.results);
        let csv = tables::write(&rows, Format::Csv);
        let columns = csv.lines().next().expect("a line of names").split(',').count();
        assert!(columns > 20 && !csv.is_empty());
        serde_json::from_str::<Value>(&tables::write(&rows, Format::Json)).expect("JSON");
        assert_eq!(tables::write(&rows, Format::JsonLines).lines().count(), rows.len());
    }
    Comparison::new(&entries[0].results, &entries[1].results, true).expect("forced");
}
