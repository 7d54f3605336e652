//! A session: one sequence that reads, learns and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ahead::Ahead;
use super::journal::Journal;
use super::programs::{Purpose, TOKEN_STATE};
use super::{Batch, Model, Sampling, Writing, WritingOptions, pace};
use crate::error::Error;
use crate::step::MAX_RUNS;
use crate::text::TextStream;

/// Stops a session's call from elsewhere: another thread, a signal handler, a button.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// The call under way, or the next one, returns [`Error::Cancelled`] at the next chunk or token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes the session usable again.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The scales of the inner learning rate that a session takes.
pub(super) const LEARNING: std::ops::RangeInclusive<f32> = 0.0..=100.0;

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Whether it ends the text.
    pub is_end: bool,
    /// Candidates that top-k and top-p kept.
    pub kept: u32,
}

/// One sequence of a model. Independent of every other session of it.
///
/// After [`crate::device::DeviceError::Lost`] nothing is lost: once [`Model::move_to`] has brought the model to a device again, the
/// call that failed can be repeated, and the session goes on as if nothing had happened.
pub struct Session {
    pub(super) batch: Batch,
    /// The last token, which the model has not taken in yet: the next draw does it.
    pub(super) pending: Option<u32>,
    /// Whether the device's own copy of the pending token is that one.
    pub(super) pending_on_device: bool,
    /// What was drawn after it and not given out yet.
    pub(super) ahead: Option<Ahead>,
    pub(super) sampling: Sampling,
    pub(super) stream: TextStream,
    /// Text that was drawn but may be the start of a stop string.
    pub(super) held: String,
    pub(super) journal: Journal,
    pub(super) cancel: Cancel,
}

