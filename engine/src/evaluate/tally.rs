//! From the losses of windows to numbers.

use serde::Serialize;

use super::{Estimate, Ratio, Window};

/// Losses that are taken in window by window.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    nats_per_token: Ratio,
    nats_per_byte: Ratio,
    /// One a bucket of positions.
    positions: Vec<Ratio>,
}

/// The loss of the tokens at some positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bucket {
    /// The least number of tokens read before them.
    pub from: u64,
    /// The largest.
    pub to: u64,
    /// How many tokens were scored there.
    pub tokens: u64,
    /// Their mean loss in nats.
    pub loss: Estimate,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Tokens scored.
    pub tokens: u64,
    /// Bytes of text that they stand for.
    pub bytes: u64,
    /// Mean cross-entropy in nats a token.
    pub loss: Estimate,
    /// Its exponential.
    pub perplexity: Estimate,
    /// Bits a byte of text; none if the tokens stand for no bytes.
    pub bits_per_byte: Option<Estimate>,
    /// The loss by position: by the number of tokens that the window had before (1, 2–3, 4–7, …).
    pub positions: Vec<Bucket>,
}

impl Tally {
    /// Takes a window's losses in, one a token. What is before [`Window::first_scored`] or has no loss does not count.
    pub fn add(&mut self, window: &Window, losses: &[Option<f32>]) {
        let (mut nats, mut tokens, mut bytes) = (0.0, 0.0, 0.0);
        let mut buckets = vec![(0.0, 0.0); usize::BITS as usize];
        let mut most = 0;
        for (position, (token, loss)) in window.tokens.iter().zip(losses).enumerate().skip(window.first_scored) {
            let (Some(loss), Some(bucket)) = (*loss, position.checked_ilog2()) else { continue };
            let (loss, bucket) = (f64::from(loss), bucket as usize);
            nats += loss;
            tokens += 1.0;
            bytes += f64::from(token.bytes);
            buckets[bucket].0 += loss;
            buckets[bucket].1 += 1.0;
            most = most.max(bucket + 1);
        }
        self.nats_per_token.add(nats, tokens);
        self.nats_per_byte.add(nats, bytes);
        if self.positions.len() < most {
            self.positions.resize(most, Ratio::default());
        }
        for (ratio, (nats, tokens)) in self.positions.iter_mut().zip(buckets) {
            ratio.add(nats, tokens);
        }
    }

    /// The numbers; none before a token was scored.
    pub fn report(&self) -> Option<Report> {
        let loss = self.nats_per_token.estimate()?;
        let perplexity = loss.map(f64::exp, loss.mean.exp());
        let to_bits = std::f64::consts::LOG2_E;
        let bucket = |(i, ratio): (usize, &Ratio)| {
            let (from, to) = (1 << i, (2 << i) - 1);
            ratio.estimate().map(|loss| Bucket { from, to, tokens: ratio.size() as u64, loss })
        };
        Some(Report {
            tokens: self.nats_per_token.size() as u64,
            bytes: self.nats_per_byte.size() as u64,
            loss,
            perplexity,
            bits_per_byte: self.nats_per_byte.estimate().map(|nats| nats.map(|n| n * to_bits, to_bits)),
            positions: self.positions.iter().enumerate().filter_map(bucket).collect(),
        })
    }
}
