//! The recurrence of Mamba-2: heads with one rate of decay each, so that a chunk of tokens is a few matrix products.

use super::scan::Scan;
use super::*;

/// Per head, with Δ = softplus(dt + bias) held to the layer's limits, A = −exp(log(−A)), and B and C of the head's group, each channel has
///
///   s ← exp(Δ A) s + Δ x B,  y = s·C + D x, and with `gated` y ∘ silu(gate)
///
/// (State space duality, arXiv 2405.21060.) Inputs: x `[tokens, heads · head_dim]`, dt `[tokens, heads]`, bc `[tokens, 2 · groups · state]`
/// (B of every group, then C), params (log(−A), bias and D, `[heads]` each, end to end), the states
/// `[sequences · heads, head_dim · state]` (updated), and the gate, like x, if `gated`. Outputs: y, like x, and the states.
#[derive(Debug, Clone, PartialEq)]
pub struct Ssd {
    /// Heads, groups and the state.
    pub space: StateSpace,
    /// Whether a sixth input gates the result.
    pub gated: bool,
}

impl Ssd {
    fn scan(&self) -> Scan {
        Scan { space: self.space, rates: 1, gated: self.gated }
    }
}

impl Kernel for Ssd {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        self.scan().infer(inputs)
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(4, 1)]
    }

    fn divisible(&self) -> Vec<usize> {
        vec![4]
    }

    fn strided(&self, input: usize) -> bool {
        Scan::strided(input)
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let scan = self.scan();
        let (chunks, tokens) = (scan.by_chunks(io), scan.by_tokens(io, 1));
        if scan.few(io) { vec![tokens, chunks] } else { vec![chunks, tokens] }
    }

    fn reference(&self, args: &mut Args<'_>) {
        self.scan().reference(args);
    }

    fn cost(&self, io: &Io) -> Cost {
        self.scan().cost(io)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let layer = |heads, head_dim, groups, state, gated| {
        let space = StateSpace { heads, head_dim, groups, state, step_limit: [0.0, f32::MAX] };
        Scan { space, rates: 1, gated }
    };
    let limited = |mut scan: Scan| {
        scan.space.step_limit = [0.5, 1.5];
        scan
    };
    super::scan::cases(
        |scan| Ssd { space: scan.space, gated: scan.gated }.into(),
        &[
            (layer(1, 1, 1, 1, false), &[&[1], &[2]], 3.0),
            (layer(2, 8, 1, 16, true), &[&[15], &[16], &[17], &[1]], 3.0),
            (layer(4, 12, 2, 15, false), &[&[3, 0, 33], &[1, 20, 0]], 3.0),
            (limited(layer(3, 5, 3, 17, true)), &[&[40]], 3.0),
            (layer(2, 63, 1, 64, true), &[&[18]], 60.0),
            (layer(1, 64, 1, 128, true), &[&[20], &[1]], 3.0),
            (layer(2, 65, 2, 33, false), &[&[17, 2]], 1e4),
            (layer(1, 130, 1, 256, true), &[&[19]], 3.0),
            (layer(4, 64, 1, 128, true), &[&[70, 33, 1], &[1, 1, 1]], 3.0),
        ],
    )
}
