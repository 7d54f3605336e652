//! Writing: the loop that draws tokens and gives out text, the same natively and in a browser.

use serde::Serialize;

use super::Session;
use crate::device::yield_now;
use crate::error::Error;

/// When to stop, and what to report.
#[derive(Debug, Clone, PartialEq)]
pub struct WritingOptions {
    /// Tokens at most.
    pub predict: usize,
    /// Strings that end the text; they are not given out.
    pub stop: Vec<String>,
    /// How many of the likeliest tokens to report with each drawn one.
    pub logprobs: usize,
    /// Keep text that may be the start of a stop string, and an unfinished character, for a later call or a snapshot, instead
    /// of giving it out at the end.
    pub resumable: bool,
}

impl Default for WritingOptions {
    fn default() -> WritingOptions {
        WritingOptions { predict: 256, stop: Vec::new(), logprobs: 0, resumable: false }
    }
}

/// The log-probability of a token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Logprob {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// Natural logarithm of its probability, before penalty, temperature and filters.
    pub logprob: f32,
}

/// What one drawn token gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Piece {
    /// The token; none for text that was held back until the end.
    pub id: Option<u32>,
    /// Text that is now certain; may be empty, and may include what earlier tokens left open.
    pub text: String,
    /// The drawn token's own log-probability, if [`WritingOptions::logprobs`] is not 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// The likeliest tokens, likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Logprob>,
}

/// Why the text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model drew an end token.
    End,
    /// A stop string.
    Stop,
    /// The limit of tokens.
    Length,
    /// [`super::Cancel::cancel`].
    Cancelled,
}

/// What a text took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens drawn.
    pub tokens: usize,
}

/// A text being written.
pub struct Writing<'a> {
    session: &'a mut Session,
    options: WritingOptions,
    finish: Option<Finish>,
    usage: Usage,
    flushed: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(session: &'a mut Session, options: WritingOptions) -> Writing<'a> {
        Writing { session, options, finish: None, usage: Usage::default(), flushed: false }
    }

    /// Why the text ended, once it has.
    pub fn finish_reason(&self) -> Option<Finish> {
        self.finish
    }

    /// What the text took so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The next piece, or `None` when the text has ended.
    pub async fn next(&mut self) -> Result<Option<Piece>, Error> {
        if self.finish.is_none() && self.usage.tokens >= self.options.predict {
            self.finish = Some(Finish::Length);
        }
        if self.finish.is_some() {
            return self.flush();
        }
        yield_now().await;
        let (token, logits) = match self.session.draw(self.options.logprobs > 0, self.options.predict - self.usage.tokens).await {
            Ok(drawn) => drawn,
            Err(Error::Cancelled { .. }) => {
                self.finish = Some(Finish::Cancelled);
                return self.flush();
            }
            Err(error) => return Err(error),
        };
        self.usage.tokens += 1;
        let (logprob, top) = self.logprobs(token.id, &logits)?;
        if token.is_end {
            self.finish = Some(Finish::End);
            return Ok(Some(Piece { id: Some(token.id), text: String::new(), logprob, top }));
        }
        let model = self.session.model().clone();
        let text = self.session.stream.push(model.tokenizer()?, token.id)?;
        self.session.held.push_str(&text);
        Ok(Some(Piece { id: Some(token.id), text: self.release(), logprob, top }))
    }

    /// Takes out of the held text what can't be part of a stop string any more.
    fn release(&mut self) -> String {
        let held = &mut self.session.held;
        let stops = self.options.stop.iter().filter(|s| !s.is_empty());
        if let Some(at) = stops.clone().filter_map(|s| held.find(s.as_str())).min() {
            self.finish = Some(Finish::Stop);
            self.flushed = true;
            let text = held[..at].to_string();
            held.clear();
            return text;
        }
        // The longest end of the text that begins a stop string.
        let open = |stop: &String| held.char_indices().map(|(i, _)| i).find(|i| stop.starts_with(&held[*i..]));
        let keep = stops.filter_map(open).min().unwrap_or(held.len());
        let rest = held.split_off(keep);
        std::mem::replace(held, rest)
    }

    /// At the end: what was held back, unless it is kept for later.
    fn flush(&mut self) -> Result<Option<Piece>, Error> {
        if self.flushed || (self.options.resumable && self.finish != Some(Finish::End)) {
            return Ok(None);
        }
        self.flushed = true;
        let model = self.session.model().clone();
        let mut text = std::mem::take(&mut self.session.held);
        text.push_str(&self.session.stream.finish(model.tokenizer()?)?);
        Ok((!text.is_empty()).then_some(Piece { id: None, text, logprob: None, top: Vec::new() }))
    }

    /// The drawn token's log-probability and the likeliest ones, by log-softmax over all logits.
    fn logprobs(&self, id: u32, logits: &[f32]) -> Result<(Option<f32>, Vec<Logprob>), Error> {
        if logits.is_empty() {
            return Ok((None, Vec::new()));
        }
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum();
        let logprob = |id: u32| (f64::from(logits[id as usize] - max) - sum.ln()) as f32;
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        let order = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let n = self.options.logprobs.min(ids.len());
        if n < ids.len() {
            ids.select_nth_unstable_by(n, order);
            ids.truncate(n);
        }
        ids.sort_unstable_by(order);
        let tokenizer = self.session.model().tokenizer()?;
        let mut top = Vec::new();
        for id in ids {
            top.push(Logprob { id, text: tokenizer.decode(&[id])?, logprob: logprob(id) });
        }
        Ok((Some(logprob(id)), top))
    }
}
