//! Watching a model learn while it reads: the inner losses and the way of the fast weights, mini-batch by mini-batch, and the fast
//! weights themselves.

use std::sync::{Arc, PoisonError};

use super::batch::finite;
use super::programs::Purpose;
use super::{Batch, Cancel, Session};
use crate::device::{DeviceError, yield_now};
use crate::error::Error;
use crate::exec::States;
use crate::models::FastShape;

/// What [`Session::read_observed`] tells after each mini-batch.
#[derive(Debug, Clone, PartialEq)]
pub struct MiniBatch {
    /// Which one since the session's start, from 0.
    pub index: usize,
    /// The position of its first token that this call fed: its own first, or, where the call began inside it, a later one.
    pub first: usize,
    /// The loss in nats of each of its tokens from there on. None for the first token that the call fed: it is the first of the session,
    /// or it was pending and the call before told its loss.
    pub losses: Vec<Option<f32>>,
    /// The inner losses by layer and head, each a mean over the tokens of `losses` (of a mini-batch that is more than the device takes
    /// at a time, over the last of them). Empty for a model that does not learn.
    pub inner: Vec<Vec<InnerLoss>>,
    /// ‖W − W0‖ / ‖W0‖ by layer and head after the mini-batch, over all fast weights of the head; W0 is the learned start. Empty for
    /// a model that does not learn.
    pub moved: Vec<Vec<f32>>,
}

/// The inner loss ½‖LN(f(k; W)) − (v − k)‖² of the tokens of a mini-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InnerLoss {
    /// With the fast weights as of the start of the mini-batch.
    pub before: f32,
    /// With those that it left.
    pub after: f32,
}

/// The inner model of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct FastWeights {
    /// Its matrices: W1 and b1, of a two-layer inner model also W2 and b2.
    pub matrices: Vec<FastMatrix>,
}

/// A matrix of an inner model, used as row vector × matrix: `[in, out]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FastMatrix {
    /// The checkpoint's name of it: `W1`, `b1`, `W2` or `b2`.
    pub name: &'static str,
    /// Its rows; 1 for a bias.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// What it is now, row by row. Within a mini-batch that is what it was at the start of it.
    pub now: Vec<f32>,
    /// What every session starts with.
    pub start: Vec<f32>,
}

/// Tokens after which a model without mini-batches is observed.
const WINDOW: usize = 16;

impl Session {
    /// As [`Session::read`], with the same result and the same state after it (to the rounding of runs that are cut elsewhere), and
    /// `observe` is called after each mini-batch that becomes full, or after every 16 tokens of a model that does not learn. It sees the
    /// tokens that the model took in: the last one read is pending, and seen by the next call.
    ///
    /// Each mini-batch is a run of its own, after which the fast weights are read back once: slower than [`Session::read`].
    pub async fn read_observed(
        &mut self,
        tokens: &[u32],
        observe: &mut dyn FnMut(&MiniBatch),
    ) -> Result<Vec<Option<f32>>, Error> {
        self.batch.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<u32> = self.pending.into_iter().chain(tokens.iter().copied()).collect();
        self.follow().await?;
        let fed = self.batch.feed_observed(&all, &self.cancel, observe).await;
        self.note(&fed, &all[..all.len() - 1], &all).await;
        self.scored(fed, tokens, &all)
    }

    /// The fast weights of a head of a layer, both counted from 0: now, and at the learned start.
    pub async fn fast_weights(&mut self, layer: usize, head: usize) -> Result<FastWeights, Error> {
        let none = |had: String| Error::NoFastWeights { layer, head, had };
        let shape = self.model().architecture().fast().ok_or_else(|| none("none: it does not learn while it reads".into()))?;
        let FastShape { layers, heads, .. } = shape;
        if layer >= layers || head >= heads {
            return Err(none(format!("layers 0 to {} with heads 0 to {}", layers - 1, heads - 1)));
        }
        self.follow().await?;
        let batch = &self.batch;
        let now = floats(batch.states.read_rows(&[(fast_states(&batch.states)[layer], head, 1)]).await?);
        let start = batch.fast_start(&shape).await?;
        let start = &start[(layer * heads + head) * shape.row()..];
        let mut at = 0;
        let matrix = |(name, rows, columns): (&'static str, usize, usize)| {
            let range = at..at + rows * columns;
            at = range.end;
            FastMatrix { name, rows, columns, now: now[range.clone()].to_vec(), start: start[range].to_vec() }
        };
        Ok(FastWeights { matrices: shape.matrices.iter().copied().map(matrix).collect() })
    }
}

