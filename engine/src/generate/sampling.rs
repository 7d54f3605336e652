//! How the next token is drawn.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::step::{HISTORY, Sequence};

/// The options of a draw, applied in this order: repetition penalty, temperature, top-k, top-p, min-p.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Positive logits of recent tokens are divided by this, negative ones multiplied; 1 is off.
    pub repeat_penalty: f32,
    /// How many of the last tokens count as recent, prompt included; at most 256.
    pub repeat_last_n: u32,
    /// Logits are divided by this; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keep this many of the likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of likeliest whose probability passes this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely in relation to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// The same seed draws the same tokens, on every device that computes the same logits.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { repeat_penalty: 1.0, repeat_last_n: 64, temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, seed: 0 }
    }
}

impl Sampling {
    /// Always the likeliest token.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Refuses values out of range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |name, found: f32, wanted| Err(Error::Option { name, found: found.to_string(), wanted });
        if !(self.temperature >= 0.0 && self.temperature <= 1e6) {
            return refuse("temperature", self.temperature, "0 to 1,000,000");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", self.top_p, "over 0, up to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return refuse("min_p", self.min_p, "0 to 1");
        }
        if !(self.repeat_penalty >= 0.01 && self.repeat_penalty <= 100.0) {
            return refuse("repeat_penalty", self.repeat_penalty, "0.01 to 100");
        }
        if self.repeat_last_n > HISTORY as u32 {
            return refuse("repeat_last_n", self.repeat_last_n as f32, "0 to 256");
        }
        Ok(())
    }

    /// Writes the options into a sequence's record, as the sampling kernels want them.
    pub(super) fn write(&self, record: &mut Sequence) {
        // The kernels take 32 bits; all 64 of the seed matter.
        record.seed = (self.seed ^ (self.seed >> 32).wrapping_mul(0x9e37_79b9)) as u32;
        // Below this the weights of all but the likeliest vanish anyway; its inverse stays finite.
        let temperature = f64::from(self.temperature);
        record.sharpness = if temperature < 1e-6 { 0.0 } else { (std::f64::consts::LOG2_E / temperature) as f32 };
        record.top_k = self.top_k;
        record.top_p = if self.top_p < 1.0 { ((f64::from(self.top_p) * 4_294_967_296.0) as u32).max(1) } else { 0 };
        record.min_p_drop = if self.min_p > 0.0 { (-temperature * f64::from(self.min_p).ln()) as f32 } else { -1.0 };
        record.penalty = self.repeat_penalty;
        record.inverse_penalty = self.repeat_penalty.recip();
        record.last_n = if self.repeat_penalty == 1.0 { 0 } else { self.repeat_last_n };
    }
}
