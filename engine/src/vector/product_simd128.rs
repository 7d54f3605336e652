//! The matrix product for the vectors of WebAssembly: tiles of 4 × 8, whose sums, row and columns fill the registers that a processor has
//! for them. (A tile of 8 × 8, as the library has it, moves half of its sums to memory and back at every step.)

use std::arch::wasm32::*;
use std::array::from_fn;
use std::cell::RefCell;

use super::View;

/// Rows and columns of a tile, and steps of the sum that go by before its parts are added to C.
const ROWS: usize = 4;
const COLUMNS: usize = 8;
const DEPTH: usize = 256;

thread_local! {
    // The operands in the order in which tiles take them, kept so that no call allocates.
    static PACKED: RefCell<(Vec<[f32; ROWS]>, Vec<[f32; COLUMNS]>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// See [`super::product`].
pub(super) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    PACKED.with_borrow_mut(|(rows, columns)| {
        for start in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - start);
            pack(a.t(), start, depth, rows);
            pack(b, start, depth, columns);
            for (j, columns) in columns.chunks_exact(depth).enumerate() {
                let width = COLUMNS.min(n - j * COLUMNS);
                for (i, rows) in rows.chunks_exact(depth).enumerate() {
                    for (r, sums) in tile(rows, columns).iter().take(m - i * ROWS).enumerate() {
                        let c = &mut c[(i * ROWS + r) * stride + j * COLUMNS..];
                        // A width that the compiler knows becomes two vectors.
                        if width == COLUMNS {
                            add(alpha, sums, &mut c[..COLUMNS]);
                        } else {
                            add(alpha, sums, &mut c[..width]);
                        }
                    }
                }
            }
        }
    });
}

#[inline(always)]
fn add(alpha: f32, sums: &[f32; COLUMNS], c: &mut [f32]) {
    c.iter_mut().zip(sums).for_each(|(c, sum)| *c += alpha * sum);
}

/// Rows of a matrix, cut into panels of `WIDTH` columns, the last one filled up with zeros.
fn pack<const WIDTH: usize>(from: View<'_>, start: usize, depth: usize, panels: &mut Vec<[f32; WIDTH]>) {
    panels.resize(from.columns.div_ceil(WIDTH) * depth, [0.0; WIDTH]);
    for (p, panel) in panels.chunks_exact_mut(depth).enumerate() {
        let first = p * WIDTH;
        let width = WIDTH.min(from.columns - first);
        if width < WIDTH {
            panel.fill([0.0; WIDTH]);
        }
        if from.column == 1 {
            let row = |l: usize| &from.data[(start + l) * from.row + first..];
            if width == WIDTH {
                panel.iter_mut().enumerate().for_each(|(l, to)| to.copy_from_slice(&row(l)[..WIDTH]));
            } else {
                panel.iter_mut().enumerate().for_each(|(l, to)| to[..width].copy_from_slice(&row(l)[..width]));
            }
        } else {
            let column = |j: usize| &from.data[(first + j) * from.column + start * from.row..];
            if width == WIDTH && from.row == 1 {
                let columns: [&[f32]; WIDTH] = from_fn(|j| &column(j)[..depth]);
                panel.iter_mut().enumerate().for_each(|(l, to)| *to = columns.map(|column| column[l]));
            } else {
                for j in 0..width {
                    panel.iter_mut().zip(column(j).iter().step_by(from.row)).for_each(|(to, x)| to[j] = *x);
                }
            }
        }
    }
}

/// The products of four rows with eight columns.
#[inline(always)]
fn tile(rows: &[[f32; ROWS]], columns: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[f32x4_splat(0.0); 2]; ROWS];
    for (a, b) in rows.iter().zip(columns) {
        let b = [f32x4(b[0], b[1], b[2], b[3]), f32x4(b[4], b[5], b[6], b[7])];
        for r in 0..ROWS {
            let a = f32x4_splat(a[r]);
            for half in 0..2 {
                sums[r][half] = f32x4_add(f32x4_mul(a, b[half]), sums[r][half]);
            }
        }
    }
    sums.map(|row| {
        let [a, b] = row.map(floats);
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
    })
}

#[inline(always)]
fn floats(v: v128) -> [f32; 4] {
    [f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v), f32x4_extract_lane::<2>(v), f32x4_extract_lane::<3>(v)]
}
