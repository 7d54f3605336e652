//! Matrix products in AVX-512 or AVX2 and FMA that read A where it is, several rows at a time, and so B where it is small and its rows lie in one piece.
//! Bringing such operands into an order of their own first, as the library does for all, takes as long as the arithmetic.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::cell::RefCell;

use bytemuck::must_cast;

use super::{Matrix, Scratch, View, ViewMut, widen};

/// Most numbers in a B that is read where it is: it stays in the second cache, and of each tile's columns in the first.
const MOST: usize = 1 << 15;

/// Columns of a tile come in groups of so many.
const GROUP: usize = 16;

/// Columns of a transposed B that are turned at a time, and elements of them: what is turned stays in the first cache.
const PANEL: usize = 32;
const DEPTH: usize = 256;

thread_local! {
    /// Kept so that no call allocates.
    static TURNED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// See [`super::product`], whose sizes have been checked; false if it is not for this product, or this processor.
pub(super) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) -> bool {
    let (k, n) = (b.rows, b.columns);
    if a.rows < 4 || !(a.row == 1 || a.column == 1) || !has_instructions() {
        return false;
    }
    let mut c = ViewMut::new(c, a.rows, n, stride);
    if b.column == 1 && n.is_multiple_of(GROUP) && k * n <= MOST && a.rows <= 64 {
        tiled(alpha, a, b, &mut c);
        return true;
    }
    if b.row == 1 {
        TURNED.with_borrow_mut(|turned| {
            for first in (0..n).step_by(PANEL) {
                let n = PANEL.min(n - first);
                let columns = from_fn(|i| &b.data[(first + i.min(n - 1)) * b.column..][..k]);
                add_panel(alpha, a, columns, turned, &mut c.part(first, n));
            }
        });
        return true;
    }
    false
}

/// See [`super::product_stored`]; false if it is not for this product, or this processor.
pub(super) fn product_stored(
    a: View<'_>,
    w: Matrix<'_>,
    start: usize,
    stride: usize,
    c: &mut ViewMut<'_>,
    Scratch { weights, sums: turned }: &mut Scratch,
) -> bool {
    if a.rows < 4 || !has_instructions() {
        return false;
    }
    // Rows that are no multiple of a page apart, or they would lie in the same lines of the cache.
    let (k, apart) = (a.columns, a.columns + GROUP);
    weights.resize(PANEL * apart, 0.0);
    for first in (0..c.columns()).step_by(PANEL) {
        let n = PANEL.min(c.columns() - first);
        for (i, row) in weights.chunks_mut(apart).take(n).enumerate() {
            widen(w, start + (first + i) * stride, &mut row[..k]);
        }
        add_panel(1.0, a, from_fn(|i| &weights[i * apart..][..k]), turned, &mut c.part(first, n));
    }
    true
}

/// C ← C + alpha A B, with the columns of B of which C has the first.
fn add_panel(alpha: f32, a: View<'_>, columns: [&[f32]; PANEL], turned: &mut Vec<f32>, c: &mut ViewMut<'_>) {
    let k = a.columns;
    turned.resize(PANEL * DEPTH, 0.0);
    for l in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - l);
        #[expect(unsafe_code, reason = "only a program knows what its processor has")]
        // SAFETY: the processor has AVX2: `has_instructions` was asked.
        unsafe {
            turn(columns.map(|column| &column[l..l + depth]), turned.as_chunks_mut().0);
        }
        let b = View::new(turned, depth, c.columns().next_multiple_of(GROUP), PANEL);
        tiled(alpha, a.columns(l, depth), b, c);
    }
}

