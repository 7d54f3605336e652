//! Rotary position embedding (arXiv 2104.09864): pairs of a head's elements turned by an angle that grows with the position.

use std::borrow::Cow;

use super::*;
use crate::vector::rotate;

/// For each pair (i, j) number n of each head: (yᵢ, yⱼ) = (xᵢ, xⱼ) turned by the angle p · fₙ of position p and frequency fₙ.
/// Inputs: x `[tokens, heads · head_dim]` and the table of [`Rope::table`], `[rows, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Width of a head, even.
    pub head_dim: usize,
    /// Which positions have angles of their own.
    pub positions: Positions,
    /// Whether pair n is (2n, 2n + 1), or else (n, n + head_dim / 2).
    pub interleaved: bool,
}

/// The positions that a rotation tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Those within a period, after which the angles repeat: the mini-batch of a TTT model.
    Periodic(usize),
    /// All below [`MAX_POSITIONS`].
    Full,
}

/// Rows of either half of the table for full positions.
const COARSE: usize = 1024;

/// Positions that the two halves of the table tell apart.
pub const MAX_POSITIONS: usize = COARSE * COARSE;

impl Rope {
    /// fₙ = θ^(−2n / head_dim).
    pub fn frequencies(head_dim: usize, theta: f64) -> Vec<f64> {
        (0..head_dim / 2).map(|n| theta.powf(-2.0 * n as f64 / head_dim as f64)).collect()
    }

    /// Rows of the table.
    pub fn rows(&self) -> usize {
        match self.positions {
            Positions::Periodic(period) => period,
            Positions::Full => 2 * COARSE,
        }
    }

    /// `[rows, head_dim]`: cos and sin of each pair's angle, side by side, for the positions of a period; or for the first 1024
    /// positions and then for the multiples of 1024, whose angles add up to that of any position. From the host in f64: the sine
    /// of WGSL is only good to 2⁻¹¹, and that only for small angles.
    pub fn table(&self, frequencies: &[f64]) -> Vec<f32> {
        let mut table = Vec::with_capacity(self.rows() * self.head_dim);
        for row in 0..self.rows() {
            let position = if self.positions == Positions::Full && row >= COARSE { (row - COARSE) * COARSE } else { row };
            for frequency in frequencies {
                let angle = position as f64 * frequency;
                table.extend([angle.cos() as f32, angle.sin() as f32]);
            }
        }
        table
    }

    /// From the first element of a pair to the second.
    pub(super) fn distance(&self) -> usize {
        if self.interleaved { 1 } else { self.head_dim / 2 }
    }

    /// cos and sin of each pair's angle at a position.
    fn turns<'a>(&self, table: &'a [f32], position: usize) -> Cow<'a, [f32]> {
        let row = |row: usize| &table[row * self.head_dim..][..self.head_dim];
        match self.positions {
            Positions::Periodic(period) => row(position % period).into(),
            Positions::Full => {
                let (a, b) = (row(COARSE + position / COARSE), row(position % COARSE));
                let pairs = a.chunks(2).zip(b.chunks(2));
                pairs.flat_map(|(a, b)| [a[0] * b[0] - a[1] * b[1], a[1] * b[0] + a[0] * b[1]]).collect()
            }
        }
    }
}

impl Kernel for Rope {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(OpError::Attribute { name: "head_dim", found: self.head_dim.to_string(), wanted: "an even number".into() });
        }
        let width = inputs[0].width();
        if inputs[0].axis != Axis::Tokens || inputs[0].dtype != DType::F32 || !width.is_multiple_of(self.head_dim) {
            return Err(OpError::input(inputs, 0, format!("f32 with a row a token and heads of {}", self.head_dim)));
        }
        expect_weight(inputs, 1, self.rows() * self.head_dim)?;
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = elementwise("rope", &io.outputs[0].desc).part("sequence_of").bind(&["x", "table", "y"]);
        let launch = launch.size("HEAD_DIM", self.head_dim).size("DISTANCE", self.distance());
        let launch = launch.size("X_STRIDE", x.stride).size("X_OFFSET", x.offset);
        vec![match self.positions {
            Positions::Periodic(period) => launch.part("turn_periodic").size("PERIOD", period),
            Positions::Full => launch.part("turn_full").constant("COARSE", COARSE),
        }]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, table] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let y = &mut args.outputs[0];
        let width = y.width();
        for s in &args.step.sequences {
            let (first, count) = (s.first_row as usize, s.count as usize);
            row_by_row(&mut y.f32s()[first * width..][..count * width], width, |t, y| {
                let turns = self.turns(table.f32s(), s.position as usize + t);
                for (x, y) in x.row(first + t).chunks(self.head_dim).zip(y.chunks_mut(self.head_dim)) {
                    rotate(x, &turns, self.interleaved, y);
                }
            });
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 3.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |head_dim, heads, positions, interleaved, position| {
        let rope = Rope { head_dim, positions, interleaved };
        let x = CaseInput::activation(Desc::tokens(9, heads * head_dim), Fill::uniform(1, 4.0));
        let table = CaseInput::weight(Desc::fixed(DType::F32, &[rope.rows(), head_dim]), Fill::uniform(2, 1.0));
        let step = Step::new(vec![Sequence::new(position, 4), Sequence::new(3, 5)]);
        let name = format!("heads {heads}x{head_dim} {positions:?} interleaved {interleaved} from {position}");
        Case::new(name, rope, 9, vec![x, table]).steps(vec![step])
    };
    vec![
        case(2, 1, Positions::Periodic(1), true, 0),
        case(4, 3, Positions::Periodic(7), true, 20_000),
        case(64, 4, Positions::Periodic(16), true, 14),
        case(96, 3, Positions::Periodic(16), false, 100),
        case(2, 1, Positions::Full, false, 1022),
        case(12, 5, Positions::Full, false, MAX_POSITIONS as u32 - 4),
        case(64, 5, Positions::Full, true, 4094),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_positions_have_their_own_angles() {
        let rope = Rope { head_dim: 8, positions: Positions::Full, interleaved: false };
        let frequencies = Rope::frequencies(8, 500_000.0);
        let table = rope.table(&frequencies);
        for position in [0, 1, 1023, 1024, 1025, 65_537, 131_071, MAX_POSITIONS - 1] {
            let turns = rope.turns(&table, position);
            for (turn, frequency) in turns.chunks(2).zip(&frequencies) {
                let angle = position as f64 * frequency;
                assert!((f64::from(turn[0]) - angle.cos()).abs() < 3e-7, "cos at {position}");
                assert!((f64::from(turn[1]) - angle.sin()).abs() < 3e-7, "sin at {position}");
            }
        }
    }
}
