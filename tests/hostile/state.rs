//! Damaged states of sessions.

use fastweight::generate::{Model, Session};
use fastweight::tensor::DType;
use pollster::block_on;
use serde_json::{Value, json};

use super::folder::{Folder, session, tokenizer};
use super::harness::Cases;
use super::targets::with_checksum;
use super::weights::bases;

/// A model with a tokenizer.
fn model() -> Model {
    let folder = Folder::new(&bases()[1], DType::F32).with_json("tokenizer.json", &tokenizer());
    folder.load().expect("a good model")
}

/// A model, and the state of a session of it that has read and written.
pub(crate) fn written() -> (Model, Vec<u8>) {
    let model = model();
    let mut session = session(&model);
    let ids: Vec<u32> = (0..21).map(|i| i * 7 % 32).collect();
    block_on(session.prefill(&ids)).expect("tokens of the vocabulary");
    for _ in 0..2 {
        block_on(session.next()).expect("a token");
    }
    let state = block_on(session.snapshot()).expect("the state of a session");
    (model, state)
}

/// The head and the tensors of a state.
fn parts(state: &[u8]) -> (Value, Vec<u8>) {
    let length = u32::from_le_bytes(state[12..16].try_into().expect("four bytes")) as usize;
    let head = serde_json::from_slice(&state[16..16 + length]).expect("the head of a state");
    (head, state[16 + length..state.len() - 4].to_vec())
}

/// A state of these bytes as its head, with a right checksum.
fn framed(head: &[u8], tensors: &[u8]) -> Vec<u8> {
    let length = (head.len() as u32).to_le_bytes();
    with_checksum(&[b"FWSTATE\0", &1u32.to_le_bytes()[..], &length, head, tensors].concat())
}

/// A state with another head.
fn edited(state: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut head, tensors) = parts(state);
    edit(&mut head);
    framed(head.to_string().as_bytes(), &tensors)
}

/// A session in the midst of something, which no refused state may change.
struct Watched {
    session: Session,
    before: Vec<u8>,
}

impl Watched {
    fn new(model: &Model) -> Watched {
        let mut session = session(model);
        block_on(session.prefill(&[3, 1, 4, 1, 5, 9, 2, 6])).expect("tokens of the vocabulary");
        block_on(session.next()).expect("a token");
        session.set_learning(0.5).expect("half is in range");
        let before = block_on(session.snapshot()).expect("the state of a session");
        Watched { session, before }
    }

    /// The state must be refused with these words, and the session stay as it is.
    fn refuse(&mut self, cases: &mut Cases, name: &str, state: &[u8], words: &[&str]) {
        let words: Vec<&str> = ["session state"].iter().chain(words).copied().collect();
        cases.refused(name, state.len(), &words, || block_on(self.session.restore(state)));
        if block_on(self.session.snapshot()).expect("the state afterwards") != self.before {
            cases.fail(format!("{name}: changes the session"));
            block_on(self.session.restore(&self.before)).expect("the state before");
        }
    }

