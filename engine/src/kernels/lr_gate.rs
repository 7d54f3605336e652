//! The learned inner learning rate of a TTT layer: one number a head and token.

use super::*;
use crate::vector::sigmoid;

/// lr = scale · learning · sigmoid(z + bias). Inputs: z `[tokens, heads]`, bias `[heads]`; `learning` is the sequence's
/// step value.
#[derive(Debug, Clone, PartialEq)]
pub struct LrGate {
    /// ttt_base_lr / head_dim.
    pub scale: f32,
}

impl Kernel for LrGate {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let width = inputs[0].width();
        if inputs[0].axis != Axis::Tokens || inputs[0].dtype != DType::F32 {
            return Err(OpError::input(inputs, 0, "f32 with a row a token"));
        }
        expect_weight(inputs, 1, width)?;
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self, input: usize, _: &Operand) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let z = &io.inputs[0];
        let launch = elementwise("lr_gate", &io.outputs[0].desc).part("sequence_of").bind(&["z", "bias", "lr"]);
        vec![launch.size("Z_STRIDE", z.stride).size("Z_OFFSET", z.offset).set("SCALE", self.scale)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [z, bias] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let lr = &mut args.outputs[0];
        let width = lr.width();
        for s in &args.step.sequences {
            let scale = self.scale * s.learning;
            for r in s.first_row as usize..(s.first_row + s.count) as usize {
                let lr = &mut lr.f32s()[r * width..][..width];
                for ((lr, z), bias) in lr.iter_mut().zip(z.row(r)).zip(bias.f32s()) {
                    *lr = scale * sigmoid(z + bias);
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 4.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |counts: &[u32], heads, amplitude| {
        let rows = counts.iter().sum::<u32>() as usize;
        let z = CaseInput::activation(Desc::tokens(rows, heads), Fill::uniform(1, amplitude));
        let bias = CaseInput::weight(Desc::fixed(DType::F32, &[heads]), Fill::uniform(2, 1.0));
        let mut sequences: Vec<_> = counts.iter().map(|&n| Sequence::new(0, n)).collect();
        sequences[0].learning = 0.25;
        let name = format!("{counts:?}x{heads} ±{amplitude}");
        Case::new(name, LrGate { scale: 1.0 / 64.0 }, rows, vec![z, bias]).steps(vec![Step::new(sequences)])
    };
    vec![case(&[1], 1, 1.0), case(&[3, 1, 5], 4, 6.0), case(&[2, 2], 257, 200.0)]
}
