//! Arithmetic on rows of floats for the references: the few loops that are hot on the CPU device, compiled for several
//! instruction sets and chosen when the program runs.

use std::cell::RefCell;

use half::{bf16, f16};
use multiversion::multiversion;

pub(crate) use self::activation::*;
pub(crate) use self::norm::*;
use self::stored::*;
pub(crate) use self::view::{View, ViewMut};
use crate::tensor::{BLOCK, DType};

mod activation;
mod norm;
mod view;

/// Rows in the formats that weights are stored in.
#[cfg_attr(all(target_arch = "wasm32", target_feature = "simd128"), path = "vector/stored_simd128.rs")]
mod stored;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod product_simd128;

#[cfg(target_arch = "x86_64")]
mod product_x86;

/// A weight matrix in the format it is stored in, rows padded to [`crate::tensor::Desc::stride`].
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
    /// Upper halves of 32-bit floats.
    BF16(&'a [bf16]),
    /// Signed bytes and scales, as [`crate::tensor`] lays them out.
    Q8_0(&'a [u32]),
    /// Four-bit integers and scales.
    Q4_0(&'a [u32]),
    /// Four-bit integers, scales and minima.
    Q4_1(&'a [u32]),
}

/// Sums that run side by side: four registers of eight.
const LANES: usize = BLOCK;

/// Σ wᵢ xᵢ, the weights widened by `widen` on the way.
#[inline(always)]
fn dot_widened<T: Copy>(fused: bool, w: &[T], x: &[f32], widen: impl Fn(T) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (w_blocks, w_rest) = w.as_chunks::<LANES>();
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    for (w, x) in w_blocks.iter().zip(x_blocks) {
        for lane in 0..LANES {
            let (w, sum) = (widen(w[lane]), &mut sums[lane]);
            *sum = if fused { w.mul_add(x[lane], *sum) } else { w * x[lane] + *sum };
        }
    }
    w_rest.iter().zip(x_rest).fold(folded(sums), |sum, (w, x)| sum + widen(*w) * x)
}

/// The sum of sums that ran side by side, by halves.
#[inline(always)]
fn folded<const WIDTH: usize>(mut sums: [f32; WIDTH]) -> f32 {
    let mut width = WIDTH;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}

/// A finite half as a float, in integer steps that vectorise everywhere: the bits in place, then the exponent's bias as a factor.
#[inline(always)]
fn from_f16(x: f16) -> f32 {
    const BIAS: f32 = f32::from_bits((127 + 112) << 23); // 2^112
    let bits = u32::from(x.to_bits());
    f32::from_bits((bits & 0x8000) << 16 | (bits & 0x7fff) << 13) * BIAS
}

#[inline(always)]
fn from_bf16(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// Σ aᵢ bᵢ.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_widened(multiversion::target::target_cfg_f!(target_feature = "fma"), a, b, |x| x)
}

/// The blocks of a stored row of `width` elements that starts at word `start`: the bytes of their quants, and their scales.
fn planes<const BYTES: usize>(w: &[u32], start: usize, width: usize, dtype: DType) -> (&[[u8; BYTES]], &[f16]) {
    let (quants, scales) = w[start..].split_at(dtype.quant_words(width));
    (bytemuck::cast_slice(quants).as_chunks().0, bytemuck::cast_slice(scales))
}

/// Writes `out.len()` stored weights as floats, from element `start` on, or the row that starts at word `start`.
pub(crate) fn widen(w: Matrix<'_>, start: usize, out: &mut [f32]) {
    let end = start + out.len();
    match w {
        Matrix::F32(w) => out.copy_from_slice(&w[start..end]),
        Matrix::F16(w) => widen_f16(&w[start..end], out),
        Matrix::BF16(w) => widen_bf16(&w[start..end], out),
        Matrix::Q8_0(w) => {
            let (q, d) = planes(w, start, out.len(), DType::Q8_0);
            widen_q8_0(q, d, out)
        }
        Matrix::Q4_0(w) => {
            let (q, d) = planes(w, start, out.len(), DType::Q4_0);
            widen_q4_0(q, d, out)
        }
        Matrix::Q4_1(w) => {
            let (q, dm) = planes(w, start, out.len(), DType::Q4_1);
            widen_q4_1(q, dm.as_chunks().0, out)
        }
    }
}

/// One stored row of a weight, from element (or word) `start` on, times `x`.
pub(crate) fn dot_stored(w: Matrix<'_>, start: usize, x: &[f32]) -> f32 {
    let end = start + x.len();
    match w {
        Matrix::F32(w) => dot(&w[start..end], x),
        Matrix::F16(w) => dot_f16(&w[start..end], x),
        Matrix::BF16(w) => dot_bf16(&w[start..end], x),
        Matrix::Q8_0(w) => {
            let (q, d) = planes(w, start, x.len(), DType::Q8_0);
            dot_q8_0(q, d, x)
        }
        Matrix::Q4_0(w) => {
            let (q, d) = planes(w, start, x.len(), DType::Q4_0);
            dot_q4_0(q, d, x)
        }
        Matrix::Q4_1(w) => {
            let (q, dm) = planes(w, start, x.len(), DType::Q4_1);
            dot_q4_1(q, dm.as_chunks().0, x)
        }
    }
}

/// y ← y + a x.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    let fused = multiversion::target::target_cfg_f!(target_feature = "fma");
    for (y, x) in y.iter_mut().zip(x) {
        *y = if fused { a.mul_add(*x, *y) } else { a * x + *y };
    }
}

/// y ← y + w ∘ x.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(crate) fn add_products(w: &[f32], x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(w).zip(x).for_each(|((y, w), x)| *y += w * x);
}

/// y ← the pairs of x, turned by angles whose cos and sin are pairs of `turns`: neighbours, or the first half with the second.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(crate) fn rotate(x: &[f32], turns: &[f32], neighbours: bool, y: &mut [f32]) {
    let (turns, _) = turns.as_chunks::<2>();
    if neighbours {
        for ((y, [a, b]), [cos, sin]) in y.as_chunks_mut::<2>().0.iter_mut().zip(x.as_chunks().0).zip(turns) {
            *y = [a * cos - b * sin, b * cos + a * sin];
        }
    } else {
        let half = y.len() / 2;
        let ((first, second), (a, b)) = (y.split_at_mut(half), x.split_at(half));
        for ((((first, second), a), b), [cos, sin]) in first.iter_mut().zip(second).zip(a).zip(b).zip(turns) {
            (*first, *second) = (a * cos - b * sin, b * cos + a * sin);
        }
    }
}