impl Session {
    pub(super) async fn new(model: &Model) -> Result<Session, Error> {
        Ok(Session {
            batch: Batch::new(model, 1).await?,
            pending: None,
            pending_on_device: false,
            ahead: None,
            sampling: Sampling::default(),
            stream: TextStream::default(),
            held: String::new(),
            journal: Journal::default(),
            cancel: Cancel::default(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.batch.model
    }

    /// Tokens of the session so far, given and drawn.
    pub fn len(&self) -> usize {
        self.batch.positions[0] as usize - self.ahead() + usize::from(self.pending.is_some())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the next token is drawn.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Sets how the next token is drawn.
    pub fn set_sampling(&mut self, sampling: Sampling) -> Result<(), Error> {
        sampling.check()?;
        self.sampling = sampling;
        Ok(())
    }

    /// The scale of the inner learning rate.
    pub fn learning(&self) -> f32 {
        self.batch.learning
    }

    /// Scales the inner learning rate from here on: 1 is the model as trained, 0 freezes the fast weights as they are.
    pub fn set_learning(&mut self, scale: f32) -> Result<(), Error> {
        if !LEARNING.contains(&scale) {
            return Err(Error::Option { name: "learning", found: scale.to_string(), wanted: "0 to 100" });
        }
        self.batch.learning = scale;
        Ok(())
    }

    /// Tokens that one submit draws at most, 1 to [`MAX_RUNS`]: each is given out once all are drawn. By default as many as take a tenth of a second on
    /// a GPU, and 1 on the CPU, which gains nothing by more.
    pub fn set_tokens_per_submit(&mut self, tokens: Option<usize>) -> Result<(), Error> {
        self.batch.runs = match tokens {
            None => pace::Writing::new(),
            Some(tokens) if (1..=MAX_RUNS).contains(&tokens) => pace::Writing::fixed(tokens),
            Some(found) => {
                return Err(Error::Option { name: "tokens per submit", found: found.to_string(), wanted: "1 to 16" });
            }
        };
        Ok(())
    }

    /// A handle that stops this session's calls.
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Reads tokens: the model takes them in and learns on them. The last one waits for the next draw.
    /// On [`Error::Cancelled`] the session has the tokens up to there.
    pub async fn prefill(&mut self, tokens: &[u32]) -> Result<(), Error> {
        self.batch.check_tokens(tokens)?;
        let Some(last) = tokens.last() else { return Ok(()) };
        let all: Vec<u32> = self.pending.into_iter().chain(tokens.iter().copied()).collect();
        let fed = self.feed(Purpose::Prefill, &all[..all.len() - 1], None, &all).await;
        self.follow_text(&tokens[..tokens.len() - self.untaken(&fed, tokens)]);
        fed?;
        (self.pending, self.pending_on_device) = (Some(*last), false);
        Ok(())
    }

    /// Reads tokens and returns the loss of each in nats, given all before it; none for the first token of a session.
    pub async fn read(&mut self, tokens: &[u32]) -> Result<Vec<Option<f32>>, Error> {
        self.batch.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<u32> = self.pending.into_iter().chain(tokens.iter().copied()).collect();
        let fed = self.feed(Purpose::Loss, &all[..all.len() - 1], Some(&all[1..]), &all).await;
        self.scored(fed, tokens, &all)
    }

    /// What [`Session::read`] returns and leaves, given the losses of all of `all` but its first; `tokens` are its last.
    pub(super) fn scored(
        &mut self,
        fed: Result<Vec<f32>, Error>,
        tokens: &[u32],
        all: &[u32],
    ) -> Result<Vec<Option<f32>>, Error> {
        self.follow_text(&tokens[..tokens.len() - self.untaken(&fed, tokens)]);
        let losses = fed?;
        (self.pending, self.pending_on_device) = (all.last().copied(), false);
        let unscored = (all.len() == tokens.len()).then_some(None);
        Ok(unscored.into_iter().chain(losses.into_iter().map(Some)).collect())
    }

    /// Reads tokens and returns the logits after each, `[tokens, vocabulary]`.
    pub async fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        self.batch.check_tokens(tokens)?;
        // Unlike the others this takes the last token in as well; it is then no longer pending.
        let all: Vec<u32> = self.pending.into_iter().chain(tokens.iter().copied()).collect();
        let skip = all.len() - tokens.len();
        let logits = self.feed(Purpose::Logits, &all, None, &all).await?;
        self.follow_text(tokens);
        (self.pending, self.pending_on_device) = (None, false);
        Ok(logits[skip * self.model().architecture().vocabulary()..].to_vec())
    }

    /// Draws the next token: alone, or in a submit of as many as [`Session::set_tokens_per_submit`] was given.
    pub async fn next(&mut self) -> Result<Token, Error> {
        let most = self.batch.runs.asked().unwrap_or(1);
        Ok(self.draw(false, most).await?.0)
    }

    /// Writes text: a stream of pieces until an end token, a stop string, the limit or a cancel.
    pub fn write(&mut self, options: WritingOptions) -> Writing<'_> {
        Writing::new(self, options)
    }

    /// Draws the next token, with the logits that it was drawn from if wanted (before penalty and temperature); if not, the same submit may draw
    /// those after it, `most` with this one.
    pub(super) async fn draw(&mut self, with_logits: bool, most: usize) -> Result<(Token, Vec<f32>), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled { taken: 0 });
        }
        let ready = if with_logits || self.is_elsewhere() { None } else { self.next_ahead() };
        if ready.is_none() {
            self.follow().await?;
        }
        let pending = self.pending.ok_or(if self.is_empty() { Error::EmptyPrompt } else { Error::NothingPending })?;
        if !self.pending_on_device {
            self.batch.states.write(TOKEN_STATE, 0, &[pending]);
        }
        let (drawn, logits) = match ready {
            Some(drawn) => (drawn, Vec::new()),
            None if with_logits => {
                let (_, mut drawn, logits) = self.batch.draw(&[self.sampling], 1, true).await?;
                (drawn.swap_remove(0)[0], logits)
            }
            None => (self.draw_ahead(most).await?, Vec::new()),
        };
        let id = drawn.id(self.batch.positions[0] - self.ahead() as u32)?;
        self.journal.took(&[pending], &self.batch);
        if self.ahead.is_none() {
            self.journal.keep(&self.batch).await;
        }
        (self.pending, self.pending_on_device) = (Some(id), true);
        Ok((Token { id, is_end: self.model().end_tokens().contains(&id), kept: drawn.kept() }, logits))
    }

    /// Another session with the same past.
    pub async fn fork(&mut self) -> Result<Session, Error> {
        self.follow().await?;
        let batch = Batch::copy(&self.batch).await?;
        let (stream, held, journal) = (self.stream.clone(), self.held.clone(), self.journal.clone());
        let (pending, sampling, cancel) = (self.pending, self.sampling, Cancel::default());
        Ok(Session { batch, pending, pending_on_device: false, ahead: None, sampling, stream, held, journal, cancel })
    }

    /// Goes on from another session's past, with the options of this one.
    pub(super) fn take_past(&mut self, past: Session) {
        let Session { mut batch, pending, pending_on_device, ahead, stream, held, journal, .. } = past;
        batch.take_options(&self.batch);
        *self = Session {
            batch,
            pending,
            pending_on_device,
            stream,
            held,
            journal,
            ahead,
            sampling: self.sampling,
            cancel: self.cancel.clone(),
        };
    }

    /// Forgets everything: back to the learned start. Options stay.
    pub async fn reset(&mut self) -> Result<(), Error> {
        if self.is_elsewhere() {
            self.start_over().await?;
        } else {
            self.batch.reset().await?;
        }
        (self.journal, self.ahead) = (Journal::default(), None);
        (self.pending, self.pending_on_device) = (None, false);
        (self.stream, self.held) = (TextStream::default(), String::new());
        Ok(())
    }

    /// Feeds tokens; if cancelled half-way, `all[taken]` becomes the pending token.
    async fn feed(&mut self, purpose: Purpose, tokens: &[u32], targets: Option<&[u32]>, all: &[u32]) -> Result<Vec<f32>, Error> {
        self.follow().await?;
        let targets = targets.map(|t| [t]);
        let fed = self.batch.feed(purpose, &[tokens], targets.as_ref().map(|t| &t[..]), &self.cancel).await;
        self.note(&fed, tokens, all).await;
        Ok(fed?.swap_remove(0))
    }

    /// Notes which of `tokens` the batch took; if cancelled half-way, `all[taken]` becomes the pending token.
    pub(super) async fn note<T>(&mut self, fed: &Result<T, Error>, tokens: &[u32], all: &[u32]) {
        match fed {
            Ok(_) => self.journal.took(tokens, &self.batch),
            Err(Error::Cancelled { taken }) => {
                (self.pending, self.pending_on_device) = (all.get(*taken).copied(), false);
                self.journal.took(&tokens[..*taken], &self.batch);
            }
            // As if the call had not been made, for the time when there is a device again.
            Err(_) => return,
        }
        self.journal.keep(&self.batch).await;
    }

    /// Goes where the model is now, with this session's past and nothing drawn ahead of it.
    pub(super) async fn follow(&mut self) -> Result<(), Error> {
        let settled = self.settle().await;
        if !self.is_elsewhere() {
            return settled;
        }
        let batch = self.journal.carry(self.model(), &self.batch, settled).await?;
        (self.batch, self.pending_on_device) = (batch, false);
        Ok(())
    }

    /// Whether the model has moved away from the device that this session is on.
    pub(super) fn is_elsewhere(&self) -> bool {
        !Arc::ptr_eq(&self.batch.on, &self.model().loaded())
    }

    /// Takes a fresh batch where the model is now; options stay.
    pub(super) async fn start_over(&mut self) -> Result<(), Error> {
        let mut batch = Batch::new(self.model(), 1).await?;
        batch.take_options(&self.batch);
        self.batch = batch;
        Ok(())
    }

    /// How many of the last tokens a cancelled call left out.
    fn untaken<T>(&self, fed: &Result<T, Error>, tokens: &[u32]) -> usize {
        match fed {
            Err(Error::Cancelled { taken }) => tokens.len().saturating_sub(taken + 1),
            _ => 0,
        }
    }

    /// What is written next goes on from these tokens: tokenizers spell a word differently at the start of a text.
    fn follow_text(&mut self, tokens: &[u32]) {
        const ENOUGH: usize = 8;
        self.stream = TextStream::after(&tokens[tokens.len().saturating_sub(ENOUGH)..]);
        self.held.clear();
    }
}
