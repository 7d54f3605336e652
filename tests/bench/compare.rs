//! Comparing two results.

use fastweight::bench::compare::{Comparison, Launches};
use fastweight::bench::results::{Measurement, Results};
use fastweight::bench::statistics::Verdict;

use super::made;

fn made() -> [Results; 3] {
    made::all().into_iter().map(|entry| entry.results).collect::<Vec<_>>().try_into().expect("three results")
}

#[test]
fn changes_are_found_where_they_were_made() {
    let [before, after, _] = made();
    let comparison = Comparison::new(&before, &after, false).expect("one device");
    for pair in &comparison.pairs {
        let expected = match pair.name.as_str() {
            "matvec" => Verdict::Slower,
            name if name.starts_with("tg128") => Verdict::Slower,
            "matmul" => Verdict::Faster,
            name if name.starts_with("pp512") => Verdict::Faster,
            _ => Verdict::Unchanged,
        };
        // What mostly waits for the launch hardly changes.
        if pair.a.median > 1e-5 || expected == Verdict::Unchanged {
            assert_eq!(pair.change.verdict, expected, "{}: {:?}", pair.title(), pair.change);
        }
    }
    assert!(comparison.pairs.is_sorted_by(|x, y| x.change.ratio >= y.change.ratio));
    assert!(comparison.notes.iter().any(|note| note.starts_with("engines differ")), "{:?}", comparison.notes);
    assert!(comparison.regressions(0.05).count() > 10 && comparison.regressions(0.5).count() == 0);
    let same = Comparison::new(&before, &before, false).expect("the same");
    assert!(same.pairs.iter().all(|p| p.change.verdict == Verdict::Unchanged && p.change.ratio == 1.0));
    assert!(same.notes.is_empty() && same.only_a.is_empty() && same.only_b.is_empty());
}

#[test]
fn two_differences_at_once_are_refused_unless_forced() {
    let [before, after, software] = made();
    let refused = Comparison::new(&before, &software, false).expect_err("both differ").to_string();
    for part in ["Made GPU 1", "made-before", "Made software GPU", "made-after", "wanted the same device or the same engine"] {
        assert!(refused.contains(part), "{refused}");
    }
    let forced = Comparison::new(&before, &software, true).expect("forced");
    let notes = forced.notes.join("\n");
    for part in ["devices differ", "drivers differ", "engines differ", "optional features", "drifted around"] {
        assert!(notes.contains(part) || part == "optional features", "{part}: {notes}");
    }
    assert!(Comparison::new(&after, &software, false).is_ok(), "the engine is the same");
}

#[test]
fn the_same_variant_everywhere_and_the_best_of_each() {
    let [before, mut after, _] = made();
    let mine = |m: &&mut Measurement| m.name == "matvec" && m.subject == "768 x 768 q8_0";
    for m in after.measurements.iter_mut().filter(mine) {
        // The other variant has become the faster one, and the first is gone.
        if m.chosen {
            m.variant = Some("matvec, new".into());
            m.samples.iter_mut().for_each(|s| *s *= 0.5);
        }
    }
    let comparison = Comparison::new(&before, &after, false).expect("one device");
    let pairs: Vec<_> = comparison.pairs.iter().filter(|p| p.name == "matvec" && p.subject == "768 x 768 q8_0").collect();
    let best: Vec<_> =
        pairs.iter().filter(|p| matches!(&p.launches, Launches::Best { a, b } if a != b && b == "matvec, new")).collect();
    let same: Vec<_> = pairs.iter().filter(|p| p.launches == Launches::Same("matvec, rows".into())).collect();
    assert_eq!((best.len(), same.len(), pairs.len()), (2, 2, 4), "cold and warm: {pairs:?}");
    assert!(best.iter().all(|p| p.change.verdict == Verdict::Faster));
    assert!(
        comparison.only_a.iter().any(|t| t.contains("matvec, tiled"))
            && comparison.only_b.iter().any(|t| t.contains("matvec, new"))
    );
    // Models have one way each.
    assert!(comparison.pairs.iter().filter(|p| p.name.starts_with("tg128")).all(|p| p.launches == Launches::Only));
}

#[test]
fn what_cannot_be_compared_or_trusted_is_said() {
    let [before, mut after, _] = made();
    after.measurements.retain(|m| m.name != "scan");
    for m in after.measurements.iter_mut().filter(|m| m.name == "rms_norm") {
        m.work.operations *= 2.0;
        m.flagged = true;
    }
    for m in after.measurements.iter_mut().filter(|m| m.name == "ttt_linear") {
        m.flagged = true;
        m.samples.iter_mut().for_each(|s| *s *= 3.0);
    }
    after.valid = false;
    after.invalid = vec!["a kernel exceeds its ceiling\u{1b}[2J".into()];
    after.complete = false;
    let comparison = Comparison::new(&before, &after, false).expect("one device");
    let notes = comparison.notes.join("\n");
    for part in [
        "the second is not valid: a kernel exceeds its ceiling",
        "the second was not finished",
        "do other work",
        "drifted around",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains('\u{1b}'), "nothing from a file may command a terminal");
    assert!(comparison.only_a.iter().all(|t| t.starts_with("scan")) && comparison.only_a.len() == 4);
    assert!(comparison.pairs.iter().all(|p| p.name != "rms_norm"));
    assert!(comparison.with(Verdict::Slower).any(|p| p.name == "ttt_linear" && p.flagged));
    assert!(comparison.regressions(0.0).all(|p| p.name != "ttt_linear"), "a drift is not taken for a change of the engine");
}