/// Columns of rows become rows, eight of each at a time.
#[target_feature(enable = "avx2")]
fn turn(rows: [&[f32]; PANEL], columns: &mut [[f32; PANEL]]) {
    let depth = rows[0].len();
    let whole = depth - depth % 8;
    for l in (0..whole).step_by(8) {
        for i in (0..PANEL).step_by(8) {
            let block: [__m256; 8] = from_fn(|r| must_cast(*rows[i + r][l..].first_chunk::<8>().expect("a whole block")));
            for (columns, turned) in columns[l..].iter_mut().zip(turned(block)) {
                columns[i..i + 8].copy_from_slice(&must_cast::<_, [f32; 8]>(turned));
            }
        }
    }
    for l in whole..depth {
        columns[l] = from_fn(|i| rows[i][l]);
    }
}

/// A block of eight by eight, turned: by twos, by fours, by halves.
#[target_feature(enable = "avx2")]
#[inline]
fn turned(r: [__m256; 8]) -> [__m256; 8] {
    let twos = |i: usize| [_mm256_unpacklo_ps(r[i], r[i + 1]), _mm256_unpackhi_ps(r[i], r[i + 1])];
    let fours = |[a, b]: [__m256; 2], [c, d]: [__m256; 2]| {
        let (low, high) = (_mm256_shuffle_ps::<0x44>, _mm256_shuffle_ps::<0xee>);
        [low(a, c), high(a, c), low(b, d), high(b, d)]
    };
    let (a, b) = (fours(twos(0), twos(2)), fours(twos(4), twos(6)));
    let low = |i: usize| _mm256_permute2f128_ps::<0x20>(a[i], b[i]);
    let high = |i: usize| _mm256_permute2f128_ps::<0x31>(a[i], b[i]);
    [low(0), low(1), low(2), low(3), high(0), high(1), high(2), high(3)]
}

fn has_instructions() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

/// The product of A with a B whose rows lie in one piece: with as many columns as C has, or with whole groups of which C has the first.
fn tiled(alpha: f32, a: View<'_>, b: View<'_>, c: &mut ViewMut<'_>) {
    #[expect(unsafe_code, reason = "only a program knows what its processor has")]
    // SAFETY: the processor has what each is compiled for: `has_instructions` was asked.
    unsafe {
        if std::is_x86_feature_detected!("avx512f") {
            avx512::product(alpha, a, b, c);
        } else {
            avx2::product(alpha, a, b, c);
        }
    }
}

