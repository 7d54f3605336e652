//! What samples of time say: few of them, skewed to the slow side, from a machine that does other things too.
//!
//! The figure is the **median**, and its uncertainty is Price and Bonett's (*Distribution-free confidence intervals for difference and
//! ratio of medians*, J. Stat. Comput. Simul. 72, 2002): the spread of the logarithms between two order statistics, over the width that
//! the same two have for a normal distribution. It needs no random numbers and holds for skewed samples from five on. Student's t stands
//! in for the normal quantile.
//!
//! Samples of one run resemble each other more than another run's: the machine's memory was laid out once, its clock and its neighbours were
//! what they were. That such variation must be counted is Kalibera and Jones' point (*Rigorous benchmarking in reasonable time*, ISMM 2013).
//! Here the sentinels tell how much it is, the same fixed work at different times ([`unsteadiness`]), and it is never taken for less than
//! [`BETWEEN_RUNS`]. Runs recorded on a busy machine (`tests/fixtures/bench/busy.jsonl`) give no false alarm so.
//!
//! A change is **beyond noise** when three things hold together. The interval of the ratio of the medians lies on one side of 1; the medians
//! differ by at least [`LEAST`]; and so do the fastest quarters: what shares the machine slows some samples, a program that has changed
//! changes all of them.

use serde::Serialize;

use super::results::{Measurement, Results, Sentinel};
use crate::evaluate::student_t;

/// The least standard deviation of a run's median, as a share, beyond what its samples show.
pub const BETWEEN_RUNS: f64 = 0.007;

/// Smaller changes are not called changes, as a share.
pub const LEAST: f64 = 0.03;

/// What samples say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Samples.
    pub count: usize,
    /// Half are below.
    pub median: f64,
    /// Where another run's median lies, with 95 %; none of fewer than three samples.
    pub interval: Option<[f64; 2]>,
    /// The mean.
    pub mean: f64,
    /// Their standard deviation; 0 of one sample.
    pub deviation: f64,
    /// The smallest.
    pub least: f64,
}

impl Summary {
    /// Of positive numbers, of which there is at least one, from a machine of this unsteadiness.
    pub fn of(samples: &[f64], unsteadiness: f64) -> Summary {
        let spread = Spread::of(samples);
        let n = samples.len() as f64;
        let mean: f64 = samples.iter().map(|x| x / n).sum();
        let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
        // Another run's median errs as this one's does.
        let half = spread.error.map(|e| student_t(samples.len() as u64 - 1) * (2.0 * (e * e + unsteadiness.powi(2))).sqrt());
        Summary {
            count: samples.len(),
            median: spread.median,
            interval: half.map(|half| [spread.median * (-half).exp(), spread.median * half.exp()]),
            mean,
            deviation: if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 },
            least: spread.least,
        }
    }
}

impl Results {
    /// What the samples of one of these measurements say.
    pub fn summary(&self, m: &Measurement) -> Summary {
        Summary::of(&m.samples, unsteadiness(&self.sentinels))
    }

    /// The same of tokens a second.
    pub fn speed(&self, m: &Measurement) -> Summary {
        let speeds: Vec<f64> = m.samples.iter().map(|s| m.work.tokens / s).collect();
        Summary::of(&speeds, unsteadiness(&self.sentinels))
    }
}

/// How much a machine's speed varies from one time to another: the standard deviation of the sentinels' logarithms, of copying or of
/// multiplying, whichever is larger; at least [`BETWEEN_RUNS`].
pub fn unsteadiness<'a>(sentinels: impl IntoIterator<Item = &'a Sentinel> + Clone) -> f64 {
    let deviation = |rate: fn(&Sentinel) -> f64| {
        let logs: Vec<f64> = sentinels.clone().into_iter().map(|s| rate(s).ln()).collect();
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
    };
    // One sentinel has no deviation: not a number, which the larger one never is.
    BETWEEN_RUNS.max(deviation(|s| s.copy)).max(deviation(|s| s.multiply_add))
}

/// How the times of `b` differ from those of `a`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// The median of `b` over that of `a`: above 1, `b` is slower.
    pub ratio: f64,
    /// Its 95 % interval; none if either has fewer than three samples.
    pub interval: Option<[f64; 2]>,
    /// The same ratio of the fastest quarters.
    pub fastest: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The second takes longer, beyond noise.
    Slower,
    /// The second takes less time, beyond noise.
    Faster,
    /// Nothing that noise could not be.
    Unchanged,
}

impl Change {
    /// Of positive numbers, of which there is at least one of each, from machines of this unsteadiness.
    pub fn between(a: &[f64], b: &[f64], unsteadiness: [f64; 2]) -> Change {
        let (of_a, of_b) = (Spread::of(a), Spread::of(b));
        let ratio = of_b.median / of_a.median;
        let fastest = of_b.quarter / of_a.quarter;
        let interval = of_a.error.zip(of_b.error).map(|(e, f)| {
            let [u, v] = unsteadiness;
            let half = student_t(a.len().min(b.len()) as u64 - 1) * (e * e + f * f + u * u + v * v).sqrt();
            [ratio * (-half).exp(), ratio * half.exp()]
        });
        let verdict = match interval {
            Some([low, _]) if low > 1.0 && ratio >= 1.0 + LEAST && fastest >= 1.0 + LEAST => Verdict::Slower,
            Some([_, high]) if high < 1.0 && ratio <= 1.0 / (1.0 + LEAST) && fastest <= 1.0 / (1.0 + LEAST) => Verdict::Faster,
            _ => Verdict::Unchanged,
        };
        Change { ratio, interval, fastest, verdict }
    }
}

/// The order statistics of a run.
struct Spread {
    median: f64,
    /// The mean of the fastest quarter.
    quarter: f64,
    least: f64,
    /// Standard error of the median's logarithm; none of fewer than three samples.
    error: Option<f64>,
}

impl Spread {
    fn of(samples: &[f64]) -> Spread {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let quarter = n.div_ceil(4);
        Spread {
            median: sorted[(n - 1) / 2] / 2.0 + sorted[n / 2] / 2.0,
            quarter: sorted[..quarter].iter().map(|x| x / quarter as f64).sum(),
            least: sorted[0],
            error: (n >= 3).then(|| {
                let c = ((n as f64 + 1.0) / 2.0 - (n as f64).sqrt()).round().max(1.0) as usize;
                (sorted[n - c].ln() - sorted[c - 1].ln()) / (2.0 * width(n, c))
            }),
        }
    }
}

/// How many standard errors of the median the order statistics `c` and `n - c + 1` lie from it: the normal quantile of 1 - p/2 for the
/// probability p that the median is outside them.
fn width(n: usize, c: usize) -> f64 {
    let mut term = 0.5f64.powi(n as i32 - 1);
    let mut p = 0.0;
    for i in 0..c {
        p += term;
        term *= (n - i) as f64 / (i + 1) as f64;
    }
    // Far out, p vanishes below f64 for thousands of samples; the quantile there is that of the normal approximation.
    if p < 1e-12 { (n as f64 + 1.0 - 2.0 * c as f64) / (n as f64).sqrt() } else { upper_quantile(p / 2.0) }
}

/// The point that a standard normal variable exceeds with probability `q`, of at most 1/2: Abramowitz and Stegun 26.2.23, within 4.5e-4.
fn upper_quantile(q: f64) -> f64 {
    let t = (-2.0 * q.ln()).sqrt();
    t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
}