impl Batch {
    /// Takes all tokens but the last in, in runs that end where a mini-batch does, and returns the loss of all but the first. For a
    /// batch of one sequence.
    async fn feed_observed(
        &mut self,
        all: &[u32],
        cancel: &Cancel,
        observe: &mut dyn FnMut(&MiniBatch),
    ) -> Result<Vec<f32>, Error> {
        let tokens = &all[..all.len() - 1];
        let shape = self.model.architecture().fast();
        let (purpose, window, layers, heads) = match &shape {
            Some(shape) => (Purpose::LossWithProbe, self.model.architecture().chunk(), shape.layers, shape.heads),
            None => (Purpose::Loss, WINDOW, 0, 0),
        };
        let (program, most) = self.prepare(purpose, &[tokens]).await?;
        let probes: Vec<String> = (0..layers).map(|layer| format!("probe.{layer}")).collect();
        let origin = self.positions[0] as usize;
        let mut losses = Vec::with_capacity(tokens.len());
        // Tokens before the mini-batch at hand.
        let mut before = 0;
        while losses.len() < tokens.len() {
            let taken = losses.len();
            if cancel.is_cancelled() {
                return Err(Error::Cancelled { taken });
            }
            let position = origin + taken;
            let rest = window - position % window;
            let count = rest.min(tokens.len() - taken).min(most);
            let mut reads = vec![("loss", count)];
            reads.extend(probes.iter().map(|name| (name.as_str(), count * 2 * heads)));
            let (piece, targets) = (&tokens[taken..taken + count], &all[taken + 1..][..count]);
            let (_, mut read) = self.take(&program, &[piece], &[targets], &reads).await?;
            let probes = read.split_off(1);
            losses.extend(finite(&read[0], 1, position as u32)?);
            if count == rest {
                let moved = match &shape {
                    Some(shape) => self.way(shape).await?,
                    None => Vec::new(),
                };
                let told = |i: usize| i.checked_sub(1).map(|i| losses[i]);
                observe(&MiniBatch {
                    index: position / window,
                    first: origin + before,
                    losses: (before..losses.len()).map(told).collect(),
                    inner: probes.into_iter().map(|probe| means(&floats(probe), heads)).collect(),
                    moved,
                });
                before = losses.len();
            }
            yield_now().await;
        }
        Ok(losses)
    }

    /// ‖W − W0‖ / ‖W0‖ of every head of every layer.
    async fn way(&self, shape: &FastShape) -> Result<Vec<Vec<f32>>, Error> {
        let (now, start) = (fast(&self.states, shape).await?, self.fast_start(shape).await?);
        let norm = |of: &mut dyn Iterator<Item = f64>| of.map(|x| x * x).sum::<f64>().sqrt();
        let way = |(now, start): (&[f32], &[f32])| {
            let apart = norm(&mut now.iter().zip(start).map(|(w, w0)| f64::from(*w) - f64::from(*w0)));
            // A start of zeros is divided by as if it were next to nothing.
            (apart / norm(&mut start.iter().map(|w0| f64::from(*w0))).max(1e-12)) as f32
        };
        let heads: Vec<f32> = now.chunks(shape.row()).zip(start.chunks(shape.row())).map(way).collect();
        Ok(heads.chunks(shape.heads).map(<[f32]>::to_vec).collect())
    }

    /// The fast weights that every session starts with, as [`fast`] gives them.
    async fn fast_start(&self, shape: &FastShape) -> Result<Arc<Vec<f32>>, Error> {
        let known = || self.on.fast_start.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = known().clone() {
            return Ok(start);
        }
        let (program, _) = self.model.program(&self.on, Purpose::Prefill, 1, self.model.context_for(0)).await?;
        let plan = program.plan();
        let fresh = States::new(&self.on.device, &plan.states, plan, &self.on.weights).await?;
        let start = Arc::new(fast(&fresh, shape).await?);
        *known() = Some(start.clone());
        Ok(start)
    }
}

/// The states that start at learned weights: one a layer.
fn fast_states(states: &States) -> Vec<usize> {
    let places = states.layout().states.iter().enumerate();
    places.filter(|(_, place)| place.initial.is_some()).map(|(s, _)| s).collect()
}

/// The fast weights of one sequence: layer by layer, head by head.
async fn fast(states: &States, shape: &FastShape) -> Result<Vec<f32>, DeviceError> {
    let rows: Vec<_> = fast_states(states).into_iter().map(|s| (s, 0, shape.heads)).collect();
    Ok(floats(states.read_rows(&rows).await?))
}

fn floats(words: Vec<u32>) -> Vec<f32> {
    words.into_iter().map(f32::from_bits).collect()
}

/// The means over the rows of a probe, `[rows, 2 · heads]`.
fn means(probe: &[f32], heads: usize) -> Vec<InnerLoss> {
    let rows = probe.len() / (2 * heads);
    let mean = |column: usize| {
        let sum: f64 = probe.iter().skip(column).step_by(2 * heads).map(|x| f64::from(*x)).sum();
        (sum / rows as f64) as f32
    };
    (0..heads).map(|head| InnerLoss { before: mean(head), after: mean(heads + head) }).collect()
}
