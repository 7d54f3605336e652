//! What a session keeps on the host, so that a lost device loses nothing: a state now and then, and the tokens taken in since.

use std::sync::Arc;

use super::programs::Purpose;
use super::{Batch, Cancel, Model};
use crate::error::Error;

/// Tokens after which a state of fixed size is read back, so that a replay stays short. One that grows with its tokens is replayed.
const KEEP_EVERY: usize = 4096;

/// The words of every state of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    position: u32,
    states: Arc<Vec<Vec<u32>>>,
}

impl Kept {
    /// Reads the states of a session's batch back.
    async fn of(batch: &Batch) -> Result<Kept, Error> {
        let position = batch.positions[0];
        let states = batch.states.read(0, 1, position as usize).await?;
        Ok(Kept { position, states: Arc::new(states) })
    }

    /// States from elsewhere, in the element types of the model's plans.
    pub(super) fn new(position: u32, states: Vec<Vec<u32>>) -> Kept {
        Kept { position, states: Arc::new(states) }
    }

    /// Writes them into a session's batch.
    pub(super) async fn write(&self, batch: &mut Batch) -> Result<(), Error> {
        batch.grow(self.position as usize).await?;
        for (i, words) in self.states.iter().enumerate() {
            batch.states.write_used(i, 0, 1, self.position as usize, words);
        }
        batch.positions[0] = self.position;
        Ok(())
    }
}

/// A session's past since its start, or since the state that it kept last.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal {
    base: Option<Kept>,
    /// Tokens that the model took in since, each with the scale of learning that it was taken in with.
    taken: Vec<(u32, f32)>,
}

impl Journal {
    /// A past that is all in one state, which `batch` has too. What the CPU has can be read at any time.
    pub(super) fn since(base: Kept, batch: &Batch) -> Journal {
        Journal { base: (!batch.on.device.is_cpu()).then_some(base), taken: Vec::new() }
    }

    /// The session took these tokens in.
    pub(super) fn took(&mut self, tokens: &[u32], batch: &Batch) {
        if !batch.on.device.is_cpu() {
            self.taken.extend(tokens.iter().map(|token| (*token, batch.learning)));
        }
    }

    /// Keeps the state of the session's batch if it is time; it is the state after all tokens that were taken.
    pub(super) async fn keep(&mut self, batch: &Batch) {
        let grows = batch.states.layout().states.iter().any(|s| s.grows);
        if self.taken.len() >= KEEP_EVERY
            && !grows
            && let Ok(kept) = Kept::of(batch).await
        {
            *self = Journal::since(kept, batch);
        }
    }

    /// A batch where the model is now, with the past of `old`: read from it, or, if its device is gone or it is not `settled`, read anew.
    pub(super) async fn carry(&self, model: &Model, old: &Batch, settled: Result<(), Error>) -> Result<Batch, Error> {
        let mut batch = Batch::new(model, 1).await?;
        let kept = match settled {
            Ok(()) => Kept::of(old).await,
            Err(error) => Err(error),
        };
        match (kept, &self.base) {
            (Ok(kept), _) => kept.write(&mut batch).await?,
            (Err(_), base) => {
                if let Some(base) = base {
                    base.write(&mut batch).await?;
                }
                for run in self.taken.chunk_by(|a, b| a.1 == b.1) {
                    let tokens: Vec<u32> = run.iter().map(|(token, _)| *token).collect();
                    batch.learning = run[0].1;
                    batch.feed(Purpose::Prefill, &[&tokens], None, &Cancel::default()).await?;
                }
            }
        }
        batch.take_options(old);
        Ok(batch)
    }
}
