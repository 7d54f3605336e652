//! Blocks to floats. Products of a scale and a small integer are exact in f32; where a minimum is added, the sum is rounded once.

use half::{bf16, f16};

use super::Format;

/// Decodes whole blocks; `out` has as many elements as they.
pub fn decode(format: Format, bytes: &[u8], out: &mut [f32]) {
    let (len, size) = format.block();
    debug_assert_eq!(bytes.len() / size * len, out.len(), "whole blocks");
    let block: fn(&[u8], &mut [f32]) = match format {
        Format::F32 => {
            return bytes.as_chunks::<4>().0.iter().zip(out).for_each(|(b, x)| *x = f32::from_le_bytes(*b));
        }
        Format::F16 => {
            return bytes.as_chunks::<2>().0.iter().zip(out).for_each(|(b, x)| *x = f16::from_le_bytes(*b).to_f32());
        }
        Format::BF16 => {
            return bytes.as_chunks::<2>().0.iter().zip(out).for_each(|(b, x)| *x = bf16::from_le_bytes(*b).to_f32());
        }
        Format::Q8_0 => q8_0,
        Format::Q4_0 => q4_0,
        Format::Q4_1 => q4_1,
        Format::Q5_0 => q5_0,
        Format::Q5_1 => q5_1,
        Format::Q4K => q4_k,
        Format::Q6K => q6_k,
    };
    bytes.chunks(size).zip(out.chunks_mut(len)).for_each(|(bytes, out)| block(bytes, out));
}

/// The half-precision number at a byte.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    out.iter_mut().zip(&block[2..]).for_each(|(x, q)| *x = d * f32::from(*q as i8));
}

/// The four-bit integers of 16 bytes, low halves first, each with the fifth bit that `high` has for it.
fn nibbles(bytes: &[u8], high: u32) -> impl Iterator<Item = f32> {
    (0..32).map(move |i| {
        let low = if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 };
        f32::from(low | ((high >> i & 1) as u8) << 4)
    })
}

fn high_bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    out.iter_mut().zip(nibbles(&block[2..], 0)).for_each(|(x, q)| *x = d * (q - 8.0));
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    out.iter_mut().zip(nibbles(&block[4..], 0)).for_each(|(x, q)| *x = d * q + m);
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    out.iter_mut().zip(nibbles(&block[6..], high_bits(block, 2))).for_each(|(x, q)| *x = d * (q - 16.0));
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    out.iter_mut().zip(nibbles(&block[8..], high_bits(block, 4))).for_each(|(x, q)| *x = d * q + m);
}

/// Eight runs of 32, each with a 6-bit scale and a 6-bit minimum; the runs of a pair share their bytes.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (s, quants) = (&block[4..16], &block[16..]);
    for (run, out) in out.chunks_mut(32).enumerate() {
        let (scale, minimum) = match run {
            0..4 => (s[run] & 63, s[run + 4] & 63),
            _ => (s[run + 4] & 15 | s[run - 4] >> 6 << 4, s[run + 4] >> 4 | s[run] >> 6 << 4),
        };
        let (d, m) = (d * f32::from(scale), m * f32::from(minimum));
        let shift = 4 * (run % 2);
        let bytes = &quants[run / 2 * 32..][..32];
        out.iter_mut().zip(bytes).for_each(|(x, byte)| *x = d * f32::from(byte >> shift & 15) - m);
    }
}

/// Two halves of 128, each of four runs of 32 that share their low bits' bytes in pairs and their high bits' all; a scale for
/// every 16 elements.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 208);
    for (i, x) in out.iter_mut().enumerate() {
        let (half, run, at) = (i / 128, i / 32 % 4, i % 32);
        let low = block[half * 64 + run % 2 * 32 + at] >> (4 * (run / 2)) & 15;
        let high = block[128 + half * 32 + at] >> (2 * run) & 3;
        let scale = block[192 + i / 16] as i8;
        *x = d * f32::from(scale) * f32::from((low | high << 4) as i8 - 32);
    }
}
