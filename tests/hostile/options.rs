//! Tokens and options out of range, in every call that takes them.

use fastweight::generate::{Sampling, Session};
use fastweight::tensor::DType;
use pollster::block_on;

use super::folder::{Folder, session};
use super::harness::Cases;
use super::weights::bases;

/// The bits of the next logits.
fn logits(session: &mut Session) -> Vec<u32> {
    let logits = block_on(session.logits(&[4])).expect("a token of the vocabulary");
    logits.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn tokens_out_of_range() {
    let mut cases = Cases::new("tokens out of range");
    let model = Folder::new(&bases()[1], DType::F32).load().expect("a good model");
    let mut session = session(&model);
    block_on(session.prefill(&[1, 2, 3])).expect("tokens of the vocabulary");
    let mut batch = block_on(model.batch(2)).expect("two sequences");
    let before = block_on(session.snapshot()).expect("its state");
    for (place, bad) in [(0, 32), (1, 33), (4, u32::MAX), (2, 1 << 31)] {
        let mut tokens = [5, 6, 7, 8, 9];
        tokens[place] = bad;
        let words = [&format!("token id {bad} at place {place}")[..], "outside the vocabulary of 32"];
        cases.refused("prefill", 0, &words, || block_on(session.prefill(&tokens)));
        cases.refused("read", 0, &words, || block_on(session.read(&tokens)));
        cases.refused("logits", 0, &words, || block_on(session.logits(&tokens)));
        cases.refused("prefill of a batch", 0, &words, || block_on(batch.prefill(&[&[1, 2], &tokens])));
        cases.refused("logits of a batch", 0, &words, || block_on(batch.logits(&[&tokens, &[1, 2]])));
        if place < 2 {
            cases.refused("decode", 0, &words, || block_on(batch.decode(&tokens[..2], &[Sampling::greedy(); 2])));
        }
        assert!(block_on(session.snapshot()).expect("its state") == before, "a bad token changes the session");
        assert_eq!(batch.positions(), [0, 0], "a bad token changes the batch");
    }
    cases.finish();
}

#[test]
fn empty_prompts() {
    let mut cases = Cases::new("empty prompts");
    let model = Folder::new(&bases()[1], DType::F32).load().expect("a good model");
    let mut session = session(&model);
    let empty = ["the prompt is empty"];
    cases.refused("a token", 0, &empty, || block_on(session.next()));
    cases.refused("a text", 0, &empty, || block_on(session.write(Default::default()).next()));
    cases.taken("an empty prefill", 0, || block_on(session.prefill(&[])));
    cases.taken("an empty read", 0, || block_on(session.read(&[])).map(|losses| assert!(losses.is_empty())));
    cases.taken("empty logits", 0, || block_on(session.logits(&[])).map(|logits| assert!(logits.is_empty())));
    cases.refused("a token after nothing", 0, &empty, || block_on(session.next()));
    assert!(session.is_empty());
    block_on(session.prefill(&[1])).expect("a token of the vocabulary");
    cases.taken("a token", 0, || block_on(session.next()));
    block_on(session.reset()).expect("the start");
    cases.refused("a token after a reset", 0, &empty, || block_on(session.next()));
    // After logits every token is taken in and none is pending, but the session is not empty.
    block_on(session.logits(&[1, 2])).expect("tokens of the vocabulary");
    match block_on(session.next()) {
        Ok(_) => cases.fail("a token after logits: drawn from nothing"),
        Err(error) if error.to_string().contains("so is the session") => cases.fail(format!("a token after logits: {error}")),
        Err(_) => {}
    }
    cases.finish();
}

#[test]
fn options_out_of_range() {
    let mut cases = Cases::new("options out of range");
    let model = Folder::new(&bases()[1], DType::F32).load().expect("a good model");
    let mut session = session(&model);
    block_on(session.prefill(&[1, 2, 3])).expect("tokens of the vocabulary");
    let (sampling, learning) = (*session.sampling(), session.learning());
    let good = Sampling::default();
    let numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -f32::MIN_POSITIVE, f32::MAX];
    let mut rows: Vec<(&str, f32, Sampling)> = Vec::new();
    for x in numbers {
        rows.push(("temperature", x, Sampling { temperature: x, ..good }));
        rows.push(("top_p", x, Sampling { top_p: x, ..good }));
        rows.push(("min_p", x, Sampling { min_p: x, ..good }));
        rows.push(("repeat_penalty", x, Sampling { repeat_penalty: x, ..good }));
    }
    rows.push(("top_p", 0.0, Sampling { top_p: 0.0, ..good }));
    rows.push(("top_p", 1.5, Sampling { top_p: 1.5, ..good }));
    rows.push(("min_p", 1.5, Sampling { min_p: 1.5, ..good }));
    rows.push(("repeat_penalty", 0.0, Sampling { repeat_penalty: 0.0, ..good }));
    rows.push(("repeat_last_n", 257.0, Sampling { repeat_last_n: 257, ..good }));
    rows.push(("repeat_last_n", u32::MAX as f32, Sampling { repeat_last_n: u32::MAX, ..good }));
    let mut batch = block_on(model.batch(1)).expect("one sequence");
    for (name, x, sampling) in rows {
        let words = [&format!("{name} is {x}")[..], "wanted"];
        cases.refused(format!("{name} {x}"), 0, &words, || session.set_sampling(sampling));
        cases.refused(format!("{name} {x} in a batch"), 0, &words, || block_on(batch.decode(&[1], &[sampling])));
    }
    for x in numbers.into_iter().chain([100.5]) {
        cases.refused(format!("learning {x}"), 0, &[&format!("learning is {x}")[..], "wanted 0 to 100"], || {
            session.set_learning(x)
        });
    }
    assert_eq!(
        (*session.sampling(), session.learning(), batch.positions()),
        (sampling, learning, &[0][..]),
        "refused options change nothing"
    );

    // The ends of each range are in it, and give a token.
    let ends = [
        Sampling { temperature: 0.0, ..good },
        Sampling { temperature: 1e6, top_k: u32::MAX, ..good },
        Sampling { temperature: f32::MIN_POSITIVE, ..good },
        Sampling { top_p: f32::MIN_POSITIVE, min_p: 1.0, ..good },
        Sampling { top_p: 1.0, min_p: 0.0, top_k: 0, ..good },
        Sampling { min_p: f32::from_bits(1), temperature: 1e6, ..good },
        Sampling { repeat_penalty: 0.01, repeat_last_n: 256, seed: u64::MAX, ..good },
        Sampling { repeat_penalty: 100.0, repeat_last_n: 0, top_k: 1, ..good },
    ];
    for sampling in ends {
        cases.taken(format!("{sampling:?}"), 0, || {
            session.set_sampling(sampling)?;
            block_on(session.next())
        });
    }
    for learning in [0.0, 100.0] {
        session.set_learning(learning).expect("the end of the range");
        assert_eq!(logits(&mut session).len(), 32);
    }
    cases.finish();
}

