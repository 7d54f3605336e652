//! Evaluation: how well a model foretells a text, and how sure each number is.
//!
//! A text is cut into [`Windows`] of tokens; a session that starts afresh reads each of them, and the device computes the loss of every token
//! ([`losses`]). A [`Tally`] makes the numbers: cross-entropy, perplexity, bits per byte, and the loss by position. Windows are the
//! independent units: standard errors are over windows, not over tokens, whose losses depend on one another. (Neighbouring windows of one
//! text still resemble each other; that is not accounted for.)
//!
//! [`memory`] asks another question: what does it give a model to have read what comes before a passage?

use std::collections::VecDeque;

use serde::Serialize;

use crate::error::Error;
use crate::generate::Session;
use crate::text::{Measured, TextError};

pub mod memory;
mod statistics;
mod tally;
mod tokens;

pub use statistics::{Estimate, Ratio, student_t};
pub use tally::{Bucket, Report, Tally};
pub use tokens::{PIECE, Pieces, Tokens};

/// Why a text can't be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The system's word on a file.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no text.
    #[error("{file} is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Which file.
        file: String,
        /// Where the first bad byte is.
        at: u64,
    },
    /// A text that the tokenizer refuses.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A size that can't be.
    #[error("the {what} is {found} tokens, wanted {wanted}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        found: usize,
        /// What would do.
        wanted: String,
    },
    /// A text too short to score any token of it.
    #[error("{file} has {found} tokens, of which none can be scored: wanted at least {wanted}")]
    TooShort {
        /// Which text.
        file: String,
        /// Tokens that it has.
        found: u64,
        /// Tokens that are needed.
        wanted: usize,
    },
    /// Too few texts.
    #[error("{found} texts of {tokens} tokens or more, wanted at least {wanted}")]
    TooFew {
        /// Texts that are long enough.
        found: usize,
        /// Tokens that each needs.
        tokens: usize,
        /// How many are needed.
        wanted: usize,
    },
}

/// How a stream of tokens is cut into windows: one begins every `stride` tokens, and the last `scored` tokens of each count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// Tokens of a window, its opening included.
    pub window: usize,
    /// Tokens of the text from the beginning of one window to that of the next.
    pub stride: usize,
    /// Tokens at the end of each window that are scored. Those before them are read only.
    pub scored: usize,
    /// What is put before each window: the tokens that the tokenizer puts before every text.
    pub opening: Vec<u32>,
}

/// A stretch of a text, as a fresh session reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The opening, of no bytes, then the text.
    pub tokens: Vec<Measured>,
    /// Where the scored tokens begin.
    pub first_scored: usize,
    /// How many of the tokens, counted from the end, no earlier window had.
    pub fresh: usize,
}

impl Window {
    /// Bytes of the text that no earlier window had.
    pub fn fresh_bytes(&self) -> u64 {
        self.tokens[self.tokens.len() - self.fresh..].iter().map(|token| u64::from(token.bytes)).sum()
    }
}

impl Windows {
    /// Windows of so many tokens. The stride is at most, and by default, the text that a window holds; what is scored is at most, and by
    /// default, the stride.
    pub fn new(window: usize, stride: Option<usize>, scored: Option<usize>, opening: &[u32]) -> Result<Windows, EvaluateError> {
        let least = opening.len() + 1;
        if window < least.max(2) {
            let wanted = format!("at least {}, so that a token has another before it", least.max(2));
            return Err(EvaluateError::Size { what: "window", found: window, wanted });
        }
        let text = window - opening.len();
        let within = |what, found: Option<usize>, most: usize| match found {
            Some(0) => Err(EvaluateError::Size { what, found: 0, wanted: format!("1 to {most}") }),
            Some(n) => Ok(n.min(most)),
            None => Ok(most),
        };
        let stride = within("stride", stride, text)?;
        let scored = within("scored end of a window", scored, stride)?;
        Ok(Windows { window, stride, scored, opening: opening.to_vec() })
    }

    /// The windows of a text. The last may be shorter than the others; it is left out where none of its tokens is scored.
    pub fn cut<E, I: Iterator<Item = Result<Measured, E>>>(&self, tokens: I) -> Cut<'_, I> {
        Cut { windows: self, tokens, held: VecDeque::new(), seen: 0 }
    }
}

/// The windows of a text, one after the other; holds one window at a time.
pub struct Cut<'a, I> {
    windows: &'a Windows,
    tokens: I,
    held: VecDeque<Measured>,
    /// How many of the held tokens the window before had.
    seen: usize,
}

impl<E, I: Iterator<Item = Result<Measured, E>>> Iterator for Cut<'_, I> {
    type Item = Result<Window, E>;

    fn next(&mut self) -> Option<Result<Window, E>> {
        let Windows { window, stride, scored, opening } = self.windows;
        while self.held.len() < window - opening.len() {
            match self.tokens.next() {
                Some(Ok(token)) => self.held.push_back(token),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let fresh = self.held.len() - self.seen;
        let opening = opening.iter().map(|id| Measured { id: *id, bytes: 0 });
        let tokens: Vec<Measured> = opening.chain(self.held.iter().copied()).collect();
        let first_scored = window - scored;
        // A first token has nothing before it to be foretold from.
        if fresh == 0 || tokens.len() <= first_scored.max(1) {
            return None;
        }
        self.held.drain(..(*stride).min(self.held.len()));
        self.seen = self.held.len();
        Some(Ok(Window { tokens, first_scored, fresh }))
    }
}

/// The loss of each token of a window in nats, read from a fresh start; none for the first. The session's options stay.
pub async fn losses(session: &mut Session, tokens: &[u32]) -> Result<Vec<Option<f32>>, Error> {
    session.reset().await?;
    session.read(tokens).await
}
