//! The last token's row of each sequence, the only one whose logits decoding wants.

use super::*;

/// `y[s] = x[last row of sequence s]`. Input: x `[tokens, width]`; a sequence without tokens in the run keeps what y held.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRow {
    /// Capacity of the result, in sequences.
    pub sequences: usize,
}

impl Kernel for LastRow {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 1)?;
        if inputs[0].axis != Axis::Tokens || inputs[0].dtype != DType::F32 {
            return Err(OpError::input(inputs, 0, "f32 with a row a token"));
        }
        Ok(vec![Desc::sequences(self.sequences, inputs[0].width())])
    }

    fn strided(&self, input: usize, _: &Operand) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        vec![elementwise("last_row", &io.outputs[0].desc).bind(&["x", "y"]).size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let x = args.inputs[0];
        let y = &mut args.outputs[0];
        let width = y.width();
        for (s, record) in args.step.sequences.iter().enumerate().filter(|(_, r)| r.count > 0) {
            let row = (record.first_row + record.count - 1) as usize;
            y.f32s()[s * width..][..width].copy_from_slice(x.row(row));
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let bytes = 8.0 * io.outputs[0].desc.len() as f64;
        Cost { operations: 0.0, least: bytes, moved: bytes }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |counts: &[u32], width| {
        let rows = counts.iter().sum::<u32>() as usize;
        let x = CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(1, 1.0));
        let step = Step::new(counts.iter().map(|&n| Sequence::new(0, n)).collect());
        Case::new(format!("{counts:?}x{width}"), LastRow { sequences: counts.len() }, rows, vec![x]).steps(vec![step]).bound(0.0)
    };
    vec![case(&[1], 1), case(&[3, 1, 4], 255), case(&[2, 2], 257)]
}
