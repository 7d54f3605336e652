//! The statistics: what they must be by definition, and what they find in recorded samples.

use fastweight::bench::statistics::{BETWEEN_RUNS, Change, LEAST, Summary, Verdict, unsteadiness};
use fastweight_tests::Random;

use super::recorded::{Run, recorded};

/// A machine that holds its speed.
fn summary(samples: &[f64]) -> Summary {
    Summary::of(samples, BETWEEN_RUNS)
}

fn change(a: &[f64], b: &[f64]) -> Change {
    Change::between(a, b, [BETWEEN_RUNS; 2])
}

/// A number between 0 and 1.
fn uniform(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// Samples with a tail to the slow side.
fn skewed(random: &mut Random, n: usize, scale: f64) -> Vec<f64> {
    (0..n).map(|_| scale * (1.0 + 0.05 * -(1.0 - uniform(random)).ln())).collect()
}

#[test]
fn summaries_are_what_their_names_say() {
    let of = summary(&[3.0, 1.0, 2.0, 10.0]);
    assert_eq!((of.count, of.median, of.mean, of.least), (4, 2.5, 4.0, 1.0));
    assert!((of.deviation - (50f64 / 3.0).sqrt()).abs() < 1e-12);
    let [low, high] = of.interval.expect("four samples");
    assert!(low < 2.5 && high > 2.5);
    assert_eq!((summary(&[2.0]).deviation, summary(&[2.0]).interval, summary(&[2.0, 3.0]).interval), (0.0, None, None));
    // Thousands of samples are no trouble, and nor are equal ones.
    let mut random = Random::new();
    let many = summary(&skewed(&mut random, 50_000, 1.0));
    let [low, high] = many.interval.expect("many samples");
    assert!(low > 0.97 * many.median && high < 1.03 * many.median);
    let equal = summary(&[1.0; 7]).interval.expect("seven samples");
    assert!(equal[0] < 1.0 && equal[1] > 1.0 && equal[1] < 1.04, "{equal:?}");
}

#[test]
fn scale_and_order_do_not_matter_and_swapping_inverts() {
    let mut random = Random::new();
    for n in [5, 8, 20, 30] {
        let (a, b) = (skewed(&mut random, n, 1.0), skewed(&mut random, n, 1.3));
        let (forth, back) = (change(&a, &b), change(&b, &a));
        assert!((forth.ratio * back.ratio - 1.0).abs() < 1e-12);
        let ([low, high], [from, to]) = (forth.interval.expect("samples"), back.interval.expect("samples"));
        assert!((low * to - 1.0).abs() < 1e-9 && (high * from - 1.0).abs() < 1e-9 && low < forth.ratio && forth.ratio < high);
        let scaled = |of: &[f64]| of.iter().rev().map(|x| x * 1e-7).collect::<Vec<_>>();
        let small = change(&scaled(&a), &scaled(&b));
        assert!((small.ratio / forth.ratio - 1.0).abs() < 1e-9 && small.verdict == forth.verdict);
        assert!(n < 8 || forth.verdict == Verdict::Slower);
    }
    let verdict = |a: &[f64], b: &[f64]| change(a, b).verdict;
    assert_eq!(verdict(&[1.0], &[2.0]), Verdict::Unchanged, "one sample says nothing");
    let few = [1.0; 9];
    assert_eq!(verdict(&few, &[1.0 + LEAST * 0.9; 9]), Verdict::Unchanged);
    assert_eq!(verdict(&few, &[1.08; 9]), Verdict::Slower);
    assert_eq!(verdict(&[1.08; 9], &few), Verdict::Faster);
    // Some samples that another program slowed are no change.
    assert_eq!(verdict(&few, &[1.0, 1.0, 1.0, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2]), Verdict::Unchanged);
}

/// Of made samples, skewed, with nothing between the runs: the interval holds what it says.
#[test]
fn the_interval_covers_another_runs_median() {
    let mut random = Random::seeded(7);
    for n in [5, 8, 10, 20, 30] {
        let (mut covered, mut flagged, mut found) = (0, 0, 0);
        for _ in 0..400 {
            let (a, b) = (skewed(&mut random, n, 1.0), skewed(&mut random, n, 1.0));
            let [low, high] = summary(&a).interval.expect("samples");
            covered += usize::from((low..=high).contains(&summary(&b).median));
            flagged += usize::from(change(&a, &b).verdict != Verdict::Unchanged);
            let slow: Vec<f64> = b.iter().map(|x| x * 1.1).collect();
            found += usize::from(change(&a, &slow).verdict == Verdict::Slower);
        }
        println!(
            "{n} samples: {covered} of 400 covered, {flagged} flagged without a change, {found} of 400 slowdowns of 10 % found"
        );
        assert!(covered >= 360 && flagged <= 20, "{n} samples: {covered} covered, {flagged} flagged");
        assert!(n < 20 || found >= 380, "{n} samples: {found} found");
    }
}

/// Whether `b` differs from `a` in this work, with `b` slowed by a factor.
fn verdict(work: &str, a: &Run, b: &Run, times: f64) -> Verdict {
    let u = unsteadiness(a.sentinels().iter().chain(&b.sentinels()));
    let slowed: Vec<f64> = b.samples[work].iter().map(|x| x * times).collect();
    Change::between(&a.samples[work], &slowed, [u; 2]).verdict
}

/// Of so many pairs, how many out of twenty.
fn of_twenty(pairs: &[(&Run, &Run)], holds: impl Fn(&Run, &Run) -> bool) -> f64 {
    pairs.iter().filter(|(a, b)| holds(a, b)).count() as f64 * 20.0 / pairs.len() as f64
}

/// Runs one after the other while other programs took the machine's cores and memory: what that changes is not called a change.
#[test]
fn a_busy_machine_raises_no_false_alarm() {
    let runs = recorded("busy");
    let plain: Vec<&Run> = runs.iter().filter(|run| !run.delayed).collect();
    let pairs: Vec<(&Run, &Run)> = plain.windows(2).map(|pair| (pair[0], pair[1])).collect();
    for work in runs[0].samples.keys() {
        let flagged = of_twenty(&pairs, |a, b| verdict(work, a, b, 1.0) != Verdict::Unchanged);
        println!("{work}: of 20 pairs {flagged:.1} differ");
        assert!(pairs.len() >= 40 && flagged <= 1.0, "{work}: {flagged}");
    }
}

/// Of a machine that holds its speed: runs one after the other, 10 % added by arithmetic, and 10 % added by waiting.
#[test]
fn runs_of_a_steady_machine_are_told_apart_when_they_differ_and_only_then() {
    let runs = recorded("steady");
    let plain: Vec<&Run> = runs.iter().filter(|run| !run.delayed).collect();
    let pairs: Vec<(&Run, &Run)> = plain.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| a.steady_with(b)).collect();
    let delayed: Vec<(&Run, &Run)> =
        runs.windows(2).map(|pair| (&pair[0], &pair[1])).filter(|(a, b)| !a.delayed && b.delayed && a.steady_with(b)).collect();
    assert!(pairs.len() >= 20 && delayed.len() >= 20, "{} steady pairs, {} with a delay", pairs.len(), delayed.len());
    for work in runs[0].samples.keys() {
        let covered = of_twenty(&pairs, |a, b| {
            let of = |run: &Run| Summary::of(&run.samples[work], unsteadiness(&run.sentinels()));
            let [low, high] = of(a).interval.expect("samples");
            (low..=high).contains(&of(b).median)
        });
        let flagged = of_twenty(&pairs, |a, b| verdict(work, a, b, 1.0) != Verdict::Unchanged);
        let planted = of_twenty(&pairs, |a, b| verdict(work, a, b, 1.1) == Verdict::Slower);
        let waited = of_twenty(&delayed, |a, b| verdict(work, a, b, 1.0) == Verdict::Slower);
        println!(
            "{work}, of 20: {covered:.1} covered, {flagged:.1} flagged without a change, {planted:.1} found with 10 % more, {waited:.1} with a delay"
        );
        assert!(covered >= 18.0 && flagged <= 1.0 && planted >= 19.0 && waited >= 19.0, "{work}");
    }
}