/// The product with vectors of so many lanes, in tiles of so many rows by two vectors: as many sums as the registers hold beside the operands.
macro_rules! tiles {
    ($module:ident, $features:literal, $vector:ty, $lanes:literal, $rows:literal, $zero:ident, $all:ident, $multiply_add:ident) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut ViewMut<'_>) {
                let pairs = b.columns - b.columns % (2 * $lanes);
                for j in (0..pairs).step_by(2 * $lanes) {
                    columns::<2>(alpha, a, b, j, c);
                }
                for j in (pairs..b.columns).step_by($lanes) {
                    columns::<1>(alpha, a, b, j, c);
                }
            }

            /// So many vectors of C's columns from j on.
            #[target_feature(enable = $features)]
            #[inline]
            fn columns<const VECTORS: usize>(alpha: f32, a: View<'_>, b: View<'_>, j: usize, c: &mut ViewMut<'_>) {
                let mut i = 0;
                while i + $rows <= a.rows {
                    add(alpha, tile::<$rows, VECTORS>(a, i, b, j), c, i, j);
                    i += $rows;
                }
                while i + 4 <= a.rows {
                    add(alpha, tile::<4, VECTORS>(a, i, b, j), c, i, j);
                    i += 4;
                }
                for i in i..a.rows {
                    add(alpha, tile::<1, VECTORS>(a, i, b, j), c, i, j);
                }
            }

            /// Adds sums to C from row i and column j on.
            #[target_feature(enable = $features)]
            #[inline]
            fn add<const ROWS: usize, const VECTORS: usize>(
                alpha: f32,
                sums: [[$vector; VECTORS]; ROWS],
                c: &mut ViewMut<'_>,
                i: usize,
                j: usize,
            ) {
                for r in 0..ROWS {
                    let j = j.min(c.columns());
                    let (whole, rest) = c.row(i + r)[j..].as_chunks_mut::<$lanes>();
                    for v in 0..VECTORS {
                        let sums = sums[r][v];
                        match whole.get_mut(v) {
                            Some(c) => *c = must_cast($multiply_add($all(alpha), sums, must_cast(*c))),
                            None => {
                                let sums: [f32; $lanes] = must_cast(sums);
                                rest.iter_mut().zip(sums).for_each(|(c, sum)| *c += alpha * sum);
                                break;
                            }
                        }
                    }
                }
            }

            /// The sums of A's rows from i on.
            #[target_feature(enable = $features)]
            #[inline]
            fn tile<const ROWS: usize, const VECTORS: usize>(
                a: View<'_>,
                i: usize,
                b: View<'_>,
                j: usize,
            ) -> [[$vector; VECTORS]; ROWS] {
                let mut sums = [[$zero(); VECTORS]; ROWS];
                if a.row == 1 {
                    for l in 0..a.columns {
                        let x = &a.data[l * a.column + i..][..ROWS];
                        step(from_fn(|r| x[r]), b, l, j, &mut sums);
                    }
                } else {
                    // Rows of one length, which spares the bounds of each element.
                    let rows: [&[f32]; ROWS] = from_fn(|r| &a.data[(i + r) * a.row..][..a.columns]);
                    for l in 0..a.columns {
                        step(from_fn(|r| rows[r][l]), b, l, j, &mut sums);
                    }
                }
                sums
            }

            /// A column of A's rows and row l of B.
            #[target_feature(enable = $features)]
            #[inline]
            fn step<const ROWS: usize, const VECTORS: usize>(
                x: [f32; ROWS],
                b: View<'_>,
                l: usize,
                j: usize,
                sums: &mut [[$vector; VECTORS]; ROWS],
            ) {
                let (y, _) = b.data[l * b.row + j..][..VECTORS * $lanes].as_chunks::<$lanes>();
                for v in 0..VECTORS {
                    let y: $vector = must_cast(y[v]);
                    for r in 0..ROWS {
                        sums[r][v] = $multiply_add($all(x[r]), y, sums[r][v]);
                    }
                }
            }
        }
    };
}

tiles!(avx512, "avx512f", __m512, 16, 8, _mm512_setzero_ps, _mm512_set1_ps, _mm512_fmadd_ps);
tiles!(avx2, "avx2,fma", __m256, 8, 4, _mm256_setzero_ps, _mm256_set1_ps, _mm256_fmadd_ps);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_in_every_instruction_set_agree_with_their_definition() {
        let numbers = |n: usize, k: usize| -> Vec<f32> { (0..n).map(|i| ((i * k) % 11) as f32 - 5.0).collect() };
        for (m, k, n) in [(1, 1, 16), (4, 3, 32), (13, 16, 48), (16, 64, 64), (64, 5, 80)] {
            let (a, b, stride) = (numbers(m * k, 3), numbers(k * n, 7), n + 5);
            let a_t: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            let wanted = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f32>();
            for a in [View::new(&a, m, k, k), View::new(&a_t, k, m, m).t()] {
                let check = |product: &dyn Fn(View<'_>, &mut ViewMut<'_>)| {
                    let mut c = vec![1.0; m * stride];
                    product(View::new(&b, k, n, n), &mut ViewMut::new(&mut c, m, n, stride));
                    let wanted = |i: usize| if i % stride < n { 1.0 + 2.0 * wanted(i / stride, i % stride) } else { 1.0 };
                    (0..m * stride).for_each(|i| assert_eq!(c[i], wanted(i), "{m} {k} {n}"));
                };
                #[expect(unsafe_code, reason = "only a program knows what its processor has")]
                // SAFETY: the processor has what each is compiled for.
                unsafe {
                    if std::is_x86_feature_detected!("avx512f") {
                        check(&|b, c| avx512::product(2.0, a, b, c));
                    }
                    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                        check(&|b, c| avx2::product(2.0, a, b, c));
                    }
                }
            }
        }
    }
}