#[test]
fn numbers_of_sequences() {
    let mut cases = Cases::new("numbers of sequences");
    let model = Folder::new(&bases()[1], DType::F32).load().expect("a good model");
    for n in [0, 65, 1 << 20, usize::MAX] {
        cases.refused(format!("{n} sequences"), 0, &[&format!("{n} sequences")[..], "wanted 1 to 64"], || {
            block_on(model.batch(n))
        });
    }
    let mut batch = block_on(model.batch(2)).expect("two sequences");
    let greedy = [Sampling::greedy(); 3];
    let two = "wanted 2";
    cases.refused("one prompt for two", 0, &["1 sequences", two], || block_on(batch.prefill(&[&[1]])));
    cases.refused("three prompts for two", 0, &["3 sequences", two], || block_on(batch.prefill(&[&[1], &[2], &[3]])));
    cases.refused("no prompt for two", 0, &["0 sequences", two], || block_on(batch.logits(&[])));
    cases.refused("three tokens for two", 0, &["3 sequences", two], || block_on(batch.decode(&[1, 2, 3], &greedy)));
    cases.refused("one token for two", 0, &["1 sequences", two], || block_on(batch.decode(&[1], &greedy[..2])));
    cases.refused("three options for two", 0, &["3 sequences", two], || block_on(batch.decode(&[1, 2], &greedy)));
    cases.taken("two empty prompts", 0, || block_on(batch.prefill(&[&[], &[]])));
    cases.taken("one empty prompt", 0, || block_on(batch.prefill(&[&[1, 2, 3], &[]])));
    assert_eq!(batch.positions(), [3, 0]);
    cases.finish();
}
