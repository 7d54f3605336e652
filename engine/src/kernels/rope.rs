//! Rotary position embedding by the position in the mini-batch, interleaved pairs.

use super::*;

/// For position p mod `period` and pair i of each head: (y₂ᵢ, y₂ᵢ₊₁) = (x₂ᵢ, x₂ᵢ₊₁) turned by the angle p · θ^(−2i/head_dim).
/// Inputs: x `[tokens, heads · head_dim]` and the table of [`Rope::table`], `[period, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Width of a head, even.
    pub head_dim: usize,
    /// Positions after which the angles repeat: the mini-batch.
    pub period: usize,
}

impl Rope {
    /// `[period, head_dim]`: cos and sin of each pair's angle, side by side. From the host in f64, since the sine of
    /// WGSL is only good to 2⁻¹¹.
    pub fn table(&self, theta: f64) -> Vec<f32> {
        let mut table = Vec::with_capacity(self.period * self.head_dim);
        for p in 0..self.period {
            for i in 0..self.head_dim / 2 {
                let angle = p as f64 * theta.powf(-2.0 * i as f64 / self.head_dim as f64);
                table.extend([angle.cos() as f32, angle.sin() as f32]);
            }
        }
        table
    }
}

impl Kernel for Rope {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        if !self.head_dim.is_multiple_of(2) {
            return Err(OpError::Attribute { name: "head_dim", found: self.head_dim.to_string(), wanted: "an even number".into() });
        }
        let width = inputs[0].width();
        if inputs[0].axis != Axis::Tokens || inputs[0].dtype != DType::F32 || !width.is_multiple_of(self.head_dim) {
            return Err(OpError::input(inputs, 0, format!("f32 with a row a token and heads of {}", self.head_dim)));
        }
        expect_weight(inputs, 1, self.period * self.head_dim)?;
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self) -> Vec<usize> {
        vec![0]
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = elementwise("rope", &io.outputs[0].desc).part("sequence_of").bind(&["x", "table", "y"]).size("HEAD_DIM", self.head_dim);
        vec![launch.size("PERIOD", self.period).size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, table] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let y = &mut args.outputs[0];
        let width = y.width();
        for s in &args.step.sequences {
            for t in 0..s.count {
                let r = (s.first_row + t) as usize;
                let p = (s.position + t) as usize % self.period;
                let turns = &table.f32s()[p * self.head_dim..][..self.head_dim];
                let (x, y) = (x.row(r), &mut y.f32s()[r * width..][..width]);
                for (x, y) in x.chunks(self.head_dim).zip(y.chunks_mut(self.head_dim)) {
                    for i in (0..self.head_dim).step_by(2) {
                        let (cos, sin) = (turns[i], turns[i + 1]);
                        y[i] = x[i] * cos - x[i + 1] * sin;
                        y[i + 1] = x[i + 1] * cos + x[i] * sin;
                    }
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 3.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |head_dim, heads, period, position| {
        let x = CaseInput::activation(Desc::tokens(9, heads * head_dim), Fill::uniform(1, 4.0));
        let table = CaseInput::weight(Desc::fixed(DType::F32, &[period, head_dim]), Fill::uniform(2, 1.0));
        let step = Step::new(vec![Sequence::new(position, 4), Sequence::new(3, 5)]);
        let name = format!("heads {heads}x{head_dim} period {period} from {position}");
        Case::new(name, Rope { head_dim, period }, 9, vec![x, table]).steps(vec![step])
    };
    vec![case(2, 1, 1, 0), case(4, 3, 7, 20_000), case(64, 4, 16, 14), case(96, 3, 16, 100)]
}