/// s ← s · a + b, so many times, for all of many s at once.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn multiply_adds<const CHAINS: usize>(sums: &mut [[f32; 8]; CHAINS], a: f32, b: f32, steps: usize) {
    let fused = multiversion::target::target_cfg_f!(target_feature = "fma");
    for _ in 0..steps {
        for s in sums.as_flattened_mut() {
            *s = if fused { s.mul_add(a, b) } else { *s * a + b };
        }
    }
}

/// C ← C + alpha A B, where C has rows of B's width, `stride` apart.
pub(crate) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows && n <= stride && c.len() >= (m - 1) * stride + n);
    if m == 1 && b.column == 1 {
        // One row: streaming B once beats packing it.
        for i in 0..k {
            axpy(alpha * a.data[i * a.column], &b.data[i * b.row..][..n], &mut c[..n]);
        }
        return;
    }
    if m == 1 && a.column == 1 && b.row == 1 {
        for (j, c) in c[..n].iter_mut().enumerate() {
            *c += alpha * dot(&a.data[..k], &b.data[j * b.column..][..k]);
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if product_x86::product(alpha, a, b, c, stride) {
        return;
    }
    packed_product(alpha, a, b, c, stride);
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use product_simd128::product as packed_product;

/// C ← C + A Wᵀ, W stored rows of which the first begins at element (or word) `start` and each next one `stride` behind.
pub(crate) fn product_stored(a: View<'_>, w: Matrix<'_>, start: usize, stride: usize, mut c: ViewMut<'_>) {
    thread_local! {
        // Kept so that no call allocates.
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        #[cfg(target_arch = "x86_64")]
        if product_x86::product_stored(a, w, start, stride, &mut c, scratch) {
            return;
        }
        let (rows, k, n) = (a.rows, a.columns, c.columns());
        scratch.sums.clear();
        scratch.sums.resize(rows * n, 0.0);
        let panel = if let Matrix::F32(w) = w {
            View::new(&w[start..], n, k, stride)
        } else {
            scratch.weights.resize(n * k, 0.0);
            for (i, row) in scratch.weights.chunks_mut(k).take(n).enumerate() {
                widen(w, start + i * stride, row);
            }
            View::new(&scratch.weights, n, k, k)
        };
        product(1.0, a, panel.t(), &mut scratch.sums, n);
        for (r, sums) in scratch.sums.chunks(n).enumerate() {
            c.row(r).iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
        }
    });
}

/// Room for a product with stored rows: weights as floats, and sums or weights in another order.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    sums: Vec<f32>,
}

