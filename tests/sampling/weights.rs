//! The fixed-point weight against f64.

use fastweight::kernels::Fill;
use fastweight::kernels::sample::{MAX_VOCABULARY, ONE, weight};

/// A weight of 1.
const UNIT: f64 = (1u32 << 28) as f64;

/// Every `step`-th float from 0 up to 30.
fn exponents(step: usize) -> impl Iterator<Item = f32> {
    (0..=30f32.to_bits()).step_by(step).map(f32::from_bits)
}

#[test]
fn weights_are_powers_of_two_rounded() {
    let mut worst = (0.0, 0.0);
    for y in exponents(911) {
        let exact = (-f64::from(y)).exp2() * UNIT;
        // Half a unit for rounding, some for the series, and 2⁻²⁶ in the exponent, which is cut off there.
        let bound = 0.8 + exact * 2f64.powi(-26) * std::f64::consts::LN_2;
        let error = (f64::from(weight(y)) - exact).abs();
        if error / bound > worst.0 && y > 0.0 {
            worst = (error / bound, y.into());
        }
    }
    assert!(worst.0 <= 1.0, "weight({}) is off by {} of its bound", worst.1, worst.0);
}

#[test]
fn relative_errors_are_below_a_ten_millionth_where_weights_are_large() {
    for y in exponents(911).take_while(|y| *y <= 2.0) {
        let exact = (-f64::from(y)).exp2() * UNIT;
        let error = (f64::from(weight(y)) / exact - 1.0).abs();
        assert!(error < 1e-7, "weight({y}) is off by {error}");
    }
}

#[test]
fn weights_never_rise() {
    let mut last = weight(0.0);
    assert_eq!(last, ONE, "the likeliest weighs one");
    for y in exponents(127) {
        let w = weight(y);
        assert!(w <= last, "weight({y}) is {w}, after {last}");
        last = w;
    }
    assert_eq!(last, 0, "weights end at zero");
    // Neighbours, where the series starts anew and where the halves of an exponent meet.
    for whole in 1..29 {
        for y in [whole as f32, whole as f32 + 0.5] {
            let neighbours = [y.to_bits() - 2, y.to_bits() - 1, y.to_bits(), y.to_bits() + 1].map(|b| weight(f32::from_bits(b)));
            assert!(neighbours.is_sorted_by(|a, b| a >= b), "around {y}: {neighbours:?}");
        }
    }
    // What is further behind weighs nothing, however far.
    for y in [29.0, 100.0, 1e30, f32::MAX, f32::INFINITY] {
        assert_eq!(weight(y), 0, "at {y}");
    }
}

#[test]
fn sums_are_those_of_f64_and_fit_their_words() {
    for (seed, behind) in [(1, 1.0f32), (2, 10.0), (3, 40.0)] {
        let y = |i| behind / 2.0 + Fill::uniform(seed, behind / 2.0).value(i);
        let sum: u64 = (0..MAX_VOCABULARY).map(|i| u64::from(weight(y(i)))).sum();
        let exact: f64 = (0..MAX_VOCABULARY).map(|i| (-f64::from(y(i))).exp2() * UNIT).sum();
        // Errors of each rounding are at most half a unit, and mostly even out.
        let error = (sum as f64 - exact).abs();
        assert!(error < MAX_VOCABULARY as f64 * 0.51 + exact * 2f64.powi(-26), "±{behind}: off by {error} units");
        assert!(error < exact * 2e-3, "±{behind}: off by {} of it", error / exact);
    }
    // The shader adds the lower 14 bits and the rest of a whole vocabulary in words of 32 bits.
    let most = MAX_VOCABULARY as u64;
    assert!(most * u64::from(ONE & 0x3fff) <= u64::from(u32::MAX) && most * u64::from(ONE >> 14) <= u64::from(u32::MAX));
    assert!(ONE == (1 << 28) - 1 && UNIT as u32 == ONE + 1, "the largest weight fits 28 bits");
}
