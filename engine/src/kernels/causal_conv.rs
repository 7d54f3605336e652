//! Causal depth-wise convolution with its window, and the activation or the residual after it.

use super::*;
use crate::vector::{add_products, silus};

/// `y[t, f·C + c] = bias[f, c] + Σₖ w[f, c, k] · x[t − taps + 1 + k, c]` for `filters` filters of one input of C channels,
/// then `silu`; the rows before this run come from the window. The last tap is the current token.
///
/// Inputs: x `[tokens, C]`, w `[filters · C, taps]`, bias `[filters · C]`, window `[sequences, taps − 1, C]` (updated: the last
/// rows of x, oldest first), and with `residual` (one filter) the value that the result is added to in place.
/// Outputs: y `[tokens, filters · C]`, window.
#[derive(Debug, Clone, PartialEq)]
pub struct CausalConv {
    /// Filters per channel.
    pub filters: usize,
    /// Rows that a filter sees, 2 to 16.
    pub taps: usize,
    /// Whether the result goes through SiLU.
    pub silu: bool,
    /// Whether a fifth input is added.
    pub residual: bool,
}

/// Channels that a workgroup works on side by side.
const CHANNELS: u32 = 64;
/// The longest filter.
pub(super) const MAX_TAPS: usize = 16;

impl Kernel for CausalConv {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, if self.residual { 5 } else { 4 })?;
        if !(2..=MAX_TAPS).contains(&self.taps) {
            return Err(OpError::Attribute { name: "taps", found: self.taps.to_string(), wanted: "2 to 16".into() });
        }
        if self.filters == 0 || (self.residual && self.filters != 1) {
            let wanted = if self.residual { "1 with a residual" } else { "at least 1" };
            return Err(OpError::Attribute { name: "filters", found: self.filters.to_string(), wanted: wanted.into() });
        }
        let (x, window) = (inputs[0], inputs[3]);
        if x.axis != Axis::Tokens || x.dtype != DType::F32 {
            return Err(OpError::input(inputs, 0, "f32 with a row a token"));
        }
        let channels = x.width();
        expect_weight(inputs, 1, self.filters * channels * self.taps)?;
        expect_weight(inputs, 2, self.filters * channels)?;
        if window.dtype != DType::F32 || window.axis != Axis::Fixed || window.width() != (self.taps - 1) * channels {
            return Err(OpError::input(inputs, 3, format!("f32[sequences, {}, {channels}]", self.taps - 1)));
        }
        if self.residual {
            expect_rows(inputs, 4, x, channels)?;
        }
        Ok(vec![x.with_width(self.filters * channels), window.clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        if self.residual { vec![(3, 1), (4, 0)] } else { vec![(3, 1)] }
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let channels = x.desc.width();
        let grid = Grid(vec![Extent::fixed(channels, CHANNELS), Extent::new(Live::Sequences, 1)]);
        let store = if self.residual { "store_residual" } else { "store_plain" };
        let launch = Launch::new("causal_conv", grid).part(store).bind(&["x", "w", "bias", "y", "window"]).constant("TAPS", self.taps);
        let launch = if self.silu { launch.part("activation_silu").part("silu") } else { launch.part("activation_none") };
        let launch = launch.size("CHANNELS", channels).size("FILTERS", self.filters);
        vec![launch.size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, w, bias] = args.inputs[..] else { unreachable!("three inputs are only read") };
        let [y, window] = &mut args.outputs[..] else { unreachable!("two outputs") };
        let (channels, past) = (x.operand.desc.width(), self.taps - 1);
        let (y_width, taps, bias) = (y.width(), self.taps, bias.f32s());
        // Tap by tap, so that channels lie side by side.
        let w = w.f32s();
        let by_tap: Vec<f32> = (0..taps).flat_map(|k| w[..y_width * taps].iter().skip(k).step_by(taps)).copied().collect();
        for (s, record) in args.step.sequences.iter().enumerate() {
            let window = &mut window.f32s()[s * past * channels..][..past * channels];
            let (first, count) = (record.first_row as usize, record.count as usize);
            let ys = &mut y.f32s()[first * y_width..][..count * y_width];
            row_by_row(ys, y_width, |t, y| {
                // The rows that the filters see here, oldest first.
                let mut rows: [&[f32]; MAX_TAPS] = [&[]; MAX_TAPS];
                for (k, row) in rows[..taps].iter_mut().enumerate() {
                    *row = match (t + k).checked_sub(past) {
                        Some(t) => x.row(first + t),
                        None => &window[(t + k) * channels..][..channels],
                    };
                }
                let before = self.residual.then(|| y.to_vec());
                y.copy_from_slice(&bias[..y_width]);
                for (w, row) in by_tap.chunks(y_width).zip(rows) {
                    for (y, w) in y.chunks_mut(channels).zip(w.chunks(channels)) {
                        add_products(w, row, y);
                    }
                }
                if self.silu {
                    silus(y);
                }
                if let Some(before) = before {
                    y.iter_mut().zip(before).for_each(|(y, before)| *y += before);
                }
            });
            // The window moves on by `count` rows.
            let kept = past.saturating_sub(count);
            window.copy_within((past - kept) * channels.., 0);
            for i in kept..past {
                window[i * channels..][..channels].copy_from_slice(x.row(first + count + i - past));
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let y = &io.outputs[0];
        let cost = Cost::streaming(io, 2.0 * (self.taps * y.desc.len()) as f64).and_read(&io.outputs[1]);
        if self.residual { cost.and_read(y) } else { cost }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |counts: &[u32], channels: usize, filters: usize, taps: usize, silu: bool, residual: bool| {
        let rows = counts.iter().sum::<u32>() as usize;
        let weight = |seed, shape: &[usize]| CaseInput::weight(Desc::fixed(DType::F32, shape), Fill::uniform(seed, 1.0));
        let mut inputs = vec![
            CaseInput::activation(Desc::tokens(rows, channels), Fill::uniform(1, 2.0)),
            weight(2, &[filters * channels, taps]),
            weight(3, &[filters * channels]),
            CaseInput::state(Desc::fixed(DType::F32, &[counts.len(), taps - 1, channels]), Fill::uniform(4, 2.0)),
        ];
        if residual {
            inputs.push(CaseInput::activation(Desc::tokens(rows, channels), Fill::uniform(5, 3.0)));
        }
        let step = || Step::new(counts.iter().map(|&n| Sequence::new(0, n)).collect());
        let name = format!("{counts:?} x{channels} filters {filters} taps {taps} silu {silu} residual {residual}");
        Case::new(name, CausalConv { filters, taps, silu, residual }, rows, inputs).steps(vec![step(), step()])
    };
    vec![
        case(&[1], 1, 1, 4, false, false),
        case(&[1, 2, 3, 9], 63, 1, 4, false, true),
        case(&[2, 7], 64, 2, 4, false, false),
        case(&[3, 1], 64, 1, 4, true, false),
        case(&[5], 65, 3, 2, true, false),
        case(&[20], 70, 1, 16, true, true),
    ]
}
