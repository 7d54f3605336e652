//! The matrix product of many rows with a weight.

use rayon::prelude::*;

use super::embed::{expect_matrix, with_weight};
use super::*;
use crate::vector::{View, ViewMut, product_stored};

/// `y[t, n] = Σₖ x[t, k] · w[n, k]`, added to the last input in place if `residual`.
/// Inputs: x `[rows, k]`, w `[n, k]` in a weight format, and with `residual` y `[rows, n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matmul {
    /// Whether the result is added to a third input.
    pub residual: bool,
}

/// What both products of rows with a weight accept, with the residual at `residual`.
pub(super) fn infer_product(inputs: &[&Desc], residual: Option<usize>) -> Result<Vec<Desc>, OpError> {
    let x = inputs[0];
    if x.dtype != DType::F32 {
        return Err(OpError::input(inputs, 0, "f32"));
    }
    expect_matrix(inputs, 1, Some(x.width()))?;
    let y = x.with_width(inputs[1].rows());
    if let Some(residual) = residual {
        expect_rows(inputs, residual, x, y.width())?;
    }
    Ok(vec![y])
}

/// The work of either product.
pub(super) fn cost_product(io: &Io, residual: bool, moved: impl Fn(f64, f64, f64) -> f64) -> Cost {
    let (x, w, y) = (&io.inputs[0].desc, &io.inputs[1].desc, &io.outputs[0]);
    let mut cost = Cost::streaming(io, 2.0 * (x.len() * w.rows()) as f64);
    if residual {
        cost = cost.and_read(y);
    }
    let (x_bytes, w_bytes) = ((x.len() * 4) as f64, w.dtype.bytes_of(w.len()) as f64);
    cost.moved = moved(x_bytes, w_bytes, cost.least - x_bytes - w_bytes);
    cost
}

/// The filling of the hole that reads activations in groups of four.
pub(super) fn row_format(x: &Operand) -> &'static str {
    if x.by_fours() { "rows_by_fours" } else { "rows_scalar" }
}

/// Columns of y that a workgroup computes, and rows in each of its blocks of rows.
const COLUMNS: usize = 64;
const ROWS: usize = 32;

/// Blocks of rows in the tallest tile for so many rows, which is the first choice: a tall tile loads each weight less often, a flat one wastes less on a
/// short prompt.
fn most_blocks(rows: usize) -> usize {
    if rows > ROWS { 2 } else { 1 }
}

/// Quads in a workgroup of the variant that uses them, and rows and columns that each computes.
const QUADS: usize = 16;
const QUAD: usize = 16;

impl Matmul {
    /// A launch of a file whose workgroups compute so many rows and columns.
    fn launch(&self, io: &Io, file: &'static str, rows: usize, columns: usize) -> Launch {
        let (x, w, y) = (&io.inputs[0], &io.inputs[1], &io.outputs[0]);
        let grid = Grid(vec![
            Extent::new(Live::Part, columns as u32),
            Extent::new(Live::of(x.desc.axis, x.desc.rows()), rows as u32),
        ]);
        with_weight(Launch::new(file, grid), w)
            .bind(&["x", "w", "y"])
            .part(row_format(x))
            .part("block_product")
            .part(if self.residual { "store_residual" } else { "store_plain" })
            .size("K", x.desc.width())
            .size("N", y.desc.width())
            .size("ROWS", x.desc.rows())
            .size("AXIS", x.desc.axis as usize)
            .size("X_STRIDE", x.stride)
            .size("X_OFFSET", x.offset)
    }

    /// Tiles of so many blocks of rows, their weights in f32 or f16.
    fn tile(&self, io: &Io, row_blocks: usize, half: bool) -> Launch {
        let launch = self.launch(io, "matmul", ROWS * row_blocks, COLUMNS).constant("ROW_BLOCKS", row_blocks);
        if half { launch.part("tile_f16").enable("f16") } else { launch.part("tile_f32") }
    }

    /// So many quads lie below each other: the more, the fewer weights are read; the fewer, the fewer rows are computed for a short prompt.
    fn quads(&self, io: &Io, down: usize) -> Launch {
        let (rows, columns) = (QUAD * down, QUAD * QUADS / down);
        self.launch(io, "matmul_subgroup", rows, columns).constant("QUADS_DOWN", down).enable("subgroups")
    }
}

