//! The matrix product where B is small and its rows lie in one piece, in AVX-512 or AVX2 and FMA: it is read where it is, several rows of A at a time.
//! Bringing such operands into an order of their own first, as the library does for all, takes as long as the arithmetic.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::cell::RefCell;

use bytemuck::must_cast;

use super::View;

/// Most numbers in B: it stays in the second cache, and of each tile's columns in the first.
const MOST: usize = 1 << 15;

/// Columns of B come in groups of so many.
const GROUP: usize = 16;

thread_local! {
    /// A transposed B, turned; kept so that no call allocates.
    static TURNED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// See [`super::product`], whose sizes have been checked; false if it is not for this product, or this processor.
pub(super) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) -> bool {
    let (k, n) = (b.rows, b.columns);
    if !(4..=64).contains(&a.rows) || k * n > MOST || !n.is_multiple_of(GROUP) {
        return false;
    }
    if b.column == 1 {
        return tiled(alpha, a, b, c, stride);
    }
    // Of more columns, elements that are written one after the other would lie in the same lines of the cache.
    if n > 2 * GROUP {
        return false;
    }
    TURNED.with_borrow_mut(|turned| {
        turned.resize(k * n, 0.0);
        for (j, column) in b.data.chunks(b.column).take(n).enumerate() {
            turned[j..].iter_mut().step_by(n).zip(column.iter().step_by(b.row)).for_each(|(to, x)| *to = *x);
        }
        tiled(alpha, a, View::new(turned, k, n, n), c, stride)
    })
}

/// The product of A with a B whose rows lie in one piece.
fn tiled(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) -> bool {
    #[expect(unsafe_code, reason = "only a program knows what its processor has")]
    // SAFETY: the processor has what each is compiled for.
    unsafe {
        if std::is_x86_feature_detected!("avx512f") {
            avx512::product(alpha, a, b, c, stride);
            return true;
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            avx2::product(alpha, a, b, c, stride);
            return true;
        }
    }
    false
}

/// The product with vectors of so many lanes, in tiles of so many rows by two vectors: as many sums as the registers hold beside the operands.
macro_rules! tiles {
    ($module:ident, $features:literal, $vector:ty, $lanes:literal, $rows:literal, $zero:ident, $all:ident, $multiply_add:ident) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) {
                let pairs = b.columns - b.columns % (2 * $lanes);
                for j in (0..pairs).step_by(2 * $lanes) {
                    columns::<2>(alpha, a, b, j, c, stride);
                }
                for j in (pairs..b.columns).step_by($lanes) {
                    columns::<1>(alpha, a, b, j, c, stride);
                }
            }

            /// So many vectors of C's columns from j on.
            #[target_feature(enable = $features)]
            #[inline]
            fn columns<const VECTORS: usize>(alpha: f32, a: View<'_>, b: View<'_>, j: usize, c: &mut [f32], stride: usize) {
                let whole = a.rows - a.rows % $rows;
                for i in (0..whole).step_by($rows) {
                    add::<$rows, VECTORS>(alpha, tile(a, i, b, j), &mut c[i * stride + j..], stride);
                }
                for i in whole..a.rows {
                    add::<1, VECTORS>(alpha, tile(a, i, b, j), &mut c[i * stride + j..], stride);
                }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn add<const ROWS: usize, const VECTORS: usize>(
                alpha: f32,
                sums: [[$vector; VECTORS]; ROWS],
                c: &mut [f32],
                stride: usize,
            ) {
                for r in 0..ROWS {
                    let (c, _) = c[r * stride..].as_chunks_mut::<$lanes>();
                    for v in 0..VECTORS {
                        c[v] = must_cast($multiply_add($all(alpha), sums[r][v], must_cast(c[v])));
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
                let check = |product: &dyn Fn(View<'_>, &mut [f32])| {
                    let mut c = vec![1.0; m * stride];
                    product(View::new(&b, k, n, n), &mut c);
                    let wanted = |i: usize| if i % stride < n { 1.0 + 2.0 * wanted(i / stride, i % stride) } else { 1.0 };
                    (0..m * stride).for_each(|i| assert_eq!(c[i], wanted(i), "{m} {k} {n}"));
                };
                #[expect(unsafe_code, reason = "only a program knows what its processor has")]
                // SAFETY: the processor has what each is compiled for.
                unsafe {
                    if std::is_x86_feature_detected!("avx512f") {
                        check(&|b, c| avx512::product(2.0, a, b, c, stride));
                    }
                    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                        check(&|b, c| avx2::product(2.0, a, b, c, stride));
                    }
                }
            }
        }
    }
}
