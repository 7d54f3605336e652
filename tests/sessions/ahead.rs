//! Several tokens a submit: the same tokens, one submit for sixteen, and whatever is not given out leaves no trace.

use fastweight::device::Device;
use fastweight::generate::{Model, Sampling, Session};
use fastweight::step::MAX_RUNS;
use fastweight_tests::fixtures::{self, Fixture};
use fastweight_tests::{fresh_software, software};
use pollster::block_on;

use super::{load, session};

/// One of each family and inner model: states of every kind, mini-batches of several lengths.
fn families() -> Vec<Fixture> {
    let mut families = vec![fixtures::golden().swap_remove(1), fixtures::golden().swap_remove(3), fixtures::golden_mamba()];
    families.extend(fixtures::made_cases().into_iter().find(|f| f.name.starts_with("mamba2-")));
    families.extend(fixtures::llama().into_iter().take(1));
    families
}

/// A session that has read some tokens and draws with a seed.
fn begun(model: &Model, fixture: &Fixture, tokens_per_submit: usize) -> Session {
    let mut session = session(model);
    session.set_sampling(Sampling { seed: 11, temperature: 1.0, repeat_penalty: 1.1, ..Sampling::default() }).expect("options");
    session.set_tokens_per_submit(Some(tokens_per_submit)).expect("a number in range");
    block_on(session.prefill(&fixture.ids[..21])).expect("prefill");
    session
}

fn draw(session: &mut Session, tokens: usize) -> Vec<u32> {
    (0..tokens).map(|_| block_on(session.next()).expect("a token").id).collect()
}

/// The logits after each of some tokens that a session reads next, from its saved state, on another session of `model`.
fn going_on(session: &mut Session, model: &Model, tokens: &[u32]) -> (Vec<u8>, Vec<f32>) {
    let saved = block_on(session.snapshot()).expect("a state");
    let mut other = self::session(model);
    block_on(other.restore(&saved)).expect("it goes on");
    let logits = block_on(other.logits(tokens)).expect("logits");
    (saved, logits)
}

#[test]
fn wherever_a_submit_is_left_the_session_is_as_if_it_drew_one_by_one() {
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        for fixture in families() {
            let model = load(&fixture, &device);
            let mut alone = begun(&model, &fixture, 1);
            let mut tokens = Vec::new();
            for stop in 1..=MAX_RUNS {
                tokens.extend(draw(&mut alone, 1));
                let mut ahead = begun(&model, &fixture, MAX_RUNS);
                let case = format!("{} on {name}, left after {stop}", fixture.name);
                assert_eq!(draw(&mut ahead, stop), tokens, "{case}");
                assert_eq!(ahead.len(), alone.len(), "{case}");
                let rest = &fixture.ids[..3];
                let ((state, wanted), (left, found)) = (going_on(&mut alone, &model, rest), going_on(&mut ahead, &model, rest));
                assert!(left == state, "{case}: another state");
                let scale = wanted.iter().fold(1f32, |m, x| m.max(x.abs()));
                let worst = wanted.iter().zip(&found).map(|(a, b)| (a - b).abs() / scale).fold(0f32, f32::max);
                assert!(worst <= 2e-4, "{case}: logits differ by {worst}");
                // And itself, which put its states back, draws what the other draws.
                assert_eq!(draw(&mut ahead, 2), draw(&mut block_on(alone.fork()).expect("a fork"), 2), "{case}");
            }
        }
    }
}

#[test]
fn what_was_drawn_ahead_is_given_out_only_if_it_would_be_drawn_now() {
    let fixture = &fixtures::golden()[1];
    let model = load(fixture, &software());
    let turned = |tokens_per_submit: usize| {
        let mut session = begun(&model, fixture, tokens_per_submit);
        let mut tokens = draw(&mut session, 3);
        session.set_sampling(Sampling { seed: 5, ..*session.sampling() }).expect("options");
        tokens.extend(draw(&mut session, 3));
        session.set_learning(0.0).expect("a scale");
        tokens.extend(draw(&mut session, 3));
        block_on(session.prefill(&fixture.ids[..5])).expect("prefill");
        tokens.extend(draw(&mut session, 3));
        let fork = draw(&mut block_on(session.fork()).expect("a fork"), 2);
        tokens.extend(fork);
        tokens.extend(draw(&mut session, 3));
        block_on(session.reset()).expect("a reset");
        block_on(session.prefill(&fixture.ids[..5])).expect("prefill");
        tokens.extend(draw(&mut session, 3));
        tokens
    };
    assert_eq!(turned(MAX_RUNS), turned(1));
}

#[test]
fn sixteen_tokens_are_one_submit() {
    let device = fresh_software();
    for fixture in families() {
        let model = load(&fixture, &device);
        let mut session = begun(&model, &fixture, MAX_RUNS);
        draw(&mut session, MAX_RUNS);
        let before = device.counters();
        draw(&mut session, 4 * MAX_RUNS);
        let after = device.counters();
        assert_eq!(after.submits - before.submits, 4, "{}", fixture.name);
        assert_eq!(after.passes - before.passes, 4, "{}", fixture.name);
    }
}
