//! The ring of the last tokens, which the repetition penalty reads.

use super::*;
use crate::step::HISTORY;

/// `ring[s, position mod 256] = id` for every token of the run. Inputs: ids `[tokens]` (u32), ring `[sequences, 256]` (u32, updated).
#[derive(Debug, Clone, PartialEq)]
pub struct Remember;

/// Checks that `input` is a ring of token ids.
pub(super) fn expect_ring(inputs: &[&Desc], input: usize) -> Result<(), OpError> {
    let d = inputs[input];
    if d.dtype == DType::U32 && d.axis == Axis::Fixed && d.width() == HISTORY {
        return Ok(());
    }
    Err(OpError::input(inputs, input, format!("u32[sequences, {HISTORY}]")))
}

impl Kernel for Remember {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        if inputs[0].dtype != DType::U32 || inputs[0].width() != 1 {
            return Err(OpError::input(inputs, 0, "u32 with one id a row"));
        }
        expect_ring(inputs, 1)?;
        Ok(vec![inputs[1].clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(1, 0)]
    }

    fn variants(&self, _: &Io, _: &Caps) -> Vec<Launch> {
        vec![Launch::new("remember", Grid(vec![Extent::new(Live::Sequences, 1)])).bind(&["ids", "ring"])]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let ids = args.inputs[0].u32s();
        let ring = args.outputs[0].u32s();
        for (s, record) in args.step.sequences.iter().enumerate() {
            for t in record.count.saturating_sub(HISTORY as u32)..record.count {
                let place = (record.position + t) as usize % HISTORY;
                ring[s * HISTORY + place] = ids[(record.first_row + t) as usize];
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let bytes = 8.0 * io.inputs[0].desc.rows() as f64;
        Cost { operations: 0.0, least: bytes, moved: bytes }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |records: &[(u32, u32)]| {
        let rows = records.iter().map(|r| r.1).sum::<u32>() as usize;
        let ids = CaseInput::activation(Desc::tokens(rows, 1).of(DType::U32), Fill::Below { seed: 1, n: 9999 });
        let ring = CaseInput::state(Desc::fixed(DType::U32, &[records.len(), HISTORY]), Fill::Below { seed: 2, n: 99 });
        let step = Step::new(records.iter().map(|&(position, n)| Sequence::new(position, n)).collect());
        Case::new(format!("{records:?}"), Remember, rows, vec![ids, ring]).steps(vec![step]).bound(0.0)
    };
    vec![case(&[(0, 1)]), case(&[(250, 10), (0, 0), (20_000, 3)]), case(&[(7, 255), (9, 256), (11, 257), (3, 600)])]
}
