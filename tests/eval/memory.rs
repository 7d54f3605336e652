//! What reading gives.

use fastweight::device::Device;
use fastweight::evaluate::EvaluateError;
use fastweight::evaluate::memory::{Losses, MemoryTally, Passage, Passages};
use fastweight::generate::{LoadOptions, Model};
use fastweight::tensor::DType;
use fastweight_tests::{Random, fixtures};
use pollster::block_on;

use super::losses_by_logits;

#[test]
fn passages_share_nothing_and_have_all_that_they_need() {
    let mut random = Random::new();
    for _ in 0..200 {
        let passages = Passages { context: random.within(1, 9), passage: random.within(2, 9) };
        let block = passages.context + passages.passage;
        let mut lengths: Vec<usize> = (0..random.within(2, 5)).map(|_| random.within(0, 80)).collect();
        lengths[0] = random.within(block, 90);
        lengths[1] = random.within(passages.context, 90);
        let most = random.within(1, 6);
        let chosen = passages.choose(&lengths, Some(most)).expect("there is a text and another");
        for (i, p) in chosen.iter().enumerate() {
            assert!(p.start >= passages.context && p.start + passages.passage <= lengths[p.text]);
            assert!(p.other != p.text && p.other_start + passages.context <= lengths[p.other]);
            let before = chosen[..i].iter().filter(|q| q.text == p.text);
            assert!(before.clone().all(|q| q.start + block <= p.start), "{chosen:?}");
            assert!(before.count() < most);
        }
        let all: usize = lengths.iter().map(|n| n / block).sum();
        assert_eq!(passages.choose(&lengths, None).expect("as before").len(), all);
    }
    let passages = Passages { context: 10, passage: 5 };
    for lengths in [&[][..], &[100], &[100, 9], &[14, 14]] {
        assert!(matches!(passages.choose(lengths, None), Err(EvaluateError::TooFew { .. })), "{lengths:?}");
    }
    for bad in [Passages { context: 0, passage: 5 }, Passages { context: 5, passage: 1 }] {
        assert!(matches!(bad.choose(&[100, 100], None), Err(EvaluateError::Size { .. })));
    }
}

#[test]
fn a_passage_is_read_three_times() {
    let fixture = fixtures::golden()[0].clone();
    let model = block_on(Model::load(fixture.opened(DType::F32), &Device::cpu(), LoadOptions::default())).expect("the fixture");
    let mut session = block_on(model.session()).expect("a session");
    let half = fixture.ids.len() / 2;
    let texts = vec![fixture.ids[..half].to_vec(), fixture.ids[half..].to_vec()];
    let passages = Passages { context: 6, passage: 5 };
    let passage = Passage { text: 0, start: 7, other: 1, other_start: 2 };
    let (own, other, words) = (&texts[0][1..7], &texts[1][2..8], &texts[0][7..12]);
    for (opening, scored) in [(&[][..], 4), (&[texts[0][0]][..], 5)] {
        let found = block_on(passages.measure(&mut session, opening, &texts, &passage)).expect("losses");
        assert_eq!(passages.scored(opening), scored);
        for (found, context) in [(found.own, own), (found.other, other), (found.cold, &[])] {
            let losses = losses_by_logits(&mut session, &[opening, context, words].concat());
            let last = &losses[losses.len() - scored..];
            let wanted = last.iter().map(|l| l.expect("it has one")).sum::<f64>() / scored as f64;
            assert!((found - wanted).abs() < 1e-4, "{found}, wanted {wanted}");
        }
    }
}

#[test]
fn a_planted_effect_is_found_and_paired() {
    let mut random = Random::new();
    let mut tally = MemoryTally::new(3);
    assert_eq!(tally.report(), None);
    for i in 0..300 {
        // Passages differ by nats; what was read before them by hundredths.
        let hard = random.within(0, 4000) as f64 / 1000.0;
        let noise = (random.within(0, 200) as f64 - 100.0) / 10_000.0;
        let own = 3.0 + hard;
        tally.add(i % 2, &Losses { own, other: own + 0.05 + noise, cold: own + 0.2 - noise });
    }
    let report = tally.report().expect("passages were taken in");
    let all = report.passages;
    for (estimate, wanted) in [(all.effect, 0.05), (all.over_cold, 0.2)] {
        let [low, high] = estimate.interval.expect("many passages");
        assert!((estimate.mean - wanted).abs() < 2e-3 && low < wanted + 2e-3 && wanted - 2e-3 < high && high - low < 2e-3);
    }
    assert!(all.own.standard_error.expect("many passages") > 20.0 * all.effect.standard_error.expect("many passages"));
    let texts = report.texts.expect("two texts");
    assert_eq!((texts.effect.units, all.effect.units), (2, 300));
    assert!((texts.effect.mean - all.effect.mean).abs() < 1e-12);
    assert_eq!(report.each.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
}
