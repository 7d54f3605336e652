//! Dot products with rows as they are stored, and their widening, for the vectors of WebAssembly: compilers turn the loops of the other
//! systems' file into several times as many instructions. The sums over a block are scaled once, not each weight.

use std::arch::wasm32::*;
use std::array::from_fn;

use bytemuck::Pod;
use half::{bf16, f16};

use super::{BLOCK, from_bf16, from_f16};

/// The block's floats, four by four.
type Floats = [v128; BLOCK / 4];

#[inline(always)]
fn load<T: Pod, const N: usize>(from: &[T; N]) -> v128 {
    const { assert!(size_of::<[T; N]>() == 16) };
    #[expect(unsafe_code, reason = "there is no load from a reference")]
    // SAFETY: the array has the 16 bytes, and the instruction takes any alignment.
    unsafe {
        v128_load(from.as_ptr().cast())
    }
}

#[inline(always)]
fn store(to: &mut [f32; 4], v: v128) {
    *to = [f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v), f32x4_extract_lane::<2>(v), f32x4_extract_lane::<3>(v)];
}

#[inline(always)]
fn sum(v: v128) -> f32 {
    let halves = f32x4_add(v, i64x2_shuffle::<1, 0>(v, v));
    f32x4_extract_lane::<0>(halves) + f32x4_extract_lane::<1>(halves)
}

#[inline(always)]
fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_add(f32x4_mul(a, b), c)
}

/// Eight finite halves as floats: sign-extended, their bits in place under a mask that leaves one sign, then the exponent's bias as a factor.
#[inline(always)]
fn floats_f16(w: &[f16; 8]) -> [v128; 2] {
    let bias = f32x4_splat(f32::from_bits((127 + 112) << 23));
    let w = load(w);
    let float = |w| f32x4_mul(v128_and(i32x4_shl(w, 13), u32x4_splat(0x8fff_e000)), bias);
    [float(i32x4_extend_low_i16x8(w)), float(i32x4_extend_high_i16x8(w))]
}

#[inline(always)]
fn floats_bf16(w: &[bf16; 8]) -> [v128; 2] {
    let w = load(w);
    [u32x4_extend_low_u16x8(w), u32x4_extend_high_u16x8(w)].map(|w| i32x4_shl(w, 16))
}

/// Sixteen signed bytes as floats.
#[inline(always)]
fn floats_i8(q: v128) -> [v128; 4] {
    let (low, high) = (i16x8_extend_low_i8x16(q), i16x8_extend_high_i8x16(q));
    let integers =
        [i32x4_extend_low_i16x8(low), i32x4_extend_high_i16x8(low), i32x4_extend_low_i16x8(high), i32x4_extend_high_i16x8(high)];
    integers.map(|integers| f32x4_convert_i32x4(integers))
}

