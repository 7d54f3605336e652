//! Drawing ahead: one submit draws several tokens, since each goes on to the next run on the device, and the session gives them out one by one. If it
//! goes another way before all are given out, the states go back and the given ones are taken in again.

use std::collections::VecDeque;

use super::{Sampling, Session};
use crate::error::Error;
use crate::kernels::sample::RECORD;
use crate::step::Step;

/// The record of a draw: see [`crate::kernels::sample::Sample`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn(pub(super) [u32; RECORD]);

impl Drawn {
    /// The token, which the sequence has at `position`.
    pub(super) fn id(&self, position: u32) -> Result<u32, Error> {
        if self.0[1] == 0 { Err(Error::NotFinite { position }) } else { Ok(self.0[0]) }
    }

    /// Candidates that top-k and top-p kept.
    pub(super) fn kept(&self) -> u32 {
        self.0[2]
    }
}

/// The draws of one submit.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    steps: Vec<Step>,
    /// Those that were not given out yet.
    left: VecDeque<Drawn>,
    /// What they were drawn with.
    sampling: Sampling,
    learning: f32,
}

impl Session {
    /// Draws that the device has made and the session has not given out.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.left.len())
    }

    /// The next draw of those made ahead, if it would be the same now.
    pub(super) fn next_ahead(&mut self) -> Option<Drawn> {
        let (sampling, learning) = (self.sampling, self.batch.learning);
        let ahead = self.ahead.as_mut().filter(|a| a.sampling == sampling && a.learning == learning)?;
        let drawn = ahead.left.pop_front();
        if ahead.left.is_empty() {
            self.ahead = None;
        }
        drawn
    }

    /// Draws in one submit as many tokens as are worth it, at most `most`, and gives out the first.
    pub(super) async fn draw_ahead(&mut self, most: usize) -> Result<Drawn, Error> {
        let limit = self.model().context_limit().unwrap_or(usize::MAX);
        let room = limit.saturating_sub(self.batch.positions[0] as usize);
        let runs = self.batch.runs.runs(&self.batch.on.device).min(most).min(room).max(1);
        let (steps, drawn, _) = self.batch.draw(&[self.sampling], runs, false).await?;
        let mut left: VecDeque<Drawn> = drawn.into_iter().flatten().collect();
        let first = left.pop_front().expect("a run draws a token");
        let (sampling, learning) = (self.sampling, self.batch.learning);
        self.ahead = (!left.is_empty()).then_some(Ahead { steps, left, sampling, learning });
        Ok(first)
    }

    /// Makes the states those of the tokens given out, whatever was drawn ahead.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        match self.ahead.take() {
            Some(ahead) => self.batch.rewind(&ahead.steps, ahead.steps.len() - ahead.left.len()).await,
            None => Ok(()),
        }
    }
}
