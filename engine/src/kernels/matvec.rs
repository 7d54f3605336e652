//! The product of one row (or few) with a weight, and the norm before it.

use rayon::prelude::*;

use super::embed::with_weight;
use super::matmul::{Columns, cases_product, cost_product, infer_product, row_format};
use super::rms_norm::RmsNorm;
use super::*;
use crate::vector::dot_stored;

/// `y[t, n] = Σₖ x'[t, k] · w[n, k]`, added to the last input in place if `residual`, where x' is x or its RMS norm.
/// Inputs: x `[rows, k]`, w `[n, k]` in a weight format, with `norm` its weight `[k]`, with `residual` y `[rows, n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matvec {
    /// The norm that x goes through first.
    pub norm: Option<RmsNorm>,
    /// Whether the result is added to the last input.
    pub residual: bool,
}

/// Threads that share a row of the weight of width `k`: each is to go around a few times, with enough of them to fill a GPU.
fn lanes(k: usize) -> usize {
    if k < 512 { 16 } else { 32 }
}

/// Rows of the weight that one workgroup takes: 64 threads, four rows each.
fn outputs(k: usize) -> usize {
    4 * 64 / lanes(k)
}

impl Kernel for Matvec {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        let inner = 2 + usize::from(self.norm.is_some());
        expect_inputs(inputs, inner + usize::from(self.residual))?;
        if self.norm.is_some() {
            expect_weight(inputs, 2, inputs[0].width())?;
        }
        infer_product(inputs, self.residual.then_some(inner))
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        if self.residual { vec![(2 + usize::from(self.norm.is_some()), 0)] } else { Vec::new() }
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (x, w, y) = (&io.inputs[0], &io.inputs[1], &io.outputs[0]);
        let k = x.desc.width();
        let grid = Grid(vec![Extent::new(Live::Part, outputs(k) as u32), Extent::new(Live::of(x.desc.axis, x.desc.rows()), 1)]);
        let launch = with_weight(Launch::new("matvec", grid), w)
            .part(row_format(x))
            .part(if self.residual { "store_residual" } else { "store_plain" })
            .constant("LANES", lanes(k))
            .size("K", k)
            .size("N", y.desc.width())
            .size("ROWS", x.desc.rows())
            .size("AXIS", x.desc.axis as usize)
            .size("X_STRIDE", x.stride)
            .size("X_OFFSET", x.offset);
        vec![match &self.norm {
            Some(norm) => {
                launch.bind(&["x", "w", "norm", "y"]).part("prologue_rms").set("EPS", norm.eps)
            }
            None => launch.bind(&["x", "w", "y"]).part("prologue_none"),
        }]
    }

    fn reference(&self, args: &mut Args<'_>) {
        // Rows that a thread takes at a time: enough to be worth waking it.
        const PANEL: usize = 128;
        let (x, w) = (args.inputs[0], args.inputs[1]);
        let (rows, k) = (x.live(args.step), x.operand.desc.width());
        let (first, count) = (args.part.first as usize, args.part.count as usize);
        let mut normed = vec![0.0; if self.norm.is_some() { k } else { 0 }];
        let y = &mut args.outputs[0];
        let width = y.width();
        let y = Columns::new(y.rows(rows), width);
        for r in 0..rows {
            let mut x = x.row(r);
            if let Some(norm) = &self.norm {
                norm.row(x, &args.inputs[2].f32s()[..k], &mut normed);
                x = &normed;
            }
            (0..count.div_ceil(PANEL)).into_par_iter().for_each(|panel| {
                let start = panel * PANEL;
                let mut sums = [0f32; PANEL];
                let sums = &mut sums[..PANEL.min(count - start)];
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = dot_stored(w.matrix(), (start + i) * w.operand.stride, x);
                }
                y.write(r, first + start, sums, self.residual);
            });
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let rows = io.inputs[0].desc.rows() as f64;
        let groups = io.inputs[1].desc.rows().div_ceil(outputs(io.inputs[0].desc.width())) as f64;
        cost_product(io, self.residual, |x, w, y| x * groups + w * rows + y)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let mut cases = cases_product(&[1, 3], |residual| Matvec { norm: None, residual }.into());
    let sizes = [(1, 1, false), (7, 9, true), (520, 8, true)].map(|(k, n, residual)| (DType::F16, k, n, residual));
    let formats = DType::WEIGHTS.map(|dtype| (dtype, 256, 24, false));
    for (dtype, k, n, residual) in sizes.into_iter().chain(formats) {
        let mut inputs = vec![
            CaseInput::activation(Desc::tokens(2, k), Fill::uniform(1, 3.0)),
            CaseInput::weight(Desc::fixed(dtype, &[n, k]), Fill::uniform(2, 1.0)),
            CaseInput::weight(Desc::fixed(DType::F32, &[k]), Fill::Uniform { seed: 4, base: 1.0, amplitude: 0.5 }),
        ];
        if residual {
            inputs.push(CaseInput::activation(Desc::tokens(2, n), Fill::uniform(3, 1.0)));
        }
        let op = Matvec { norm: Some(RmsNorm { eps: 1e-6 }), residual };
        cases.push(Case::new(format!("norm, 2x{k} · {dtype}[{n}, {k}] residual {residual}"), op, 2, inputs));
    }
    cases
}
