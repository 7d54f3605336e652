//! Sampling: the filters against a host sort, the weights against f64, the frequencies against chance, on both devices.

#[path = "sampling/device.rs"]
mod device;
#[path = "sampling/filters.rs"]
mod filters;
#[path = "sampling/frequencies.rs"]
mod frequencies;
#[path = "sampling/oracle.rs"]
mod oracle;
#[path = "sampling/tables.rs"]
mod tables;
#[path = "sampling/weights.rs"]
mod weights;

use fastweight::step::Sequence;

/// Sampling options as a user gives them.
#[derive(Debug, Clone, Copy)]
struct Options {
    temperature: f64,
    top_k: u32,
    top_p: f64,
    min_p: f64,
    seed: u32,
}

/// Temperature 1 and no filter.
const PLAIN: Options = Options { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };

impl Options {
    /// The step values that ask for these options at a position.
    fn record(&self, position: u32) -> Sequence {
        let sharpness = if self.temperature == 0.0 { 0.0 } else { std::f64::consts::LOG2_E / self.temperature };
        Sequence {
            seed: self.seed,
            sharpness: sharpness as f32,
            top_k: self.top_k,
            top_p: if self.top_p < 1.0 { (self.top_p * 2f64.powi(32)) as u32 } else { 0 },
            min_p_drop: if self.min_p > 0.0 { (-self.temperature * self.min_p.ln()) as f32 } else { -1.0 },
            ..Sequence::new(position, 1)
        }
    }
}