    /// The session's next logits must be those of an undisturbed one.
    fn finish(mut self, model: &Model, cases: &mut Cases) {
        let next = |session: &mut Session| {
            let logits = block_on(session.logits(&[7, 8])).expect("tokens of the vocabulary");
            logits.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let mut undisturbed = Watched::new(model).session;
        if next(&mut self.session) != next(&mut undisturbed) {
            cases.fail("the logits after refused states are others");
        }
    }
}

#[test]
fn a_state_written_by_the_test_is_good() {
    let (model, state) = written();
    let (head, tensors) = parts(&state);
    let rewritten = framed(head.to_string().as_bytes(), &tensors);
    let mut session = session(&model);
    block_on(session.restore(&rewritten)).expect("a good state");
    assert_eq!(session.len(), 23);
    assert!(block_on(session.snapshot()).expect("its state") == state, "the state that was restored");
}

#[test]
fn damaged_frames() {
    let mut cases = Cases::new("frames of states");
    let (model, state) = written();
    let mut watched = Watched::new(&model);
    for cut in (0..64).map(|k| state.len() * k / 64).chain(0..24).chain([state.len() - 4, state.len() - 1]) {
        let words = ["it begins with|wanted|checksum"];
        watched.refuse(&mut cases, &format!("cut to {cut} bytes"), &state[..cut], &words);
        let words = ["it begins with|of version|bytes, wanted|head"];
        watched.refuse(
            &mut cases,
            &format!("cut to {cut} bytes with a right checksum"),
            &with_checksum(&state[..cut.min(state.len() - 5)]),
            &words,
        );
    }
    let longer = [&state[..], &[0]].concat();
    watched.refuse(&mut cases, "a byte more", &longer, &["checksum"]);
    let longer = with_checksum(&[&state[..state.len() - 4], &[0; 4]].concat());
    watched.refuse(&mut cases, "a number more", &longer, &["bytes, wanted"]);
    let mut put = |name: &str, at: usize, bytes: &[u8], words: &[&str]| {
        let mut damaged = state[..state.len() - 4].to_vec();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        watched.refuse(&mut cases, name, &with_checksum(&damaged), words);
    };
    put("another magic", 0, b"FWSTATE1", &["it begins with"]);
    put("a page", 0, b"<!DOCTYPE html>", &["it begins with"]);
    for version in [0u32, 2, u32::MAX] {
        put("another version", 8, &version.to_le_bytes(), &[&format!("of version {version}, wanted 1")]);
    }
    for length in [u32::MAX, 1 << 31, (16 << 20) + 1] {
        put("a head longer than any", 12, &length.to_le_bytes(), &[&format!("head's length is {length}"), "at most 16777216"]);
    }
    for length in [16 << 20, state.len() as u32, state.len() as u32 - 19] {
        put("a head longer than the file", 12, &length.to_le_bytes(), &["bytes, wanted", "the head and the checksum"]);
    }
    for length in [0u32, 1, 16] {
        put("a head cut short", 12, &length.to_le_bytes(), &["the head of the session state is unreadable"]);
    }
    put(
        "a head that reaches into the tensors",
        12,
        &(state.len() as u32 - 20).to_le_bytes(),
        &["the head of the session state is unreadable"],
    );
    watched.finish(&model, &mut cases);
    cases.finish();
}

#[test]
fn damaged_heads() {
    let mut cases = Cases::new("heads of states");
    let (model, state) = written();
    let mut watched = Watched::new(&model);
    let tensors = parts(&state).1;
    let unreadable = "the head of the session state is unreadable";
    let deep = format!("{{\"sampling\": {}", "[".repeat(100_000));
    for head in ["", "{}", "[]", "null", "3", "state", "{\"position\": 1}", "\"\\ud800\"", &deep] {
        watched.refuse(&mut cases, &format!("the head {:.20}", head), &framed(head.as_bytes(), &tensors), &[unreadable]);
    }
    watched.refuse(&mut cases, "no UTF-8", &framed(b"{\"\xff\": 1}", &tensors), &[unreadable]);

    let (many, long) = (json!(vec![0; 100_000]), json!("x".repeat(1 << 20)));
    let rows: Vec<(&str, Value, &str)> = vec![
        ("/fingerprint", json!("00"), "belongs to another model: its fingerprint is 00"),
        ("/fingerprint", json!(""), "belongs to another model"),
        ("/fingerprint", json!(null), unreadable),
        ("/fingerprint", long.clone(), "belongs to another model"),
        ("/fingerprint", json!("\u{1b}[2J"), "belongs to another model"),
        ("/position", json!(-1), unreadable),
        ("/position", json!(1u64 << 32), unreadable),
        ("/position", json!(1.5), unreadable),
        ("/position", json!("1"), unreadable),
        ("/pending", json!(32), "pending token is 32, wanted below 32"),
        ("/pending", json!(u32::MAX), "pending token is 4294967295"),
        ("/pending", json!(-1), unreadable),
        ("/learning", json!(-1), "learning scale is -1, wanted 0 to 100"),
        ("/learning", json!(-1e-3), "learning scale is -0.001"),
        ("/learning", json!(100.1), "learning scale is 100.1"),
        ("/learning", json!(1e39), "learning scale|unreadable"),
        ("/learning", json!(null), unreadable),
        ("/learning", json!("1"), unreadable),
        ("/sampling", json!(null), unreadable),
        ("/sampling", json!({}), unreadable),
        ("/sampling/temperature", json!(-1), "temperature is -1"),
        ("/sampling/temperature", json!(1e7), "temperature is 10000000"),
        ("/sampling/temperature", json!(1e300), "temperature|unreadable"),
        ("/sampling/top_p", json!(0), "top_p is 0"),
        ("/sampling/top_p", json!(1.5), "top_p is 1.5"),
        ("/sampling/min_p", json!(-0.5), "min_p is -0.5"),
        ("/sampling/min_p", json!(2), "min_p is 2"),
        ("/sampling/repeat_penalty", json!(0), "repeat_penalty is 0"),
        ("/sampling/repeat_penalty", json!(1000), "repeat_penalty is 1000"),
        ("/sampling/repeat_last_n", json!(257), "repeat_last_n is 257"),
        ("/sampling/repeat_last_n", json!(-1), unreadable),
        ("/sampling/top_k", json!(-1), unreadable),
        ("/sampling/seed", json!(-1), unreadable),
        ("/sampling/seed", json!(1e30), unreadable),
        ("/stream/ids", json!([32]), "text"),
        ("/stream/ids", json!([-1]), unreadable),
        ("/stream/ids", json!(null), unreadable),
        ("/stream/prefix_index", json!(100), "text"),
        ("/stream/prefix_index", json!(u64::MAX), "text"),
        ("/stream/prefix_index", json!(-1), unreadable),
        ("/stream/prefix", json!(5), unreadable),
        ("/held", json!(5), unreadable),
        ("/tensors", json!([]), "bytes, wanted"),
        ("/tensors", json!({}), unreadable),
        ("/tensors", many, unreadable),
        ("/tensors/0", json!(null), unreadable),
        ("/tensors/0/name", json!("session/other"), "tensor 0"),
        ("/tensors/0/name", long, "tensor 0"),
        ("/tensors/0/name", json!("\u{1b}[2J"), "tensor 0"),
        ("/tensors/0/dtype", json!("f32"), "tensor 0"),
        ("/tensors/2/dtype", json!("u32"), "tensor 2"),
        ("/tensors/2/dtype", json!("f64"), "tensor 2"),
    ];
    for (at, value, words) in rows {
        let damaged = edited(&state, |head| *head.pointer_mut(at).expect("a field of the head") = value.clone());
        let name: String = format!("{at} {value}").chars().take(60).collect();
        watched.refuse(&mut cases, &name, &damaged, &[words]);
    }
    let (head, _) = parts(&state);
    for field in head.as_object().expect("an object").keys() {
        let damaged = edited(&state, |head| drop(head.as_object_mut().expect("an object").remove(field)));
        // What may be nothing may be left out.
        if field != "pending" {
            watched.refuse(&mut cases, &format!("no {field}"), &damaged, &[unreadable]);
        }
    }
    for place in ["", "/sampling", "/stream", "/tensors/0"] {
        let damaged = edited(&state, |head| head.pointer_mut(place).expect("a place in the head")["more"] = 1.into());
        watched.refuse(&mut cases, &format!("an additional field in {place:?}"), &damaged, &[unreadable]);
    }
    watched.finish(&model, &mut cases);
    cases.finish();
}

#[test]
fn damaged_tensors() {
    let mut cases = Cases::new("tensors of states");
    let (model, state) = written();
    let mut watched = Watched::new(&model);
    let (head, tensors) = parts(&state);
    let head_bytes = head.to_string();
    let mut start = 0;
    for (i, tensor) in head["tensors"].as_array().expect("a list of tensors").iter().enumerate() {
        let (name, dtype) = (tensor["name"].as_str().expect("a name"), tensor["dtype"].as_str().expect("a type"));
        let len = tensor["len"].as_u64().expect("a length");
        for other in [len + 1, len - 1, 0, 2 * len, tensors.len() as u64, 1 << 31, 1 << 62, u64::MAX] {
            let damaged = edited(&state, |head| head["tensors"][i]["len"] = other.into());
            watched.refuse(&mut cases, &format!("{name} of {other}"), &damaged, &["bytes, wanted|tensor|element"]);
        }
        // Moved from one tensor to the next, so that the sum is right.
        let damaged = edited(&state, |head| {
            let (one, next) = (i, (i + 1) % head["tensors"].as_array().map_or(1, Vec::len));
            for (i, by) in [(one, 1), (next, -1)] {
                let len = head["tensors"][i]["len"].as_i64().expect("a length");
                head["tensors"][i]["len"] = (len + by).into();
            }
        });
        watched.refuse(&mut cases, &format!("{name} longer at the cost of the next"), &damaged, &["tensor"]);
        let bad: &[[u8; 4]] = match dtype {
            "f32" => &[f32::NAN.to_le_bytes(), f32::INFINITY.to_le_bytes(), f32::NEG_INFINITY.to_le_bytes()],
            _ => &[32u32.to_le_bytes(), u32::MAX.to_le_bytes()],
        };
        for (n, bad) in bad.iter().enumerate() {
            let at = [0, len as usize - 1, len as usize / 2][n];
            let mut damaged = tensors.clone();
            damaged[start + 4 * at..][..4].copy_from_slice(bad);
            let words = [name, &format!("element {at}")[..], "a finite number or a known token"];
            watched.refuse(&mut cases, &format!("{bad:02x?} in {name}"), &framed(head_bytes.as_bytes(), &damaged), &words);
        }
        start += 4 * len as usize;
    }
    assert_eq!(start, tensors.len(), "the head describes all tensors");
    let swapped = edited(&state, |head| head["tensors"].as_array_mut().expect("a list").swap(2, 3));
    watched.refuse(&mut cases, "two tensors swapped", &swapped, &["tensor"]);
    let more = edited(&state, |head| {
        let none = json!({"name": "more", "dtype": "f32", "len": 0});
        head["tensors"].as_array_mut().expect("a list").push(none);
    });
    watched.refuse(&mut cases, "an additional tensor", &more, &["number of tensors"]);
    watched.finish(&model, &mut cases);
    cases.finish();
}

#[test]
fn states_of_other_models() {
    let mut cases = Cases::new("states of other models");
    let (model, state) = written();
    let full = Folder::new(&bases()[1], DType::F32);
    let with_tokenizer = full.clone().with_json("tokenizer.json", &tokenizer());
    let mut other = bases()[1].clone();
    other.tensors.get_mut("model.layers.1.seq_modeling_block.W1").expect("a learned start").1[5] += 0.25;
    for (name, folder) in [
        ("the plainest model", Folder::new(&bases()[0], DType::F32)),
        ("the model without tokenizer", full),
        ("another learning rate", with_tokenizer.clone().configured("ttt_base_lr", json!(0.5))),
        ("another learned start", Folder::new(&other, DType::F32).with_json("tokenizer.json", &tokenizer())),
    ] {
        let other = folder.load().expect("a good model");
        let words = ["belongs to another model", other.fingerprint()];
        let mut watched = Watched::new(&other);
        watched.refuse(&mut cases, name, &state, &words);
        watched.finish(&other, &mut cases);
    }
    assert_eq!(with_tokenizer.load().expect("the same model").fingerprint(), model.fingerprint());
    cases.finish();
}

/// Every state that is taken can be gone on with: to its last position, from any numbers, with any text.
#[test]
fn strange_but_valid_states() {
    let mut cases = Cases::new("strange but valid states");
    let state = written().1;
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("the last position", edited(&state, |head| head["position"] = u32::MAX.into())),
        ("the last but one", edited(&state, |head| head["position"] = (u32::MAX - 1).into())),
        ("nothing pending", edited(&state, |head| head["pending"] = Value::Null)),
        ("a text of its own", edited(&state, |head| head["held"] = "ab\u{1b}[2J".into())),
        ("many tokens of text", edited(&state, |head| head["stream"]["ids"] = vec![1; 10_000].into())),
        ("no text", edited(&state, |head| head["stream"] = json!({"ids": [], "prefix": "", "prefix_index": 0}))),
        ("another text than its tokens'", edited(&state, |head| head["stream"]["prefix"] = "no text of these tokens".into())),
        ("half of the text's tokens", edited(&state, |head| head["stream"]["prefix_index"] = 1.into())),
        ("large numbers", {
            let (head, mut tensors) = parts(&state);
            let token_and_history: u64 = (0..2).map(|i| head["tensors"][i]["len"].as_u64().expect("a length")).sum();
            let floats = tensors[4 * token_and_history as usize..].as_chunks_mut::<4>().0;
            floats.iter_mut().for_each(|x| *x = 3e38f32.to_le_bytes());
            framed(head.to_string().as_bytes(), &tensors)
        }),
    ];
    for (name, state) in rows {
        // A model of its own: what happens to one session may hurt the others.
        let mut session = session(&model());
        cases.survived(format!("{name}: the state"), state.len(), || block_on(session.restore(&state)));
        cases.survived(format!("{name}: a token"), state.len(), || block_on(session.next()).map(|_| ()));
        cases.survived(format!("{name}: its losses"), state.len(), || block_on(session.read(&[1, 2, 3])).map(|_| ()));
        cases.survived(format!("{name}: a text"), state.len(), || {
            let mut writing = session.write(fastweight::generate::WritingOptions {
                predict: 4,
                stop: vec!["abc".into()],
                ..Default::default()
            });
            while block_on(writing.next())?.is_some() {}
            Ok::<(), fastweight::error::Error>(())
        });
        let logits = cases.survived(format!("{name}: its logits"), state.len(), || block_on(session.logits(&[4, 5])));
        if matches!(logits, Some(Ok(logits)) if logits.iter().any(|x| !x.is_finite())) {
            cases.fail(format!("{name}: logits that are no numbers, without an error"));
        }
        cases.survived(format!("{name}: its state"), state.len(), || block_on(session.snapshot()));
    }
    cases.finish();
}
