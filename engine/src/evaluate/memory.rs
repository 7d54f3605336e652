//! What reading gives: the loss of a passage after the text it belongs to, after another text, and cold.
//!
//! To switch a model's memory off is no fair contrast: a TTT layer that doesn't learn hardly mixes tokens, and an attention layer without
//! its context neither. Here the model always works as it was trained, and only what it has read differs.

use serde::Serialize;

use super::{Estimate, EvaluateError, Ratio};
use crate::error::Error;
use crate::generate::Session;

/// What passages are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Passages {
    /// Tokens read before each.
    pub context: usize,
    /// Tokens of each.
    pub passage: usize,
}

/// A passage, and what may be read before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// The text that it is in.
    pub text: usize,
    /// Its first token there; its own context ends before.
    pub start: usize,
    /// The text that the other context is from.
    pub other: usize,
    /// The first token of that context.
    pub other_start: usize,
}

impl Passages {
    /// Chooses passages in texts of these lengths, at most `most` in each, spread evenly. No two passages of a text share a token, of
    /// their contexts neither: they are `context + passage` tokens apart, which is what makes them nearly independent. The other
    /// contexts come from all other texts in turn, spread over each by steps of the golden ratio.
    pub fn choose(&self, lengths: &[usize], most: Option<usize>) -> Result<Vec<Passage>, EvaluateError> {
        let Passages { context, passage } = *self;
        for (what, found, least) in [("context", context, 1), ("passage", passage, 2)] {
            if found < least {
                return Err(EvaluateError::Size { what, found, wanted: format!("at least {least}") });
            }
        }
        let block = context.saturating_add(passage);
        let found = lengths.iter().filter(|n| **n >= block).count();
        let others: Vec<usize> = (0..lengths.len()).filter(|text| lengths[*text] >= context).collect();
        if found == 0 || others.len() < 2 {
            return Err(EvaluateError::TooFew { found, tokens: block, wanted: 2 });
        }
        let mut chosen = Vec::new();
        for (text, length) in lengths.iter().enumerate() {
            let blocks = length / block;
            let count = blocks.min(most.unwrap_or(blocks));
            let others: Vec<usize> = others.iter().copied().filter(|other| *other != text).collect();
            for i in 0..count {
                let other = others[i % others.len()];
                let share = ((i + 1) as f64 * 0.618_033_988_749_895).fract();
                let other_start = ((lengths[other] - context) as f64 * share) as usize;
                chosen.push(Passage { text, start: i * blocks / count * block + context, other, other_start });
            }
        }
        Ok(chosen)
    }

    /// The losses of a passage.
    pub async fn measure(
        &self,
        session: &mut Session,
        opening: &[u32],
        texts: &[Vec<u32>],
        passage: &Passage,
    ) -> Result<Losses, Error> {
        let text = &texts[passage.text];
        let own = &text[passage.start - self.context..passage.start];
        let other = &texts[passage.other][passage.other_start..][..self.context];
        let tokens = &text[passage.start..][..self.passage];
        let mut means = [0.0; 3];
        for (mean, context) in means.iter_mut().zip([own, other, &[]]) {
            let losses = super::losses(session, &[opening, context, tokens].concat()).await?;
            // Cold and without an opening, the first token has no loss; it is left out everywhere.
            let scored = &losses[losses.len() - self.scored(opening)..];
            *mean = scored.iter().flatten().map(|x| f64::from(*x)).sum::<f64>() / scored.len() as f64;
        }
        Ok(Losses { own: means[0], other: means[1], cold: means[2] })
    }

    /// Tokens of a passage that are scored.
    pub fn scored(&self, opening: &[u32]) -> usize {
        if opening.is_empty() { self.passage - 1 } else { self.passage }
    }
}

/// A passage's mean losses in nats a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Losses {
    /// After the text that precedes it.
    pub own: f64,
    /// After as much of another text.
    pub other: f64,
    /// After nothing.
    pub cold: f64,
}

/// Losses that are taken in passage by passage.
#[derive(Debug, Clone)]
pub struct MemoryTally {
    all: [Ratio; 5],
    texts: Vec<[Ratio; 5]>,
}

/// Means over passages, differences paired.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Memory {
    /// The loss after the text that precedes the passage, in nats a token.
    pub own: Estimate,
    /// The loss after another text.
    pub other: Estimate,
    /// The loss after nothing.
    pub cold: Estimate,
    /// The memory effect, `other − own`: what it gives to have read this text and not another.
    pub effect: Estimate,
    /// `cold − own`: what it gives to have read this text and not nothing.
    pub over_cold: Estimate,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryReport {
    /// Over passages as independent units. Passages of one text have its style in common, so the intervals hold for these texts.
    pub passages: Memory,
    /// Over texts as independent units, the same means: the intervals hold for texts of this kind. None with a single text.
    pub texts: Option<Memory>,
    /// Each text by itself; none for one without passages.
    pub each: Vec<Option<Memory>>,
}

impl MemoryTally {
    /// For so many texts.
    pub fn new(texts: usize) -> MemoryTally {
        MemoryTally { all: Default::default(), texts: vec![Default::default(); texts] }
    }

    /// Takes a passage's losses in.
    pub fn add(&mut self, text: usize, losses: &Losses) {
        let Losses { own, other, cold } = *losses;
        for ratios in [&mut self.all, &mut self.texts[text]] {
            for (ratio, value) in ratios.iter_mut().zip([own, other, cold, other - own, cold - own]) {
                ratio.add(value, 1.0);
            }
        }
    }

    /// The numbers; none before a passage was taken in.
    pub fn report(&self) -> Option<MemoryReport> {
        let mut over_texts: [Ratio; 5] = Default::default();
        for ratios in &self.texts {
            for (over, ratio) in over_texts.iter_mut().zip(ratios) {
                over.add(ratio.total(), ratio.size());
            }
        }
        let texts = memory(&over_texts).filter(|m| m.own.units > 1);
        Some(MemoryReport { passages: memory(&self.all)?, texts, each: self.texts.iter().map(memory).collect() })
    }
}

fn memory(ratios: &[Ratio; 5]) -> Option<Memory> {
    let [own, other, cold, effect, over_cold] = ratios.each_ref().map(Ratio::estimate);
    Some(Memory { own: own?, other: other?, cold: cold?, effect: effect?, over_cold: over_cold? })
}
