//! Windows and tallies.

use fastweight::device::Device;
use fastweight::evaluate::{EvaluateError, Ratio, Tally, Window, Windows, losses, student_t};
use fastweight::generate::{LoadOptions, Model};
use fastweight::tensor::DType;
use fastweight::text::Measured;
use fastweight_tests::fixtures::{self};
use fastweight_tests::{Random, software};
use pollster::block_on;

use super::losses_by_logits;

/// Tokens numbered from 1000, each of two bytes.
fn text(n: usize) -> Vec<Measured> {
    (0..n as u32).map(|i| Measured { id: 1000 + i, bytes: 2 }).collect()
}

fn cut(windows: &Windows, tokens: &[Measured]) -> Vec<Window> {
    let tokens = tokens.iter().map(|token| Ok::<_, EvaluateError>(*token));
    windows.cut(tokens).collect::<Result<_, _>>().expect("no error was in it")
}

fn ids(window: &Window) -> Vec<u32> {
    window.tokens.iter().map(|token| token.id).collect()
}

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
}

#[test]
fn windows_are_cut_as_told() {
    let plain = Windows::new(4, None, None, &[]).expect("a size");
    let found: Vec<_> = cut(&plain, &text(10)).iter().map(|w| (ids(w), w.first_scored, w.fresh)).collect();
    let wanted = vec![(vec![1000, 1001, 1002, 1003], 0, 4), (vec![1004, 1005, 1006, 1007], 0, 4), (vec![1008, 1009], 0, 2)];
    assert_eq!(found, wanted);

    let sliding = Windows::new(5, Some(2), None, &[7]).expect("a size");
    let found: Vec<_> = cut(&sliding, &text(7)).iter().map(|w| (ids(w), w.first_scored, w.fresh)).collect();
    let wanted =
        vec![(vec![7, 1000, 1001, 1002, 1003], 3, 4), (vec![7, 1002, 1003, 1004, 1005], 3, 2), (vec![7, 1004, 1005, 1006], 3, 1)];
    assert_eq!(found, wanted);
    assert_eq!(cut(&sliding, &text(7))[1].fresh_bytes(), 4);

    // As llama.cpp's perplexity: windows side by side, the second half of each scored.
    let halves = Windows::new(4, Some(4), Some(2), &[]).expect("a size");
    let firsts: Vec<_> = cut(&halves, &text(11)).iter().map(|w| (w.tokens.len(), w.first_scored)).collect();
    assert_eq!(firsts, [(4, 2), (4, 2), (3, 2)]);
}

#[test]
fn any_windows_score_a_token_once_and_after_enough_others() {
    let mut random = Random::new();
    for _ in 0..500 {
        let opening = vec![7; random.within(0, 2)];
        let window = random.within((opening.len() + 1).max(2), 12);
        let some = |n: usize| (n > 0).then_some(n);
        let windows = Windows::new(window, some(random.within(0, 12)), some(random.within(0, 12)), &opening).expect("a size");
        let tokens = text(random.within(0, 60));
        let mut scored = vec![0; tokens.len()];
        for (i, window) in cut(&windows, &tokens).iter().enumerate() {
            assert!(window.tokens.len() <= windows.window);
            assert_eq!(ids(window)[..opening.len()], opening);
            for (offset, token) in window.tokens.iter().enumerate().skip(opening.len()) {
                let at = i * windows.stride + offset - opening.len();
                assert_eq!(*token, tokens[at]);
                scored[at] += usize::from(offset >= window.first_scored);
            }
        }
        let unscored = windows.window - windows.opening.len() - windows.stride;
        assert!(scored.iter().all(|n| *n <= 1), "{windows:?}: {scored:?}");
        if windows.scored == windows.stride && (unscored > 0 || !opening.is_empty()) {
            let all = scored.iter().skip(unscored).all(|n| *n == 1);
            assert!(all, "{windows:?} leave out tokens: {scored:?}");
        }
    }
}

#[test]
fn sizes_that_can_not_be_are_refused() {
    for (window, opening) in [(0, &[][..]), (1, &[]), (1, &[7]), (2, &[7, 8])] {
        let refused = Windows::new(window, None, None, opening);
        assert!(matches!(refused, Err(EvaluateError::Size { what: "window", .. })), "{window} after {opening:?}");
    }
    assert!(matches!(Windows::new(4, Some(0), None, &[]), Err(EvaluateError::Size { what: "stride", .. })));
    assert!(matches!(Windows::new(4, None, Some(0), &[]), Err(EvaluateError::Size { .. })));
    let most = Windows::new(4, Some(100), Some(100), &[7]).expect("what is too much is the most there can be");
    assert_eq!((most.stride, most.scored), (3, 3));
    // Nothing to foretell: no token, or one with nothing before it.
    let windows = Windows::new(2, None, None, &[]).expect("a size");
    assert!(cut(&windows, &[]).is_empty() && cut(&windows, &text(1)).is_empty());
    assert_eq!(cut(&Windows::new(2, None, None, &[7]).expect("a size"), &text(1)).len(), 1);
}

