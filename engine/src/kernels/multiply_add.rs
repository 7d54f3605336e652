//! Multiplies and adds without end: the ceiling of what any kernel can compute.

use rayon::prelude::*;

use super::*;
use crate::vector::multiply_adds;

/// `y[i] = Σₖ sₖ` after `8 · rounds` steps `s ← s · a + b`, from `sₖ = x[i] + k` for k < [`CHAINS`].
/// Inputs: x f32 `[n]`, factors f32 `[2]` (a, b). Output: y `[n]`.
///
/// A device that computes in f16 has a second variant, which is the same function where every number on the way is a half: with a = −1
/// and small integers, for instance.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiplyAdd {
    /// Rounds of eight steps.
    pub rounds: usize,
}

/// Sums side by side, none of which waits for another.
pub const CHAINS: usize = 12;

/// Steps of a round.
pub const STEPS: usize = 8;

impl MultiplyAdd {
    fn launch(&self, io: &Io, number: &'static str) -> Launch {
        let n = io.outputs[0].desc.len();
        Launch::new("multiply_add", Grid(vec![Extent::fixed(n, 256)]))
            .bind(&["x", "factors", "y"])
            .part(number)
            .size("ELEMENTS", n)
            .size("ROUNDS", self.rounds)
            .rounds(self.rounds)
    }
}

impl Kernel for MultiplyAdd {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        expect_weight(inputs, 0, inputs[0].len())?;
        expect_weight(inputs, 1, 2)?;
        Ok(vec![inputs[0].clone()])
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let half = caps.shader_f16.then(|| self.launch(io, "number_f16").enable("f16"));
        [self.launch(io, "number_f32")].into_iter().chain(half).collect()
    }

    fn reference(&self, args: &mut Args<'_>) {
        const LANES: usize = 8;
        let (x, factors) = (args.inputs[0].f32s(), args.inputs[1].f32s());
        let (a, b) = (factors[0], factors[1]);
        let y = &mut args.outputs[0].f32s()[..x.len()];
        y.par_chunks_mut(256).zip(x.par_chunks(256)).for_each(|(y, x)| {
            for (y, x) in y.chunks_mut(LANES).zip(x.chunks(LANES)) {
                let mut sums = [[0f32; LANES]; CHAINS];
                for (k, sums) in sums.iter_mut().enumerate() {
                    sums.iter_mut().zip(x).for_each(|(s, x)| *s = x + k as f32);
                }
                multiply_adds(&mut sums, a, b, STEPS * self.rounds);
                for (i, y) in y.iter_mut().enumerate() {
                    *y = sums.iter().map(|s| s[i]).sum();
                }
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let n = io.outputs[0].desc.len() as f64;
        Cost::streaming(io, 2.0 * (CHAINS * STEPS * self.rounds) as f64 * n)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |n: usize, rounds| {
        let x = CaseInput::activation(Desc::fixed(DType::F32, &[n, 1]), Fill::Below { seed: 1, n: 50 });
        let factors = CaseInput::activation(Desc::fixed(DType::F32, &[2, 1]), Fill::Constant(-1.0));
        Case::new(format!("{n} elements, {rounds} rounds"), MultiplyAdd { rounds }, 1, vec![x, factors]).bound(0.0)
    };
    vec![case(1, 1), case(300, 9), case(4096, 100).thorough()]
}
