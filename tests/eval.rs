//! Evaluation: windows and their numbers by hand, against the logits, and on texts that are no texts.

#[path = "eval/memory.rs"]
mod memory;
#[path = "eval/text.rs"]
mod text;
#[path = "eval/windows.rs"]
mod windows;

use fastweight::generate::Session;
use pollster::block_on;

/// The loss of each token by log-softmax over the logits in f64; none for the first.
fn losses_by_logits(session: &mut Session, ids: &[u32]) -> Vec<Option<f64>> {
    block_on(session.reset()).expect("a reset");
    let vocabulary = session.model().architecture().vocabulary();
    let logits = block_on(session.logits(ids)).expect("logits");
    let loss = |(row, id): (&[f32], &u32)| {
        let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        sum.ln() - f64::from(row[*id as usize])
    };
    std::iter::once(None).chain(logits.chunks(vocabulary).zip(&ids[1..]).map(|pair| Some(loss(pair)))).collect()
}
