//! Exponentials and the activations that are made of them.

use multiversion::multiversion;

use super::norm::folded_sum;

/// eˣ, by the system's library; in WebAssembly, whose library is slow and takes one number at a time, in steps that vectorise.
#[inline]
pub(crate) fn exponential(x: f32) -> f32 {
    if cfg!(target_arch = "wasm32") { exp(x) } else { x.exp() }
}

/// log(1 + eˣ) = max(x, 0) + log(1 + u), u = e^−|x|, the second logarithm as 2 artanh(u / (2 + u)), whose series keeps the digits of a small u.
#[inline(always)]
fn softplus(x: f32) -> f32 {
    let u = exp(-x.abs());
    let r = u / (2.0 + u);
    let series = (0..8).rev().fold(0.0, |sum, i| sum * r * r + 1.0 / (2 * i + 1) as f32);
    x.max(0.0) + 2.0 * r * series
}

/// outᵢ = log(1 + e^(xᵢ + yᵢ)).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn softplus_sum(x: &[f32], y: &[f32], out: &mut [f32]) {
    x.iter().zip(y).zip(out).for_each(|((x, y), out)| *out = softplus(x + y));
}

/// yᵢ ← yᵢ silu(gateᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn gate_silu(y: &mut [f32], gate: &[f32]) {
    y.iter_mut().zip(gate).for_each(|(y, gate)| *y *= gate * sigmoid(*gate));
}

/// xᵢ ← silu(xᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn silus(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x *= sigmoid(*x));
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// √(2/π) and the factor of the cube, of the tanh form of GELU.
const ROOT: f32 = (std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2) as f32;
const CUBE: f32 = 0.044715;

/// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of GELU: ½ (1 + tanh(z)) is the sigmoid of 2 z.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * sigmoid(2.0 * ROOT * (x + CUBE * x * x * x))
}

/// xᵢ ← gelu(xᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn gelus(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = gelu(*x));
}

/// yᵢ ← yᵢ gelu(gateᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn gate_gelu(y: &mut [f32], gate: &[f32]) {
    y.iter_mut().zip(gate).for_each(|(y, gate)| *y *= gelu(*gate));
}

/// The derivative of GELU, with the published code's rounded constants.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    const A: f32 = 0.797_884_56_f64 as f32;
    const D: f32 = 0.107_032_224_3_f64 as f32;
    // With s the sigmoid of 2 z: ½ (1 + tanh z) = s, and ½ (1 − tanh² z) = 2 s (1 − s).
    let s = sigmoid(2.0 * A * x * (1.0 + CUBE * x * x));
    2.0 * s * (1.0 - s) * x * (A + D * x * x) + s
}

/// yᵢ ← yᵢ gelu'(xᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn times_gelu_slope(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y *= gelu_slope(*x));
}

/// eˣ in steps that vectorise, within 2 units in the last place between −87 and 88, where x is held. (The polynomial of Cephes' expf.)
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding it leaves the rounded number in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

/// outᵢ = e^(a xᵢ).
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn exp_scaled(a: f32, x: &[f32], out: &mut [f32]) {
    x.iter().zip(out).for_each(|(x, out)| *out = exp(a * x));
}

/// xᵢ ← e^(xᵢ − largest), and their sum.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn exp_below(x: &mut [f32], largest: f32) -> f32 {
    x.iter_mut().for_each(|x| *x = exp(*x - largest));
    folded_sum(x, |x| x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_double_precision() {
        let x: Vec<f32> = (-8700..=8800).map(|i| i as f32 * 0.01).collect();
        let mut out = vec![0.0; x.len()];
        exp_scaled(1.0, &x, &mut out);
        for (x, y) in x.iter().zip(&out) {
            let wanted = f64::from(*x).exp();
            assert!((f64::from(*y) - wanted).abs() <= 2.5e-7 * wanted, "e^{x} is {y}, wanted {wanted}");
        }
        let sum: f64 = out[..8735].iter().map(|y| f64::from(*y)).sum();
        let mut below: Vec<f32> = x[..8735].iter().map(|x| x + 0.5).collect();
        let found = f64::from(exp_below(&mut below, 0.5));
        assert!((found - sum).abs() <= 1e-5 * sum, "the sum is {found}, wanted {sum}");
        assert!(below.iter().zip(&out).all(|(a, b)| (a - b).abs() <= 1e-4 * b), "the same, but for the rounding of x");
        exp_scaled(1e30, &[-1.0, 1.0], &mut out[..2]);
        assert!(out[0] < 1e-37 && out[1].is_finite());
    }

    #[test]
    fn softplus_keeps_small_and_large_values() {
        for x in [-80f32, -20.0, -7.0, -1e-3, 0.0, 0.5, 15.0, 25.0, 1e30] {
            let wanted = if x > 40.0 { f64::from(x) } else { f64::from(x).exp().ln_1p() };
            assert!((f64::from(softplus(x)) - wanted).abs() <= 5e-7 * wanted, "{x}");
        }
    }

    #[test]
    fn activations_are_those_of_double_precision() {
        let x: Vec<f32> = (-3000..=3000).map(|i| i as f32 * 0.01).chain([-1e4, 1e4]).collect();
        let gelu = |x: f64| {
            0.5 * x
                * (1.0 + (std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 * (x + 0.044715 * x * x * x)).tanh())
        };
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let (mut gelus_of, mut silus_of, mut slopes) = (x.clone(), x.clone(), vec![1.0; x.len()]);
        gelus(&mut gelus_of);
        silus(&mut silus_of);
        times_gelu_slope(&mut slopes, &x);
        for (i, x) in x.iter().enumerate() {
            let (x, step) = (f64::from(*x), 1e-4);
            let slope = (gelu(x + step) - gelu(x - step)) / (2.0 * step);
            // The slope's constants are rounded.
            let found =
                [("gelu", gelus_of[i], gelu(x), 1e-6), ("silu", silus_of[i], silu(x), 1e-6), ("slope", slopes[i], slope, 1e-5)];
            for (name, found, wanted, bound) in found {
                let error = (f64::from(found) - wanted).abs();
                assert!(error <= bound * wanted.abs().max(1.0), "{name}({x}) is {found}, wanted {wanted}");
            }
        }
        let mut gated = vec![2.0; x.len()];
        gate_gelu(&mut gated, &x);
        gated.iter().zip(&gelus_of).for_each(|(a, b)| assert_eq!(*a, 2.0 * b));
        let mut gated = vec![2.0; x.len()];
        gate_silu(&mut gated, &x);
        gated.iter().zip(&silus_of).for_each(|(a, b)| assert_eq!(*a, 2.0 * b));
    }
}
