//! How much one submit takes: about a tenth of a second of work on a GPU, since the whole system waits for it, and so does who stops a text.

use crate::device::Device;
use crate::step::MAX_RUNS;

/// Seconds that a submit should take.
const SECONDS: f32 = 0.1;

/// Seconds that it may take where more at a time are much cheaper: Windows resets a device that is busy for two.
const TOO_LONG: f32 = 1.0;

/// Tokens whose products take the same tiles: up to here twice as many may take hardly longer.
const TILE: usize = 64;

/// A chunk of twice the tokens is worth it up to this many times the seconds.
const WORTH: f32 = 1.5;

/// Tokens of a sequence that a chunk takes as it is read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    tokens: usize,
    /// Seconds of a full chunk of 2ⁿ tokens, as it last was.
    seconds: [Option<f32>; usize::BITS as usize],
}

impl Reading {
    /// Chunks of `tokens` at first: a power of two.
    pub(super) fn new(tokens: usize) -> Reading {
        Reading { tokens, seconds: [None; usize::BITS as usize] }
    }

    /// Tokens of the next chunk.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Follows the device's speed after a chunk whose longest sequence had `longest` tokens: longer chunks where they end early, or where a token of a
    /// longer one is much cheaper; shorter where they last, unless that gains nothing.
    pub(super) fn adapt(&mut self, seconds: f32, longest: usize, most: usize) {
        let (tokens, at) = (self.tokens, self.tokens.ilog2() as usize);
        if longest >= tokens {
            self.seconds[at] = Some(seconds);
        }
        let known = |at: Option<usize>| at.and_then(|at| self.seconds.get(at).copied().flatten());
        let longer = 2 * tokens <= most && longest >= tokens;
        let worth_more = || known(Some(at + 1)).is_none_or(|twice| twice <= WORTH * seconds);
        // Half of what is tiled takes as long: whoever came down for nothing goes back.
        let in_vain = || known(Some(at + 1)).is_some_and(|twice| twice < WORTH * seconds);
        let worth_less = || known(at.checked_sub(1)).is_none_or(|half| WORTH * half <= seconds);
        let early = seconds < SECONDS / 2.5;
        let cheaper = tokens < TILE && 2.0 * seconds <= TOO_LONG && worth_more();
        if longer && (early || cheaper || (seconds > TOO_LONG && in_vain())) {
            self.tokens = 2 * tokens;
        } else if seconds > SECONDS && tokens > 1 && (tokens > 16 || seconds > TOO_LONG) && worth_less() {
            self.tokens = tokens / 2;
        }
    }
}

/// Tokens that a submit draws as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    runs: usize,
    fixed: bool,
}

impl Writing {
    /// One at first, then as many as take a tenth of a second.
    pub(super) fn new() -> Writing {
        Writing { runs: 1, fixed: false }
    }

    /// Always so many.
    pub(super) fn fixed(runs: usize) -> Writing {
        Writing { runs, fixed: true }
    }

    /// The number that somebody asked for.
    pub(super) fn asked(&self) -> Option<usize> {
        self.fixed.then_some(self.runs)
    }

    /// Runs of the next submit. A profile is of one run, and the CPU gains nothing.
    pub(super) fn runs(&self, device: &Device) -> usize {
        if device.profile().is_some() || (device.is_cpu() && !self.fixed) { 1 } else { self.runs }
    }

    /// What a submit of so many runs took.
    pub(super) fn adapt(&mut self, runs: usize, seconds: f32) {
        if !self.fixed {
            let fit = (SECONDS / seconds.max(1e-6) * runs as f32) as usize;
            self.runs = fit.min(2 * runs).clamp(1, MAX_RUNS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunks that a device settles on which takes `seconds(tokens)`, and the longest time that one of them took.
    fn settled(seconds: impl Fn(usize) -> f32) -> (usize, f32) {
        let (mut pace, mut longest) = (Reading::new(16), 0f32);
        let mut last = Vec::new();
        for _ in 0..40 {
            let took = seconds(pace.tokens());
            longest = longest.max(took);
            last.push(pace.tokens());
            pace.adapt(took, pace.tokens(), 256);
        }
        assert!(last[20..].windows(2).all(|w| w[0] == w[1]), "it goes on changing: {last:?}");
        (pace.tokens(), longest)
    }

    #[test]
    fn chunks_follow_the_speed_of_a_device() {
        // A fast one; one whose chunks of 64 take a tenth of a second; one that is slow in proportion.
        assert_eq!(settled(|n| 1e-5 * n as f32).0, 256);
        assert_eq!(settled(|n| 1.5e-3 * n as f32).0, 64);
        let (tokens, longest) = settled(|n| 0.03 * n as f32);
        assert!(tokens == 16 && longest <= 1.0, "{tokens} tokens, {longest} s at most");
    }

    #[test]
    fn chunks_do_not_shrink_where_that_gains_nothing() {
        // Tiles of 32 rows, each of 0.35 s: as many as a tile takes, and never more than a second.
        let (tokens, longest) = settled(|n| 0.35 * n.div_ceil(32) as f32);
        assert!(tokens >= 32 && longest <= 1.0, "{tokens} tokens, {longest} s at most");
        // Tiles of 1.2 s: nothing helps, and one token at a time would be the worst.
        let (tokens, _) = settled(|n| 1.2 * n.div_ceil(32) as f32);
        assert!(tokens >= 8, "{tokens} tokens");
        // Too long in proportion: shorter ones.
        let (tokens, _) = settled(|n| 0.2 * n as f32);
        assert!((1..=4).contains(&tokens), "{tokens} tokens");
    }
}
