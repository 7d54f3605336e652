//! Means of units that differ in size, and how sure they are.

use serde::Serialize;

/// A mean with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error; none with a single unit.
    pub standard_error: Option<f64>,
    /// Both ends of the 95 % confidence interval, by Student's t with one degree of freedom less than there are units.
    pub interval: Option<[f64; 2]>,
    /// Independent units that it is a mean of.
    pub units: u64,
}

impl Estimate {
    /// The estimate of a growing function of this one: the interval follows, and the standard error by the function's `slope`.
    pub fn map(self, f: impl Fn(f64) -> f64, slope: f64) -> Estimate {
        Estimate {
            mean: f(self.mean),
            standard_error: self.standard_error.map(|e| e * slope),
            interval: self.interval.map(|ends| ends.map(&f)),
            ..self
        }
    }
}

/// A total of values over a total of sizes (nats over tokens, nats over bytes), from independent units of unequal size.
///
/// The estimator is r = Σv / Σn and its variance k/(k−1) Σ(v − r n)² / (Σn)² over k units: Cochran, *Sampling Techniques*, 3rd edition, 2.11 and
/// 6.3. For units of one size these are the mean of their means and its usual standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ratio {
    units: u64,
    values: f64,
    sizes: f64,
    values_squared: f64,
    products: f64,
    sizes_squared: f64,
}

impl Ratio {
    /// Takes a unit in; one of no size says nothing.
    pub fn add(&mut self, value: f64, size: f64) {
        if size > 0.0 {
            self.units += 1;
            self.values += value;
            self.sizes += size;
            self.values_squared += value * value;
            self.products += value * size;
            self.sizes_squared += size * size;
        }
    }

    /// The values of all units.
    pub fn total(&self) -> f64 {
        self.values
    }

    /// The sizes of all units.
    pub fn size(&self) -> f64 {
        self.sizes
    }

    /// The mean a size, with its uncertainty; none without units.
    pub fn estimate(&self) -> Option<Estimate> {
        if self.units == 0 {
            return None;
        }
        let (k, r) = (self.units as f64, self.values / self.sizes);
        let squares = self.values_squared - 2.0 * r * self.products + r * r * self.sizes_squared;
        let standard_error = (self.units > 1).then(|| (k / (k - 1.0) * squares.max(0.0)).sqrt() / self.sizes);
        let interval = standard_error.map(|e| {
            let half = student_t(self.units - 1) * e;
            [r - half, r + half]
        });
        Some(Estimate { mean: r, standard_error, interval, units: self.units })
    }
}

/// How many standard errors hold 95 % around a mean: the 97.5 % quantile of Student's t.
/// Exact for 1 and 2 degrees of freedom, then Abramowitz and Stegun 26.7.5 (within 0.004 from 3 on).
pub fn student_t(degrees: u64) -> f64 {
    const X: f64 = 1.959_963_984_540_054;
    match degrees {
        0 => f64::INFINITY,
        1 => 12.706_204_736_432_1,
        2 => 4.302_652_729_911_28,
        _ => {
            let (n, x2) = (degrees as f64, X * X);
            let g1 = X * (x2 + 1.0) / 4.0;
            let g2 = X * ((5.0 * x2 + 16.0) * x2 + 3.0) / 96.0;
            let g3 = X * (((3.0 * x2 + 19.0) * x2 + 17.0) * x2 - 15.0) / 384.0;
            let g4 = X * ((((79.0 * x2 + 776.0) * x2 + 1482.0) * x2 - 1920.0) * x2 - 945.0) / 92_160.0;
            X + (g1 + (g2 + (g3 + g4 / n) / n) / n) / n
        }
    }
}