impl Kernel for Matmul {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, if self.residual { 3 } else { 2 })?;
        infer_product(inputs, self.residual.then_some(2))
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        if self.residual { vec![(2, 0)] } else { Vec::new() }
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let (most, x, w) = (most_blocks(io.inputs[0].desc.rows()), &io.inputs[0], &io.inputs[1]);
        let mut variants: Vec<_> = (1..=most).rev().map(|row_blocks| self.tile(io, row_blocks, false)).collect();
        // Not the first choice where nothing is known: GPUs differ in what widening costs.
        if caps.shader_f16 && w.desc.dtype == DType::F16 {
            variants.push(self.tile(io, most, true));
        }
        if caps.narrow() {
            variants.insert(0, self.quads(io, 1));
        } else if caps.subgroups.is_some() {
            let down = x.desc.rows().div_ceil(QUAD).next_power_of_two().min(QUADS.isqrt());
            variants.push(self.quads(io, down));
        }
        variants
    }

    fn reference(&self, args: &mut Args<'_>) {
        /// Most rows of the weight that one panel has.
        const PANEL: usize = 256;
        let [x, w] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let (rows, k, first) = (x.live(args.step), x.operand.desc.width(), args.part.first as usize);
        let (count, residual) = (args.part.count as usize, self.residual);
        if rows == 0 || count == 0 {
            return;
        }
        let y = &mut args.outputs[0];
        let width = y.width();
        // As many panels for each thread, all of about one size.
        let threads = rayon::current_num_threads();
        let size = count.div_ceil(threads * count.div_ceil(threads * PANEL)).next_multiple_of(32);
        let x = View::new(&x.f32s()[x.operand.offset..], rows, k, x.operand.stride);
        let panels = ViewMut::new(&mut y.rows(rows)[first..], rows, count, width).by_columns(size);
        panels.into_par_iter().enumerate().for_each(|(panel, mut y)| {
            if !residual {
                (0..rows).for_each(|r| y.row(r).fill(0.0));
            }
            let stride = w.operand.stride;
            product_stored(x, w.matrix(), panel * size * stride, stride, y);
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let (rows, n) = (io.inputs[0].desc.rows(), io.inputs[1].desc.rows());
        let row_tiles = rows.div_ceil(ROWS * most_blocks(rows));
        let column_tiles = n.div_ceil(COLUMNS);
        cost_product(io, self.residual, |x, w, y| x * column_tiles as f64 + w * row_tiles as f64 + y)
    }
}

/// A row-major output whose columns several threads write, each its own.
pub(super) struct Columns<'a> {
    cells: &'a [std::sync::atomic::AtomicU32],
    width: usize,
}

impl<'a> Columns<'a> {
    /// Shares `data` between threads.
    pub(super) fn new(data: &'a mut [f32], width: usize) -> Columns<'a> {
        let words: &mut [u32] = bytemuck::cast_slice_mut(data);
        #[expect(unsafe_code, reason = "std has this conversion only on nightly")]
        // SAFETY: AtomicU32 has the size, alignment and validity of u32, and the slice is borrowed mutably for 'a.
        let cells = unsafe { std::slice::from_raw_parts(words.as_mut_ptr().cast(), words.len()) };
        Columns { cells, width }
    }

    /// Writes, or adds, `values` from column `start` of row `r` on.
    pub(super) fn write(&self, r: usize, start: usize, values: &[f32], add: bool) {
        use std::sync::atomic::Ordering::Relaxed;
        for (cell, value) in self.cells[r * self.width + start..].iter().zip(values) {
            let old = if add { f32::from_bits(cell.load(Relaxed)) } else { 0.0 };
            cell.store((old + value).to_bits(), Relaxed);
        }
    }
}

/// The cases of either product, each of some counts of rows, one run after the other with room for the last.
pub(super) fn cases_product(counts: &[&[usize]], op: impl Fn(bool) -> Op) -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DType::WEIGHTS {
        // Rows of blocks end with a whole word of scales or in the middle of one.
        let sizes: &[(usize, usize)] = match dtype.is_quantised() {
            false => &[(1, 1), (7, 5), (16, 64), (63, 63), (65, 65), (260, 129)],
            true => &[(32, 1), (64, 5), (96, 64), (128, 63), (160, 65), (288, 129)],
        };
        for (i, &runs) in counts.iter().enumerate() {
            let rows = runs[runs.len() - 1];
            for (j, &(k, n)) in sizes.iter().enumerate() {
                let residual = (i + j) % 2 == 0;
                let mut inputs = vec![
                    CaseInput::activation(Desc::tokens(rows, k), Fill::uniform(1, 1.0)),
                    CaseInput::weight(Desc::fixed(dtype, &[n, k]), Fill::uniform(2, 1.0)),
                ];
                if residual {
                    inputs.push(CaseInput::activation(Desc::tokens(rows, n), Fill::uniform(3, 1.0)));
                }
                let name = format!("{runs:?} rows of {k} · {dtype}[{n}, {k}] residual {residual}");
                let steps = runs.iter().map(|rows| Step::new(vec![Sequence::new(0, *rows as u32)])).collect();
                let case = Case::new(name, op(residual), rows, inputs).steps(steps);
                // Every start compiles what it checks: less than a tile and more than one, by few and by many rows, has to do.
                let startup = [0, counts.len() - 1].contains(&i) && [1, 4].contains(&j);
                cases.push(if startup { case } else { case.thorough() });
            }
        }
    }
    cases
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let mut cases = cases_product(&[&[1, 15], &[17], &[33, 64, 65, 130]], |residual| Matmul { residual }.into());
    let large = |rows: usize, k, n| {
        let x = CaseInput::activation(Desc::tokens(rows, k), Fill::uniform(1, 1.0));
        let w = CaseInput::weight(Desc::fixed(DType::F16, &[n, k]), Fill::uniform(2, 1.0));
        Case::new(format!("{rows}x{k} · f16[{n}, {k}]"), Matmul { residual: false }, rows, vec![x, w]).thorough()
    };
    cases.extend([large(65_700, 3, 2), large(2, 3, 70_000)]);
    cases
}
