//! The RMS norm, a causal convolution of its result and the residual around both, for few tokens a sequence.

use super::causal_conv::{CausalConv, MAX_TAPS};
use super::rms_norm::RmsNorm;
use super::*;

/// `y = x + conv(n)` with `n` the RMS norm of x and `conv` the [`CausalConv`] of one filter, whose window holds rows of n.
///
/// Inputs: x `[tokens, C]`, the norm's weight `[C]`, w `[C, taps]`, bias `[C]`, window `[sequences, taps − 1, C]` (updated).
/// Outputs: y `[tokens, C]`, window.
#[derive(Debug, Clone, PartialEq)]
pub struct NormConv {
    /// The norm.
    pub norm: RmsNorm,
    /// Rows that a filter sees, 2 to 16.
    pub taps: usize,
}

/// Channels that a workgroup takes.
const CHANNELS: u32 = 256;

impl NormConv {
    fn conv(&self, residual: bool) -> CausalConv {
        CausalConv { filters: 1, taps: self.taps, silu: false, residual }
    }
}

impl Kernel for NormConv {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 5)?;
        let x = inputs[0];
        expect_weight(inputs, 1, x.width())?;
        // The errors of the convolution, by this kernel's inputs.
        self.conv(false).infer(&[x, inputs[2], inputs[3], inputs[4]]).map_err(|error| match error {
            OpError::Input { input, found, wanted } => OpError::Input { input: if input == 0 { 0 } else { input + 1 }, found, wanted },
            error => error,
        })
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(4, 1)]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let channels = x.desc.width();
        let grid = Grid(vec![Extent::fixed(channels, CHANNELS), Extent::new(Live::Sequences, 1)]);
        let launch = Launch::new("norm_conv", grid).part("workgroup_sum").bind(&["x", "norm", "w", "bias", "y", "window"]);
        let launch = launch.constant("TAPS", self.taps).size("CHANNELS", channels).set("EPS", self.norm.eps);
        let launch = launch.rounds(x.desc.rows() * (channels / 256 + 1 + 8 + 2 * self.taps) + 2 * MAX_TAPS);
        vec![launch.size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, norm, w, bias] = args.inputs[..] else { unreachable!("four inputs are only read") };
        let (rows, width) = (x.live(args.step), x.operand.desc.width());
        let mut normed = vec![0u32; rows * width];
        let normed_rows: &mut [f32] = bytemuck::cast_slice_mut(&mut normed);
        let [y, window] = &mut args.outputs[..] else { unreachable!("two outputs") };
        for (r, (y, normed)) in y.rows(rows).chunks_mut(width).zip(normed_rows.chunks_mut(width)).enumerate() {
            self.norm.row(x.row(r), norm.f32s(), normed);
            y.copy_from_slice(x.row(r));
        }
        let operand = Operand::whole(x.operand.desc.clone());
        let inputs = vec![In { operand: &operand, words: &normed }, w, bias];
        let outputs = [y, window].map(|out| Out { operand: out.operand, words: &mut *out.words }).into();
        self.conv(true).reference(&mut Args { step: args.step, part: args.part, inputs, outputs });
    }

    fn cost(&self, io: &Io) -> Cost {
        let x = &io.inputs[0].desc;
        let mut cost = Cost::streaming(io, ((4 + 2 * self.taps) * x.len()) as f64).and_read(&io.outputs[1]);
        // Each workgroup reads its rows whole.
        cost.moved += (x.len() * 4 * (x.width().div_ceil(CHANNELS as usize) - 1)) as f64;
        cost
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |counts: &[u32], channels: usize, taps: usize| {
        let rows = counts.iter().sum::<u32>() as usize;
        let weight = |seed, base, shape: &[usize]| {
            CaseInput::weight(Desc::fixed(DType::F32, shape), Fill::Uniform { seed, base, amplitude: 0.5 })
        };
        let inputs = vec![
            CaseInput::activation(Desc::tokens(rows, channels), Fill::uniform(1, 3.0)),
            weight(2, 1.0, &[channels]),
            weight(3, 0.0, &[channels, taps]),
            weight(4, 0.0, &[channels]),
            CaseInput::state(Desc::fixed(DType::F32, &[counts.len(), taps - 1, channels]), Fill::uniform(5, 2.0)),
        ];
        let step = || Step::new(counts.iter().map(|&n| Sequence::new(0, n)).collect());
        let name = format!("{counts:?} x{channels} taps {taps}");
        Case::new(name, NormConv { norm: RmsNorm { eps: 1e-6 }, taps }, rows, inputs).steps(vec![step(), step()])
    };
    vec![case(&[1], 1, 4), case(&[1, 0, 2, 9], 255, 4), case(&[3, 1], 256, 2), case(&[2], 600, 4), case(&[20], 70, 16)]
}