#[test]
fn a_tally_by_hand() {
    let windows = Windows::new(5, None, None, &[]).expect("a size");
    let cut = cut(&windows, &text(9));
    let mut tally = Tally::default();
    assert_eq!(tally.report(), None);
    tally.add(&cut[0], &[None, Some(1.0), Some(2.0), Some(4.0), Some(5.0)]);
    let one = tally.report().expect("four tokens");
    assert_eq!((one.loss.mean, one.loss.standard_error, one.loss.interval), (3.0, None, None));
    tally.add(&cut[1], &[None, Some(3.0), Some(2.0), Some(1.0)]);
    let report = tally.report().expect("seven tokens");
    assert_eq!((report.tokens, report.bytes, report.loss.units), (7, 14, 2));
    // Totals 12 of 4 and 6 of 3: r = 18/7, residuals 12 − 4r and 6 − 3r, variance 2 Σ residual² / 7².
    let r: f64 = 18.0 / 7.0;
    let error = (2.0 * ((12.0 - 4.0 * r).powi(2) + (6.0 - 3.0 * r).powi(2))).sqrt() / 7.0;
    assert!(near(report.loss.mean, r) && near(report.loss.standard_error.expect("two windows"), error));
    let [low, high] = report.loss.interval.expect("two windows");
    let half = 12.706_204_736_432_1 * error;
    assert!(near(low, r - half) && near(high, r + half));
    assert!(near(report.perplexity.mean, r.exp()));
    assert!(near(report.perplexity.interval.expect("two windows")[1], high.exp()));
    let bits = report.bits_per_byte.expect("there are bytes");
    assert!(near(bits.mean, 18.0 / 14.0 / std::f64::consts::LN_2));
    let found: Vec<_> = report.positions.iter().map(|b| (b.from, b.to, b.tokens, b.loss.mean)).collect();
    assert_eq!(found, [(1, 1, 2, 2.0), (2, 3, 4, 2.25), (4, 7, 1, 5.0)]);
    // What is read only does not count.
    let sliding = Windows::new(5, Some(2), None, &[]).expect("a size");
    let mut tally = Tally::default();
    tally.add(&super::windows::cut(&sliding, &text(5))[0], &[None, Some(9.0), Some(9.0), Some(1.0), Some(2.0)]);
    assert_eq!(tally.report().map(|r| (r.tokens, r.loss.mean)), Some((2, 1.5)));
}

#[test]
fn equal_units_have_the_usual_standard_error() {
    let values = [3.0, 1.0, 4.0, 1.0, 5.0];
    let mut ratio = Ratio::default();
    values.iter().for_each(|v| ratio.add(*v, 1.0));
    ratio.add(0.0, 0.0);
    let estimate = ratio.estimate().expect("five units");
    let variance = values.iter().map(|v| (v - 2.8f64).powi(2)).sum::<f64>() / 4.0;
    assert!(near(estimate.mean, 2.8) && near(estimate.standard_error.expect("five units"), (variance / 5.0).sqrt()));
    // Any table of Student's t.
    for (degrees, wanted) in
        [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (1 << 40, 1.96)]
    {
        assert!((student_t(degrees) - wanted).abs() < 5e-3, "{degrees}: {}", student_t(degrees));
    }
}

#[test]
fn the_numbers_are_those_of_the_logits() {
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        let fixture = fixtures::golden()[0].clone();
        let model =
            block_on(Model::load(fixture.opened(DType::F32), &device, LoadOptions::default())).expect("the fixture loads");
        let mut session = block_on(model.session()).expect("a session");
        let mut by_logits = block_on(model.session()).expect("a session");
        let tokens: Vec<Measured> = fixture.ids.iter().map(|id| Measured { id: *id, bytes: 3 }).collect();
        let opening = [fixture.ids[3]];
        for windows in [Windows::new(16, None, None, &[]), Windows::new(11, Some(4), None, &opening)] {
            let windows = windows.expect("a size");
            let (mut tally, mut means, mut all) = (Tally::default(), Vec::new(), Vec::new());
            for window in cut(&windows, &tokens) {
                let ids = ids(&window);
                tally.add(&window, &block_on(losses(&mut session, &ids)).expect("losses"));
                let wanted = losses_by_logits(&mut by_logits, &ids);
                let scored: Vec<f64> = wanted[window.first_scored..].iter().flatten().copied().collect();
                means.push((scored.iter().sum::<f64>(), scored.len() as f64));
                all.extend(wanted.into_iter().enumerate().skip(window.first_scored.max(1)));
            }
            let report = tally.report().expect("tokens were scored");
            let (total, n) = means.iter().fold((0.0, 0.0), |(t, n), (s, m)| (t + s, n + m));
            assert!(means.len() > 2 && report.tokens == n as u64 && report.loss.units == means.len() as u64);
            assert!((report.loss.mean - total / n).abs() < 1e-4, "{name}: {} {}", report.loss.mean, total / n);
            let bits = report.bits_per_byte.expect("there are bytes").mean;
            assert!((bits - total / n / 3.0 * std::f64::consts::LOG2_E).abs() < 1e-4);
            for bucket in &report.positions {
                let there = all.iter().filter(|(at, _)| (bucket.from..=bucket.to).contains(&(*at as u64)));
                let there: Vec<f64> = there.filter_map(|(_, loss)| *loss).collect();
                assert_eq!(there.len() as u64, bucket.tokens);
                assert!((there.iter().sum::<f64>() / there.len() as f64 - bucket.loss.mean).abs() < 1e-4);
            }
            assert_eq!(report.positions.iter().map(|b| b.tokens).sum::<u64>(), report.tokens);
        }
    }
}
