//! Dot products with rows as they are stored, and their widening, in loops that compilers vectorise.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use multiversion::multiversion;

use super::{BLOCK, dot_widened, folded, from_bf16, from_f16};

#[cfg(target_arch = "x86_64")]
#[path = "stored_avx2.rs"]
mod avx2;

/// The function in AVX2 where the processor has that, or the result that follows.
macro_rules! avx2_or {
    ($function:ident($($argument:expr),*), $otherwise:expr) => {{
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "only a program knows what its processor has")]
            // SAFETY: the processor has both.
            return unsafe { avx2::$function($($argument),*) };
        }
        $otherwise
    }};
}

#[multiversion(targets("x86_64+avx2+fma"))]
pub(super) fn dot_f16(w: &[f16], x: &[f32]) -> f32 {
    dot_widened(multiversion::target::target_cfg_f!(target_feature = "fma"), w, x, from_f16)
}

#[multiversion(targets("x86_64+avx2+fma"))]
pub(super) fn dot_bf16(w: &[bf16], x: &[f32]) -> f32 {
    dot_widened(multiversion::target::target_cfg_f!(target_feature = "fma"), w, x, from_bf16)
}

pub(super) fn widen_f16(w: &[f16], out: &mut [f32]) {
    w.convert_to_f32_slice(out);
}

#[multiversion(targets("x86_64+avx2+fma"))]
pub(super) fn widen_bf16(w: &[bf16], out: &mut [f32]) {
    w.iter().zip(out).for_each(|(w, out)| *out = from_bf16(*w));
}

/// The weights d q of a block.
#[inline(always)]
fn block_q8_0(q: &[u8; BLOCK], d: f16) -> [f32; BLOCK] {
    let d = from_f16(d);
    std::array::from_fn(|i| d * f32::from(q[i] as i8))
}

/// The weights that `weight` makes of the four-bit integers of a block.
#[inline(always)]
fn block_q4(q: &[u8; BLOCK / 2], weight: impl Fn(f32) -> f32) -> [f32; BLOCK] {
    let mut out = [0f32; BLOCK];
    for i in 0..BLOCK / 2 {
        out[i] = weight(f32::from(q[i] & 15));
        out[i + BLOCK / 2] = weight(f32::from(q[i] >> 4));
    }
    out
}

#[inline(always)]
fn block_q4_0(q: &[u8; BLOCK / 2], d: f16) -> [f32; BLOCK] {
    let d = from_f16(d);
    block_q4(q, |q| d * (q - 8.0))
}

#[inline(always)]
fn block_q4_1(q: &[u8; BLOCK / 2], dm: [f16; 2]) -> [f32; BLOCK] {
    let (d, m) = (from_f16(dm[0]), from_f16(dm[1]));
    block_q4(q, |q| d * q + m)
}

/// Σ wᵢ xᵢ over whole blocks, each decoded by `block`.
#[inline(always)]
fn dot_blocks<Q, S: Copy>(quants: &[Q], scales: &[S], x: &[f32], block: impl Fn(&Q, S) -> [f32; BLOCK]) -> f32 {
    let mut sums = [0f32; BLOCK];
    for ((q, scale), x) in quants.iter().zip(scales).zip(x.as_chunks::<BLOCK>().0) {
        let w = block(q, *scale);
        for lane in 0..BLOCK {
            sums[lane] += w[lane] * x[lane];
        }
    }
    folded(sums)
}

#[inline(always)]
fn widen_blocks<Q, S: Copy>(quants: &[Q], scales: &[S], out: &mut [f32], block: impl Fn(&Q, S) -> [f32; BLOCK]) {
    let blocks = out.as_chunks_mut::<BLOCK>().0;
    blocks.iter_mut().zip(quants.iter().zip(scales)).for_each(|(out, (q, scale))| *out = block(q, *scale));
}

pub(super) fn dot_q8_0(q: &[[u8; BLOCK]], d: &[f16], x: &[f32]) -> f32 {
    avx2_or!(dot_q8_0(q, d, x), dot_blocks(q, d, x, block_q8_0))
}

pub(super) fn dot_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], x: &[f32]) -> f32 {
    avx2_or!(dot_q4_0(q, d, x), dot_blocks(q, d, x, block_q4_0))
}

pub(super) fn dot_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], x: &[f32]) -> f32 {
    avx2_or!(dot_q4_1(q, dm, x), dot_blocks(q, dm, x, block_q4_1))
}

pub(super) fn widen_q8_0(q: &[[u8; BLOCK]], d: &[f16], out: &mut [f32]) {
    avx2_or!(widen_q8_0(q, d, out), widen_blocks(q, d, out, block_q8_0))
}

pub(super) fn widen_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], out: &mut [f32]) {
    avx2_or!(widen_q4_0(q, d, out), widen_blocks(q, d, out, block_q4_0))
}

pub(super) fn widen_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], out: &mut [f32]) {
    avx2_or!(widen_q4_1(q, dm, out), widen_blocks(q, dm, out, block_q4_1))
}
