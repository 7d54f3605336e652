//! The recurrence of Mamba: every channel has a state with rates of decay of its own, and input chooses what enters it.

use super::scan::Scan;
use super::*;

/// Per channel, with Δ = softplus(dt + bias) and A = −exp(log(−A)):
///
///   s ← exp(Δ A) ∘ s + Δ x B,  y = s·C + D x, and with `gated` y ∘ silu(gate)
///
/// (arXiv 2312.00752.) Inputs: x `[tokens, channels]`, dt `[tokens, channels]`, bc `[tokens, 2 · state]` (B, then C),
/// params (log(−A) `[channels, state]`, bias and D `[channels]`, end to end), the states `[sequences · channels, state]` (updated), and
/// the gate `[tokens, channels]` if `gated`. Outputs: y `[tokens, channels]`, the states.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectiveScan {
    /// Channels of a row.
    pub channels: usize,
    /// Elements of a channel's state, 1 to 256.
    pub state: usize,
    /// Whether a sixth input gates the result.
    pub gated: bool,
}

impl SelectiveScan {
    /// Every channel is a head of its own.
    fn scan(&self) -> Scan {
        let space = StateSpace { heads: self.channels, head_dim: 1, groups: 1, state: self.state, step_limit: [0.0, f32::MAX] };
        Scan { space, rates: self.state, gated: self.gated }
    }
}

impl Kernel for SelectiveScan {
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
        let (tiled, single) = (scan.by_tokens(io, 8), scan.by_tokens(io, 1));
        if scan.few(io) { vec![single, tiled] } else { vec![tiled, single] }
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
    let layer = |channels, state, gated| SelectiveScan { channels, state, gated }.scan();
    let op = |scan: Scan| {
        let Scan { space: StateSpace { heads: channels, state, .. }, gated, .. } = scan;
        SelectiveScan { channels, state, gated }.into()
    };
    super::scan::cases(
        op,
        &[
            (layer(1, 1, false), &[&[1], &[2]], 3.0),
            (layer(63, 16, true), &[&[7], &[1], &[9]], 3.0),
            (layer(64, 16, false), &[&[8]], 60.0),
            (layer(65, 15, true), &[&[3, 0, 18], &[1, 20, 0]], 3.0),
            (layer(17, 17, true), &[&[2, 1], &[1, 1]], 1e4),
            (layer(5, 64, false), &[&[10]], 3.0),
            (layer(18, 255, true), &[&[3, 5]], 3.0),
            (layer(3, 256, false), &[&[2]], 3.0),
            (layer(66_000, 4, true), &[&[2]], 3.0),
            (layer(300, 16, true), &[&[70, 33, 1]], 3.0),
        ],
    )
}