#[inline(always)]
fn joined(a: [v128; 4], b: [v128; 4]) -> Floats {
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

/// The quants of a block, as floats.
#[inline(always)]
fn quants_q8_0(q: &[u8; BLOCK]) -> Floats {
    let (low, high) = (from_fn::<_, 16, _>(|i| q[i]), from_fn::<_, 16, _>(|i| q[16 + i]));
    joined(floats_i8(load(&low)), floats_i8(load(&high)))
}

#[inline(always)]
fn quants_q4_0(q: &[u8; BLOCK / 2]) -> Floats {
    let q = load(q);
    let float = |q| floats_i8(i8x16_sub(q, i8x16_splat(8)));
    joined(float(v128_and(q, u8x16_splat(15))), float(u8x16_shr(q, 4)))
}

#[inline(always)]
fn quants_q4_1(q: &[u8; BLOCK / 2]) -> Floats {
    let q = load(q);
    joined(floats_i8(v128_and(q, u8x16_splat(15))), floats_i8(u8x16_shr(q, 4)))
}

/// Σ wᵢ xᵢ, the rest after the last eight by `one`.
#[inline(always)]
fn dot_eights<T: Copy>(w: &[T], x: &[f32], eight: impl Fn(&[T; 8]) -> [v128; 2], one: impl Fn(T) -> f32) -> f32 {
    let ((w, w_rest), (x, x_rest)) = (w.as_chunks::<8>(), x.as_chunks::<8>());
    let mut sums = [f32x4_splat(0.0); 4];
    let mut step = |at: usize, w, x: &[f32; 8]| {
        let (w, x) = (eight(w), x.as_chunks::<4>().0);
        sums[at] = multiply_add(w[0], load(&x[0]), sums[at]);
        sums[at + 1] = multiply_add(w[1], load(&x[1]), sums[at + 1]);
    };
    let ((w, w_last), (x, x_last)) = (w.as_chunks::<2>(), x.as_chunks::<2>());
    for (w, x) in w.iter().zip(x) {
        step(0, &w[0], &x[0]);
        step(2, &w[1], &x[1]);
    }
    w_last.iter().zip(x_last).for_each(|(w, x)| step(0, w, x));
    let sums = sum(f32x4_add(f32x4_add(sums[0], sums[1]), f32x4_add(sums[2], sums[3])));
    w_rest.iter().zip(x_rest).fold(sums, |sum, (w, x)| sum + one(*w) * x)
}

#[inline(always)]
fn widen_eights<T: Copy>(w: &[T], out: &mut [f32], eight: impl Fn(&[T; 8]) -> [v128; 2], one: impl Fn(T) -> f32) {
    let ((w, w_rest), (out, out_rest)) = (w.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (w, out) in w.iter().zip(out) {
        out.as_chunks_mut::<4>().0.iter_mut().zip(eight(w)).for_each(|(out, w)| store(out, w));
    }
    w_rest.iter().zip(out_rest).for_each(|(w, out)| *out = one(*w));
}

/// The four sums of q x over a block.
#[inline(always)]
fn products(q: Floats, x: &[f32; BLOCK]) -> v128 {
    let x: Floats = from_fn(|i| load(&x.as_chunks::<4>().0[i]));
    let [even, odd] = from_fn(|half| {
        (1..BLOCK / 8).fold(f32x4_mul(q[half], x[half]), |sum, i| multiply_add(q[2 * i + half], x[2 * i + half], sum))
    });
    f32x4_add(even, odd)
}

/// Σ d Σ q x over whole blocks.
#[inline(always)]
fn dot_blocks<Q>(quants: &[Q], d: &[f16], x: &[f32], floats: impl Fn(&Q) -> Floats) -> f32 {
    let mut sums = f32x4_splat(0.0);
    for ((q, d), x) in quants.iter().zip(d).zip(x.as_chunks::<BLOCK>().0) {
        sums = multiply_add(f32x4_splat(from_f16(*d)), products(floats(q), x), sums);
    }
    sum(sums)
}

#[inline(always)]
fn widen_blocks<Q, S: Copy>(
    quants: &[Q],
    scales: &[S],
    out: &mut [f32],
    floats: impl Fn(&Q) -> Floats,
    scale: impl Fn(S, v128) -> v128,
) {
    for ((q, s), out) in quants.iter().zip(scales).zip(out.as_chunks_mut::<BLOCK>().0) {
        let q = floats(q);
        out.as_chunks_mut::<4>().0.iter_mut().zip(q).for_each(|(out, q)| store(out, scale(*s, q)));
    }
}

pub(super) fn dot_f16(w: &[f16], x: &[f32]) -> f32 {
    dot_eights(w, x, floats_f16, from_f16)
}

pub(super) fn dot_bf16(w: &[bf16], x: &[f32]) -> f32 {
    dot_eights(w, x, floats_bf16, from_bf16)
}

pub(super) fn widen_f16(w: &[f16], out: &mut [f32]) {
    widen_eights(w, out, floats_f16, from_f16);
}

pub(super) fn widen_bf16(w: &[bf16], out: &mut [f32]) {
    widen_eights(w, out, floats_bf16, from_bf16);
}

pub(super) fn dot_q8_0(q: &[[u8; BLOCK]], d: &[f16], x: &[f32]) -> f32 {
    dot_blocks(q, d, x, quants_q8_0)
}

pub(super) fn dot_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], x: &[f32]) -> f32 {
    dot_blocks(q, d, x, quants_q4_0)
}

/// Σ d Σ q x + m Σ x.
pub(super) fn dot_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], x: &[f32]) -> f32 {
    let mut sums = [f32x4_splat(0.0); 2];
    for ((q, dm), x) in q.iter().zip(dm).zip(x.as_chunks::<BLOCK>().0) {
        let [d, m] = dm.map(|scale| f32x4_splat(from_f16(scale)));
        let fours = x.as_chunks::<4>().0;
        let [even, odd] =
            from_fn(|half| (1..BLOCK / 8).fold(load(&fours[half]), |sum, i| f32x4_add(load(&fours[2 * i + half]), sum)));
        sums[0] = multiply_add(d, products(quants_q4_1(q), x), sums[0]);
        sums[1] = multiply_add(m, f32x4_add(even, odd), sums[1]);
    }
    sum(f32x4_add(sums[0], sums[1]))
}

pub(super) fn widen_q8_0(q: &[[u8; BLOCK]], d: &[f16], out: &mut [f32]) {
    widen_blocks(q, d, out, quants_q8_0, |d, q| f32x4_mul(f32x4_splat(from_f16(d)), q));
}

pub(super) fn widen_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], out: &mut [f32]) {
    widen_blocks(q, d, out, quants_q4_0, |d, q| f32x4_mul(f32x4_splat(from_f16(d)), q));
}

pub(super) fn widen_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], out: &mut [f32]) {
    widen_blocks(q, dm, out, quants_q4_1, |[d, m], q| multiply_add(f32x4_splat(from_f16(d)), q, f32x4_splat(from_f16(m))));
}
