//! Llama 3's scaling of the rotary frequencies. A config names four numbers; a GGUF holds the divisor of each frequency.

use std::f64::consts::PI;

use serde_json::{Value as Json, json};

/// The numbers of `"rope_type": "llama3"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Llama3 {
    pub(super) factor: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) context: f64,
}

impl Llama3 {
    /// What each frequency is divided by: 1 for short waves, `factor` for long ones, smoothly between (`_compute_llama3_parameters`
    /// of Hugging Face transformers).
    pub(super) fn factors(&self, theta: f64, head_dim: usize) -> Vec<f32> {
        let factor = |i: usize| {
            let wave = 2.0 * PI * theta.powf(2.0 * i as f64 / head_dim as f64);
            if wave < self.context / self.high {
                1.0
            } else if wave > self.context / self.low {
                self.factor as f32
            } else {
                let smooth = (self.context / wave - self.low) / (self.high - self.low);
                (1.0 / ((1.0 - smooth) / self.factor + smooth)) as f32
            }
        };
        (0..head_dim / 2).map(factor).collect()
    }

    /// The numbers that these divisors were made of: those that the file states, or else those of the published models, which all
    /// have 1, 4 and 8192 beside their factor.
    pub(super) fn of(factors: &[f32], theta: f64, head_dim: usize, stated: Option<Llama3>) -> Option<Llama3> {
        let factor = factors.iter().copied().fold(1f32, f32::max);
        let scaling = stated.unwrap_or(Llama3 { factor: factor.into(), low: 1.0, high: 4.0, context: 8192.0 });
        let made = scaling.factors(theta, head_dim);
        let same = made.len() == factors.len() && made.iter().zip(factors).all(|(a, b)| (a - b).abs() <= 1e-4 * a);
        same.then_some(scaling)
    }

    /// What a file of ours states: `fastweight.rope.` and one of these.
    pub(super) const KEYS: [&str; 4] = ["factor", "low_freq_factor", "high_freq_factor", "original_context_length"];

    /// The numbers in the order of [`Llama3::KEYS`].
    pub(super) fn stated(&self) -> [f64; 4] {
        [self.factor, self.low, self.high, self.context]
    }

    /// The same, back.
    pub(super) fn from_stated([factor, low, high, context]: [f64; 4]) -> Option<Llama3> {
        let sensible = [factor, low, high, context].iter().all(|x| *x > 0.0 && *x < 1e9) && high > low;
        sensible.then_some(Llama3 { factor, low, high, context })
    }

    /// The config's form.
    pub(super) fn json(&self) -> Json {
        json!({
            "rope_type": "llama3",
            "factor": self.factor,
            "low_freq_factor": self.low,
            "high_freq_factor": self.high,
            "original_max_position_embeddings": self.context as u64,
        })
    }
}
