//! Dot products with rows of quantised blocks, and their widening, in AVX2 and FMA: a compiler that sees the length of a block takes its loops
//! apart before it could vectorise them, and loses four fifths of the speed. The sums over a block are scaled once, not each weight.

use std::arch::x86_64::*;

use bytemuck::{must_cast, must_cast_ref};
use half::f16;

use super::{BLOCK, folded, from_f16};

/// The block's floats, eight by eight.
type Floats = [__m256; BLOCK / 8];

/// Eight signed bytes as floats.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn floats(q: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q))
}

/// The sixteen signed bytes of either half of a block, as floats.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn block(low: __m128i, high: __m128i) -> Floats {
    [floats(low), floats(_mm_unpackhi_epi64(low, low)), floats(high), floats(_mm_unpackhi_epi64(high, high))]
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn quants_q8_0(q: &[u8; BLOCK]) -> Floats {
    let [low, high]: &[[u8; BLOCK / 2]; 2] = must_cast_ref(q);
    block(must_cast(*low), must_cast(*high))
}

/// The four-bit integers of a block: the low halves of its bytes, then the high ones.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn nibbles(q: &[u8; BLOCK / 2]) -> [__m128i; 2] {
    let (q, mask) = (must_cast(*q), _mm_set1_epi8(15));
    [_mm_and_si128(q, mask), _mm_and_si128(_mm_srli_epi16::<4>(q), mask)]
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn quants_q4_0(q: &[u8; BLOCK / 2]) -> Floats {
    let [low, high] = nibbles(q).map(|q| _mm_sub_epi8(q, _mm_set1_epi8(8)));
    block(low, high)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn quants_q4_1(q: &[u8; BLOCK / 2]) -> Floats {
    let [low, high] = nibbles(q);
    block(low, high)
}

/// The eight sums of q x over a block.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn products(q: Floats, x: &[f32; BLOCK]) -> __m256 {
    let x: &[[f32; 8]; BLOCK / 8] = must_cast_ref(x);
    let x: Floats = x.map(must_cast);
    let even = _mm256_fmadd_ps(q[2], x[2], _mm256_mul_ps(q[0], x[0]));
    let odd = _mm256_fmadd_ps(q[3], x[3], _mm256_mul_ps(q[1], x[1]));
    _mm256_add_ps(even, odd)
}

/// Σ d Σ q x over whole blocks.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn dot_blocks<Q>(quants: &[Q], d: &[f16], x: &[f32], floats: impl Fn(&Q) -> Floats) -> f32 {
    let mut sums = _mm256_setzero_ps();
    for ((q, d), x) in quants.iter().zip(d).zip(x.as_chunks::<BLOCK>().0) {
        sums = _mm256_fmadd_ps(_mm256_set1_ps(from_f16(*d)), products(floats(q), x), sums);
    }
    folded(must_cast::<_, [f32; 8]>(sums))
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn widen_blocks<Q, S: Copy>(
    quants: &[Q],
    scales: &[S],
    out: &mut [f32],
    floats: impl Fn(&Q) -> Floats,
    scale: impl Fn(S, __m256) -> __m256,
) {
    for ((q, s), out) in quants.iter().zip(scales).zip(out.as_chunks_mut::<BLOCK>().0) {
        *out = must_cast(floats(q).map(|q| scale(*s, q)));
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_q8_0(q: &[[u8; BLOCK]], d: &[f16], x: &[f32]) -> f32 {
    dot_blocks(q, d, x, |q| quants_q8_0(q))
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], x: &[f32]) -> f32 {
    dot_blocks(q, d, x, |q| quants_q4_0(q))
}

/// Σ d Σ q x + m Σ x.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], x: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    for ((q, dm), x) in q.iter().zip(dm).zip(x.as_chunks::<BLOCK>().0) {
        let [d, m] = dm.map(|scale| _mm256_set1_ps(from_f16(scale)));
        sums[0] = _mm256_fmadd_ps(d, products(quants_q4_1(q), x), sums[0]);
        sums[1] = _mm256_fmadd_ps(m, products([_mm256_set1_ps(1.0); BLOCK / 8], x), sums[1]);
    }
    folded(must_cast::<_, [f32; 8]>(_mm256_add_ps(sums[0], sums[1])))
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn widen_q8_0(q: &[[u8; BLOCK]], d: &[f16], out: &mut [f32]) {
    widen_blocks(q, d, out, |q| quants_q8_0(q), |d, q| _mm256_mul_ps(_mm256_set1_ps(from_f16(d)), q));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn widen_q4_0(q: &[[u8; BLOCK / 2]], d: &[f16], out: &mut [f32]) {
    widen_blocks(q, d, out, |q| quants_q4_0(q), |d, q| _mm256_mul_ps(_mm256_set1_ps(from_f16(d)), q));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn widen_q4_1(q: &[[u8; BLOCK / 2]], dm: &[[f16; 2]], out: &mut [f32]) {
    let scale = |[d, m]: [f16; 2], q| _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(from_f16(d)), q), _mm256_set1_ps(from_f16(m)));
    widen_blocks(q, dm, out, |q| quants_q4_1(q), scale);
}
