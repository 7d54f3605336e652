//! The repetition penalty on the logits of each sequence.

use super::remember::expect_ring;
use super::*;
use crate::step::HISTORY;

/// For each distinct token among the last `last_n` of the sequence: x ← x / penalty if x > 0, else x · penalty.
/// Inputs: logits `[sequences, vocabulary]` (updated), ring `[sequences, 256]` with this run's tokens already in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Repetition;

impl Kernel for Repetition {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        sample::expect_logits(inputs)?;
        expect_ring(inputs, 1)?;
        Ok(vec![inputs[0].clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let grid = Grid(vec![Extent::new(Live::Sequences, 1)]);
        vec![Launch::new("repetition", grid).bind(&["ring", "logits"]).size("VOCABULARY", io.outputs[0].desc.width())]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let ring = args.inputs[0].u32s();
        let logits = &mut args.outputs[0];
        let width = logits.width();
        for (s, record) in args.step.sequences.iter().enumerate() {
            let end = (record.position + record.count) as usize;
            let n = (record.last_n as usize).min(end).min(HISTORY);
            let seen = |back: usize| ring[s * HISTORY + (end - 1 - back) % HISTORY];
            let logits = &mut logits.f32s()[s * width..][..width];
            for back in 0..n {
                if (0..back).any(|later| seen(later) == seen(back)) {
                    continue;
                }
                if let Some(x) = logits.get_mut(seen(back) as usize) {
                    *x *= if *x > 0.0 { record.inverse_penalty } else { record.penalty };
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let bytes = (io.outputs[0].desc.rows() * HISTORY * 12) as f64;
        Cost { operations: 0.0, least: bytes, moved: bytes }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |position: u32, last_n: u32, penalty: f32, distinct: u32| {
        let logits = CaseInput::activation(Desc::sequences(2, 300), Fill::uniform(1, 9.0));
        let ring = CaseInput::state(Desc::fixed(DType::U32, &[2, HISTORY]), Fill::Below { seed: 2, n: distinct });
        let mut sequences = vec![Sequence::new(position, 1); 2];
        for s in &mut sequences {
            (s.last_n, s.penalty, s.inverse_penalty) = (last_n, penalty, 1.0 / penalty);
        }
        let name = format!("last {last_n} at {position}, penalty {penalty}, {distinct} distinct");
        Case::new(name, Repetition, 2, vec![logits, ring]).steps(vec![Step::new(sequences)]).bound(0.0)
    };
    vec![case(0, 256, 1.5, 300), case(255, 256, 1.3, 20), case(300, 64, 2.0, 1), case(20_000, 256, 0.5, 400), case(9, 0, 3.0, 5)]
}