/// The product for which both operands are brought into the order of the arithmetic first; its sizes have been checked.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn packed_product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let strides = |v: View<'_>| (v.row as isize, v.column as isize);
    let ((ar, ac), (br, bc)) = (strides(a), strides(b));
    #[expect(unsafe_code, reason = "the library's interface is raw pointers; the caller's assertions bound every access")]
    // SAFETY: `View::new` and the assertions of `product`, the only caller, keep every index inside its slice, and `c` is borrowed mutably.
    unsafe {
        let (a, b, c) = (a.data.as_ptr(), b.data.as_ptr(), c.as_mut_ptr());
        matrixmultiply::sgemm(m, k, n, alpha, a, ar, ac, b, br, bc, 1.0, c, stride as isize, 1);
    }
}

/// s ← d ∘ s + a b, and then s·c.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn recur(d: &[f32], a: f32, b: &[f32], c: &[f32], s: &mut [f32]) -> f32 {
    const WIDTH: usize = 16;
    let fused = multiversion::target::target_cfg_f!(target_feature = "fma");
    let multiply_add = |x: f32, y: f32, z: f32| if fused { x.mul_add(y, z) } else { x * y + z };
    let ((d, d_rest), (b, b_rest), (c, c_rest)) = (d.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>(), c.as_chunks::<WIDTH>());
    let (s, s_rest) = s.as_chunks_mut::<WIDTH>();
    let mut sums = [0f32; WIDTH];
    for (((s, d), b), c) in s.iter_mut().zip(d).zip(b).zip(c) {
        for i in 0..WIDTH {
            s[i] = multiply_add(d[i], s[i], a * b[i]);
            sums[i] = multiply_add(s[i], c[i], sums[i]);
        }
    }
    let mut sum = folded(sums);
    for (((s, d), b), c) in s_rest.iter_mut().zip(d_rest).zip(b_rest).zip(c_rest) {
        *s = d * *s + a * b;
        sum += *s * c;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{self, Format};
    use crate::tensor::Desc;

    #[test]
    fn every_finite_half_widens_exactly() {
        let finite = (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite());
        finite.for_each(|x| assert_eq!(from_f16(x).to_bits(), x.to_f32().to_bits(), "{x}"));
    }

    #[test]
    fn every_quant_of_every_type_widens_to_its_value() {
        let scales = [1.0, -0.37, 65504.0, 6e-8, 0.0].map(f16::from_f32);
        for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
            // All bytes, in blocks with each of the scales; an odd number of blocks, so that the last word of scales is half used.
            let (len, size) = Format::from(dtype).block();
            let head = size - dtype.quant_words(len) * 4;
            let blocks = 255;
            let mut encoded = Vec::new();
            for b in 0..blocks {
                (0..head / 2).for_each(|i| encoded.extend(scales[(b + i) % 5].to_le_bytes()));
                encoded.extend((head..size).map(|i| (b * 31 + i * 8) as u8));
            }
            let mut wanted = vec![0.0; blocks * len];
            blocks::decode(dtype.into(), &encoded, &mut wanted);
            let desc = Desc::fixed(dtype, &[2, blocks * len]);
            let mut words = vec![0u32; desc.bytes() / 4];
            let second = desc.row_bytes();
            blocks::store(dtype, &encoded, &mut bytemuck::cast_slice_mut(&mut words)[second..]);
            let w = match dtype {
                DType::Q8_0 => Matrix::Q8_0(&words),
                DType::Q4_0 => Matrix::Q4_0(&words),
                _ => Matrix::Q4_1(&words),
            };
            let mut found = vec![1.0; wanted.len()];
            widen(w, desc.stride(), &mut found);
            (0..found.len()).for_each(|i| assert_eq!(found[i].to_bits(), wanted[i].to_bits(), "{dtype}, element {i}"));
            for at in 0..wanted.len() {
                let mut x = vec![0.0; wanted.len()];
                x[at] = 1.0;
                assert_eq!(dot_stored(w, desc.stride(), &x), wanted[at], "{dtype}, element {at}");
            }
            widen(w, 0, &mut found);
            assert!(found.iter().all(|x| *x == 0.0), "{dtype}: the first row is zero");
        }
    }

    #[test]
    fn dots_of_every_length_are_the_sums() {
        for n in 0..100 {
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 7.0).collect();
            let wanted: f32 = x.iter().map(|x| x * x).sum();
            let (half, brain) = (
                x.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>(),
                x.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>(),
            );
            for w in [Matrix::F32(&x), Matrix::F16(&half), Matrix::BF16(&brain)] {
                assert_eq!(dot_stored(w, 0, &x), wanted, "{n} elements");
            }
        }
    }

    #[test]
    fn recurrences_of_every_length_are_their_definition() {
        for n in 0..70 {
            let numbers = |k: usize| -> Vec<f32> { (0..n).map(|i| ((i * k) % 11) as f32 - 5.0).collect() };
            let (d, b, c, before) = (numbers(3), numbers(5), numbers(7), numbers(2));
            let mut s = before.clone();
            let sum = recur(&d, 2.0, &b, &c, &mut s);
            let wanted: Vec<f32> = (0..n).map(|i| d[i] * before[i] + 2.0 * b[i]).collect();
            assert_eq!(s, wanted);
            assert_eq!(sum, wanted.iter().zip(&c).map(|(s, c)| s * c).sum::<f32>(), "{n} elements");
        }
    }

    #[test]
    fn products_agree_with_their_definition() {
        let numbers = |n: usize, k: usize| -> Vec<f32> { (0..n).map(|i| ((i * k) % 11) as f32 - 5.0).collect() };
        for (m, k, n) in [(1, 1, 1), (1, 5, 7), (3, 4, 2), (17, 64, 9), (4, 3, 16), (13, 16, 48), (16, 7, 32), (64, 5, 80)] {
            let (a, b) = (numbers(m * k, 3), numbers(k * n, 7));
            let a_t: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            let wanted = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f32>();
            let b_t: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            for b in [View::new(&b, k, n, n), View::new(&b_t, n, k, k).t()] {
                for a in [View::new(&a, m, k, k), View::new(&a_t, k, m, m).t()] {
                    // Rows of C that lie apart: what is between them stays.
                    let stride = n + 3;
                    let mut c = vec![1.0; m * stride];
                    product(2.0, a, b, &mut c, stride);
                    let wanted = |i: usize| if i % stride < n { 1.0 + 2.0 * wanted(i / stride, i % stride) } else { 1.0 };
                    (0..m * stride).for_each(|i| assert_eq!(c[i], wanted(i), "{m} {k} {n}"));
                }
            }
        }
    }

    #[test]
    fn products_with_stored_rows_are_their_dots() {
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1] {
            for (m, k, n) in [(1, 32, 3), (4, 32, 1), (7, 96, 20), (13, 288, 37), (32, 32, 64)] {
                let desc = Desc::fixed(dtype, &[n + 1, k]);
                let words = crate::kernels::Fill::uniform(1, 1.0).words(&desc);
                let w = match dtype {
                    DType::F32 => Matrix::F32(bytemuck::cast_slice(&words)),
                    DType::F16 => Matrix::F16(bytemuck::cast_slice(&words)),
                    DType::BF16 => Matrix::BF16(bytemuck::cast_slice(&words)),
                    DType::Q8_0 => Matrix::Q8_0(&words),
                    DType::Q4_0 => Matrix::Q4_0(&words),
                    _ => Matrix::Q4_1(&words),
                };
                // Rows of x and y lie apart; what is between those of y stays.
                let x: Vec<f32> = (0..m * (k + 5)).map(|i| ((i * 7) % 13) as f32 / 13.0 - 0.4).collect();
                let mut y = vec![1.0; m * (n + 3)];
                let (a, c) = (View::new(&x, m, k, k + 5), ViewMut::new(&mut y, m, n, n + 3));
                product_stored(a, w, desc.stride(), desc.stride(), c);
                for (i, y) in y.iter().enumerate() {
                    let (r, j) = (i / (n + 3), i % (n + 3));
                    let sum = if j < n { dot_stored(w, (j + 1) * desc.stride(), &x[r * (k + 5)..][..k]) } else { 0.0 };
                    assert!((y - 1.0 - sum).abs() < 1e-4, "{dtype}, {m} {k} {n}, row {r}, column {j}: {y}, wanted {}", 1.0 + sum);
                }
            }
        }
    }
}
