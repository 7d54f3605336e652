//! The parts that attention gathered over splits of the positions, brought together.

use super::attend_decode::SPLIT;
use super::*;

/// `y[t, h] = Σₛ exp(mₛ − m) oₛ / Σₛ exp(mₛ − m) lₛ`, m the largest mₛ, over the splits s that token t sees.
/// Input: the output of [`super::attend_decode::AttendDecode`], `[tokens, heads · splits · (head_dim + 2)]`. Output: `[tokens, heads · head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AttendCombine {
    /// Query heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl AttendCombine {
    fn splits(&self, partial: &Desc) -> usize {
        partial.width() / (self.heads * (self.head_dim + 2))
    }
}

impl Kernel for AttendCombine {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 1)?;
        let (partial, unit) = (inputs[0], self.heads * (self.head_dim + 2));
        if partial.axis != Axis::Tokens || partial.dtype != DType::F32 || unit == 0 || !partial.width().is_multiple_of(unit) {
            return Err(OpError::input(inputs, 0, format!("f32[tokens, a multiple of {unit}]")));
        }
        Ok(vec![partial.with_width(self.heads * self.head_dim)])
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let launch = elementwise("attend_combine", &io.outputs[0].desc).part("sequence_of").bind(&["partial", "y"]);
        let launch = launch.size("HD", self.head_dim).size("SPLITS", self.splits(&io.inputs[0].desc));
        vec![launch.constant("SPLIT", SPLIT)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let (partial, y) = (args.inputs[0], &mut args.outputs[0]);
        let (width, unit) = (y.width(), self.head_dim + 2);
        let splits = self.splits(&partial.operand.desc);
        for s in &args.step.sequences {
            for t in 0..s.count {
                let (r, live) = ((s.first_row + t) as usize, (s.position + t) as usize / SPLIT + 1);
                let heads = partial.row(r).chunks(splits * unit);
                for (parts, y) in heads.zip(y.f32s()[r * width..][..width].chunks_mut(self.head_dim)) {
                    let parts = || parts.chunks(unit).take(live).map(|part| part.split_at(self.head_dim));
                    let largest = parts().map(|(_, ml)| ml[0]).fold(f32::MIN, f32::max);
                    let total: f32 = parts().map(|(_, ml)| (ml[0] - largest).exp() * ml[1]).sum();
                    y.fill(0.0);
                    parts().for_each(|(o, ml)| crate::vector::axpy((ml[0] - largest).exp() / total, o, y));
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 2.0 * io.inputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |heads: usize, head_dim: usize, splits: usize, fill, records: &[(u32, u32)]| {
        let rows = records.iter().map(|r| r.1).sum::<u32>() as usize;
        let partial = CaseInput::activation(Desc::tokens(rows, heads * splits * (head_dim + 2)), fill);
        let step = Step::new(records.iter().map(|&(position, n)| Sequence::new(position, n)).collect());
        let name = format!("{splits} splits of {heads}x{head_dim}, {fill:?} {records:?}");
        Case::new(name, AttendCombine { heads, head_dim }, rows, vec![partial]).steps(vec![step])
    };
    // The sums of exponentials are at least 1 where a kernel made them.
    let ordinary = Fill::Uniform { seed: 1, base: 3.0, amplitude: 2.0 };
    vec![
        case(1, 4, 1, ordinary, &[(0, 1)]),
        case(3, 20, 3, ordinary, &[(126, 4), (0, 1), (383, 1)]),
        case(2, 128, 2, ordinary, &[(127, 1), (128, 1)]),
        case(1, 257, 9, Fill::Constant(2.0), &[(1151, 1)]),
        case(2, 64, 4, Fill::Uniform { seed: 2, base: 600.0, amplitude: 500.0 }, &[(511, 1)]),
        // More workgroups than an axis has.
        case(9, 256, 1, ordinary, &[(0, 128); 64]).thorough(),
    ]
}
