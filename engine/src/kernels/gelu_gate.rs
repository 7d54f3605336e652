//! The output gate of a TTT layer.

use super::*;
use crate::vector::gate_gelu;

/// y = gelu_tanh(gate) ∘ x, all `[rows, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct GeluGate;

impl Kernel for GeluGate {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        infer_gated(inputs)
    }

    fn strided(&self, input: usize) -> bool {
        matches!(input, 0 | 1)
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        vec![launch_gated("gelu_gate", io).part("gelu")]
    }

    fn reference(&self, args: &mut Args<'_>) {
        reference_gated(args, gate_gelu);
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 10.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    cases_gated(|| GeluGate.into())
}
