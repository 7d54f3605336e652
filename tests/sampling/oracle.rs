//! Sampling written a second time: whole sorts, sums in 128 bits, and a version in f64 that knows no fixed point.

use fastweight::kernels::sample::{random, weight};
use fastweight::step::Sequence;

/// Ids from the likeliest on; among equals, the lower first.
fn ordered(logits: &[f32]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    // A stable sort keeps the lower id first; −0 equals 0.
    ids.sort_by(|a, b| logits[*b as usize].partial_cmp(&logits[*a as usize]).expect("logits are numbers"));
    ids
}

/// The first of `weights` whose running sum is over the share `part` / 2³² of their total.
fn first_over(weights: &[u64], part: u32) -> usize {
    let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    let mut sum = 0;
    let over = |w: &u64| {
        sum += u128::from(*w);
        sum << 32 > total * u128::from(part)
    };
    weights.iter().position(over).expect("the total is over any share of itself")
}

/// The drawn id, and how many candidates top-k and top-p keep.
pub(super) fn draw(logits: &[f32], record: &Sequence) -> (u32, u32) {
    let mut ids = ordered(logits);
    if record.sharpness == 0.0 {
        return (ids[0], 1);
    }
    let behind = |id: u32| logits[ids[0] as usize] - logits[id as usize];
    let (behind, weigh): (Vec<f32>, Vec<u64>) =
        ids.iter().map(|id| (behind(*id), u64::from(weight(behind(*id) * record.sharpness)))).unzip();
    if record.top_k > 0 {
        ids.truncate(record.top_k as usize);
    }
    if record.top_p > 0 {
        ids.truncate(first_over(&weigh[..ids.len()], record.top_p) + 1);
    }
    let kept = ids.len();
    let near = |i: &usize| record.min_p_drop < 0.0 || behind[*i] <= record.min_p_drop;
    let left: Vec<usize> = (0..kept).filter(near).collect();
    let weights: Vec<u64> = left.iter().map(|i| weigh[*i]).collect();
    let drawn = first_over(&weights, random(record.seed, record.position + record.count));
    (ids[left[drawn]], kept as u32)
}

/// What f64 says about a row's filters.
pub(super) struct Shares {
    /// Probability of each candidate that top-k keeps, from the likeliest on.
    pub(super) sorted: Vec<f64>,
    /// Their running sums.
    pub(super) running: Vec<f64>,
}

/// The softmax of what top-k keeps, at a temperature.
pub(super) fn shares(logits: &[f32], temperature: f64, top_k: u32) -> Shares {
    let mut sorted: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if top_k > 0 {
        sorted.truncate(top_k as usize);
    }
    let max = sorted[0];
    let exp: Vec<f64> = sorted.iter().map(|x| ((x - max) / temperature).exp()).collect();
    let total: f64 = exp.iter().sum();
    let sorted: Vec<f64> = exp.iter().map(|e| e / total).collect();
    let running = sorted.iter().scan(0.0, |sum, p| {
        *sum += p;
        Some(*sum)
    });
    Shares { running: running.collect(), sorted }
}
