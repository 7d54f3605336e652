//! The gated activation of the feed-forward block.

use super::*;
use crate::vector::gate_silu;

/// y = silu(gate) ∘ up, all `[rows, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Swiglu;

impl Kernel for Swiglu {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        infer_gated(inputs)
    }

    fn strided(&self, input: usize) -> bool {
        matches!(input, 0 | 1)
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        vec![launch_gated("swiglu", io).part("silu")]
    }

    fn reference(&self, args: &mut Args<'_>) {
        reference_gated(args, gate_silu);
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 5.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    cases_gated(|| Swiglu.into())
}
