//! Floats to the formats that devices hold, rounded as ggml's reference quantisers do.

use half::{bf16, f16};

use crate::tensor::{BLOCK, DType};

/// Appends `values`, whole blocks of finite numbers, as `dtype`. The index of the first value that the type can't hold, if there
/// is one: f16 and the scales end at 65,504.
pub fn encode(dtype: DType, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    debug_assert!(values.len().is_multiple_of(dtype.block()), "whole blocks");
    out.reserve(dtype.bytes_of(values.len()));
    match dtype {
        DType::F32 | DType::U32 => values.iter().for_each(|x| out.extend(x.to_le_bytes())),
        DType::F16 => {
            for (i, x) in values.iter().enumerate() {
                half(*x, out).ok_or(i)?;
            }
        }
        DType::BF16 => {
            for (i, x) in values.iter().enumerate() {
                let rounded = bf16::from_f32(*x);
                if !rounded.is_finite() {
                    return Err(i);
                }
                out.extend(rounded.to_le_bytes());
            }
        }
        DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => {
            let block = match dtype {
                DType::Q8_0 => q8_0,
                DType::Q4_0 => q4_0,
                _ => q4_1,
            };
            for (i, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
                block(values, out).ok_or(i * BLOCK)?;
            }
        }
    }
    Ok(())
}

/// Appends a number in half precision, if it has room there.
fn half(x: f32, out: &mut Vec<u8>) -> Option<()> {
    let rounded = f16::from_f32(x);
    out.extend(rounded.to_le_bytes());
    rounded.is_finite().then_some(())
}

/// 1 / d, or 0 where the scale is too small for that.
fn inverse(d: f32) -> f32 {
    Some(1.0 / d).filter(|x| x.is_finite()).unwrap_or(0.0)
}

/// Appends four-bit integers, element i beside element i + 16.
fn nibbles(q: impl Fn(usize) -> u8, out: &mut Vec<u8>) {
    out.extend((0..BLOCK / 2).map(|i| q(i) | q(i + BLOCK / 2) << 4));
}

/// d = max |x| / 127; q = x / d, ties away from zero.
fn q8_0(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let d = x.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
    let inverse = inverse(d);
    half(d, out)?;
    out.extend(x.iter().map(|x| (x * inverse).round() as i8 as u8));
    Some(())
}

/// d = x / -8 of the x that is largest in size; q = x / d + 8, rounded.
fn q4_0(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let largest = x.iter().fold(0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
    let d = largest / -8.0;
    let inverse = inverse(d);
    half(d, out)?;
    nibbles(|i| ((x[i] * inverse + 8.5) as u8).min(15), out);
    Some(())
}

/// m = min x, d = (max x - m) / 15; q = (x - m) / d, rounded.
fn q4_1(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(min, max), x| (min.min(*x), max.max(*x)));
    let d = (max - min) / 15.0;
    let inverse = inverse(d);
    half(d, out)?;
    half(min, out)?;
    nibbles(|i| (((x[i] - min) * inverse + 0.5) as u8).min(15), out);
    Some(())
}
