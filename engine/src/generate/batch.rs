//! Sequences that advance side by side on one model, each with its own length and position.

use std::collections::HashMap;
use std::sync::Arc;

use web_time::Instant;

use super::ahead::Drawn;
use super::model::Loaded;
use super::programs::{Purpose, TOKEN_STATE};
use super::{Cancel, Model, Sampling, pace};
use crate::device::yield_now;
use crate::error::Error;
use crate::exec::{Program, States};
use crate::kernels::sample::{RECORD, record_at};
use crate::models::Capacity;
use crate::step::{MAX_RUNS, MAX_SEQUENCES, Sequence, Step};

/// Sequences of one model, and their states.
pub struct Batch {
    pub(super) model: Model,
    /// The model's weights, on the device that the states are on.
    pub(super) on: Arc<Loaded>,
    pub(super) states: States,
    pub(super) positions: Vec<u32>,
    /// Scale of the inner learning rate.
    pub(super) learning: f32,
    /// Positions that each sequence has room for, if its state grows.
    context: usize,
    /// The programs of this context, as they are used.
    programs: HashMap<Purpose, (Arc<Program>, Capacity)>,
    /// Tokens a sequence that the next chunk takes; follows the device's speed.
    pace: pace::Reading,
    /// Tokens a sequence that the next submit draws.
    pub(super) runs: pace::Writing,
}

impl Batch {
    pub(super) async fn new(model: &Model, sequences: usize) -> Result<Batch, Error> {
        if !(1..=MAX_SEQUENCES).contains(&sequences) {
            return Err(Error::Sequences { found: sequences, wanted: format!("1 to {MAX_SEQUENCES}") });
        }
        let (context, on, model) = (model.context_for(0), model.loaded(), model.clone());
        let prefill = model.program(&on, Purpose::Prefill, sequences, context).await?;
        let plan = prefill.0.plan();
        let states = States::new(&on.device, &plan.states, plan, &on.weights).await?;
        let programs = HashMap::from([(Purpose::Prefill, prefill)]);
        let (positions, pace) = (vec![0; sequences], pace::Reading::new(on.pace));
        Ok(Batch { model, on, states, positions, learning: 1.0, context, programs, pace, runs: pace::Writing::new() })
    }

    /// A copy on the same device.
    pub(super) async fn copy(&self) -> Result<Batch, Error> {
        Ok(Batch {
            model: self.model.clone(),
            on: self.on.clone(),
            states: self.states.duplicate().await?,
            positions: self.positions.clone(),
            learning: self.learning,
            context: self.context,
            programs: self.programs.clone(),
            pace: self.pace.clone(),
            runs: self.runs,
        })
    }

    /// Goes on with the options of another batch.
    pub(super) fn take_options(&mut self, of: &Batch) {
        (self.learning, self.runs) = (of.learning, of.runs);
    }

    async fn program(&mut self, purpose: Purpose) -> Result<(Arc<Program>, Capacity), Error> {
        if let Some(found) = self.programs.get(&purpose) {
            return Ok(found.clone());
        }
        let found = self.model.program(&self.on, purpose, self.positions.len(), self.context).await?;
        self.programs.insert(purpose, found.clone());
        Ok(found)
    }

    /// Makes room for this many more tokens of each sequence, or refuses them.
    async fn make_room(&mut self, more: impl Iterator<Item = usize>) -> Result<(), Error> {
        let mut needed = 0;
        for (position, wanted) in self.positions.iter().zip(more) {
            let end = u32::try_from(wanted).ok().and_then(|n| position.checked_add(n)).ok_or(Error::Full(*position))? as usize;
            if let Some(limit) = self.model.context_limit()
                && end > limit
            {
                return Err(Error::Context { position: *position, wanted, limit });
            }
            needed = needed.max(end);
        }
        self.grow(needed).await
    }

    /// Grows states that grow, to room for `needed` positions.
    pub(super) async fn grow(&mut self, needed: usize) -> Result<(), Error> {
        let context = self.model.context_for(needed);
        if context <= self.context {
            return Ok(());
        }
        let prefill = self.model.program(&self.on, Purpose::Prefill, self.positions.len(), context).await?;
        self.states = self.states.grown(&prefill.0.plan().states, &self.positions).await?;
        (self.context, self.programs) = (context, HashMap::from([(Purpose::Prefill, prefill)]));
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens that each sequence has taken.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Back to the learned start.
    pub async fn reset(&mut self) -> Result<(), Error> {
        let (program, _) = self.program(Purpose::Prefill).await?;
        self.states.reset(program.plan(), &self.on.weights);
        self.positions.fill(0);
        Ok(())
    }

    /// Stands at a position without having read anything, for measuring what a token takes there: states are as at the start, and a cache of keys and
    /// values has what it happened to hold. `position` begins a mini-batch.
    pub async fn stand_at(&mut self, position: usize) -> Result<(), Error> {
        let unit = self.model.architecture().chunk();
        if !position.is_multiple_of(unit) {
            let wanted = format!("a multiple of {unit}, where a mini-batch begins");
            return Err(Error::Position { found: position, wanted });
        }
        let now = u32::try_from(position).map_err(|_| Error::Full(u32::MAX))?;
        self.reset().await?;
        self.make_room(std::iter::repeat_n(position, self.positions.len())).await?;
        self.positions.fill(now);
        Ok(self.on.weights.flush().await?)
    }

    /// Takes each sequence's tokens in.
    pub async fn prefill(&mut self, tokens: &[&[u32]]) -> Result<(), Error> {
        self.feed(Purpose::Prefill, tokens, None, &Cancel::default()).await.map(|_| ())
    }

    /// Takes each sequence's tokens in and returns the logits after each of them, `[tokens, vocabulary]` a sequence.
    pub async fn logits(&mut self, tokens: &[&[u32]]) -> Result<Vec<Vec<f32>>, Error> {
        self.feed(Purpose::Logits, tokens, None, &Cancel::default()).await
    }

    /// Takes one token a sequence in and draws the next of each.
    pub async fn decode(&mut self, tokens: &[u32], sampling: &[Sampling]) -> Result<Vec<u32>, Error> {
        self.decode_runs(tokens, sampling, 1).await
    }

    async fn decode_runs(&mut self, tokens: &[u32], sampling: &[Sampling], runs: usize) -> Result<Vec<u32>, Error> {
        let n = self.positions.len();
        if let Some(found) = [tokens.len(), sampling.len()].into_iter().find(|found| *found != n) {
            return Err(Error::Sequences { found, wanted: n.to_string() });
        }
        self.check_tokens(tokens)?;
        self.states.write(TOKEN_STATE, 0, tokens);
        let (steps, drawn, _) = self.draw(sampling, runs, false).await?;
        let mut last = Vec::new();
        for (step, records) in steps.iter().zip(drawn) {
            let ids = records.iter().zip(&step.sequences).map(|(record, s)| record.id(s.position + 1));
            last = ids.collect::<Result<_, _>>()?;
        }
        Ok(last)
    }

    /// Draws `count` tokens of each sequence, each taken in by the next, the first after `tokens`; several in one submit where that is faster. Returns the
    /// last of each, which is not taken in yet.
    pub async fn write(&mut self, tokens: &[u32], sampling: &[Sampling], count: usize) -> Result<Vec<u32>, Error> {
        let mut last = tokens.to_vec();
        let mut left = count;
        while left > 0 {
            let runs = self.runs.runs(&self.on.device).min(left);
            left -= runs;
            last = self.decode_runs(&last, sampling, runs).await?;
        }
        Ok(last)
    }

    /// Refuses ids outside the vocabulary.
    pub(super) fn check_tokens(&self, tokens: &[u32]) -> Result<(), Error> {
        let vocabulary = self.model.architecture().vocabulary();
        match tokens.iter().position(|id| *id as usize >= vocabulary) {
            Some(place) => Err(Error::BadToken { id: tokens[place], place, vocabulary }),
            None => Ok(()),
        }
    }

    /// Decode steps in one submit, each on the token that the one before drew, the first on those that the device holds: the records of each step's
    /// draws and, if wanted, the logits of the last.
    pub(super) async fn draw(
        &mut self,
        sampling: &[Sampling],
        runs: usize,
        with_logits: bool,
    ) -> Result<(Vec<Step>, Vec<Vec<Drawn>>, Vec<f32>), Error> {
        let n = self.positions.len();
        let purpose = if with_logits { Purpose::DecodeWithLogits } else { Purpose::Decode };
        self.make_room(std::iter::repeat_n(runs, n)).await?;
        let (program, _) = self.program(purpose).await?;
        sampling.iter().try_for_each(Sampling::check)?;
        let step = |run: usize| {
            let record = |(position, sampling): (&u32, &Sampling)| {
                let mut record = Sequence { learning: self.learning, ..Sequence::new(position + run as u32, 1) };
                sampling.write(&mut record);
                record
            };
            Step::new(self.positions.iter().zip(sampling).map(record).collect())
        };
        let steps: Vec<Step> = (0..runs).map(step).collect();
        let vocabulary = self.model.architecture().vocabulary();
        let reads = [("record", RECORD * MAX_RUNS * n), ("logits", vocabulary * n)];
        let reads = &reads[..if with_logits { 2 } else { 1 }];
        let start = Instant::now();
        let mut outputs = program.run_ahead(&mut self.states, &steps, reads).await?.finish().await?;
        self.runs.adapt(runs, start.elapsed().as_secs_f32());
        self.positions.iter_mut().for_each(|position| *position += runs as u32);
        let drawn = |step: &Step| {
            let at = |(s, record): (usize, &Sequence)| record_at(s, record.position);
            let drawn = |at: usize| Drawn(outputs[0][at..at + RECORD].try_into().expect("a record"));
            step.sequences.iter().enumerate().map(at).map(drawn).collect()
        };
        let drawn = steps.iter().map(drawn).collect();
        let logits = if with_logits { outputs.swap_remove(1) } else { Vec::new() };
        Ok((steps, drawn, logits.into_iter().map(f32::from_bits).collect()))
    }

    /// Goes back to before the last draw, whose runs these are, and runs only those of `accepted` again: they draw what they drew.
    pub(super) async fn rewind(&mut self, steps: &[Step], accepted: usize) -> Result<(), Error> {
        let (program, _) = self.program(Purpose::Decode).await?;
        self.states.rewind();
        for (position, record) in self.positions.iter_mut().zip(&steps[0].sequences) {
            *position = record.position + accepted as u32;
        }
        if accepted > 0 {
            program.run_ahead(&mut self.states, &steps[..accepted], &[]).await?.finish().await?;
        }
        Ok(())
    }

    /// The program of a purpose, and the tokens of each sequence that a run of it takes at most; there is room for `tokens`.
    pub(super) async fn prepare(&mut self, purpose: Purpose, tokens: &[&[u32]]) -> Result<(Arc<Program>, usize), Error> {
        let n = self.positions.len();
        if tokens.len() != n {
            return Err(Error::Sequences { found: tokens.len(), wanted: n.to_string() });
        }
        for tokens in tokens {
            self.check_tokens(tokens)?;
        }
        self.make_room(tokens.iter().map(|tokens| tokens.len())).await?;
        let (program, capacity) = self.program(purpose).await?;
        Ok((program, capacity.tokens / n))
    }

    /// One run: takes some tokens of each sequence in, with `targets` beside them for losses, and returns the words of the outputs in
    /// `reads`: the name, and how many words.
    pub(super) async fn take(
        &mut self,
        program: &Program,
        tokens: &[&[u32]],
        targets: &[&[u32]],
        reads: &[(&str, usize)],
    ) -> Result<(Step, Vec<Vec<u32>>), Error> {
        let learning = self.learning;
        let record = |(position, tokens): (&u32, &&[u32])| {
            let count = tokens.len() as u32;
            Sequence { learning, ..Sequence::new(*position, count) }
        };
        let step = Step::new(self.positions.iter().zip(tokens).map(record).collect());
        let (ids, targets) = (tokens.concat(), targets.concat());
        let run = program.run(&mut self.states, &step, &[("ids", &ids), ("targets", &targets)], reads)?;
        let outputs = run.finish().await?;
        self.positions.iter_mut().zip(&step.sequences).for_each(|(position, record)| *position += record.count);
        Ok((step, outputs))
    }

    /// Takes tokens in, chunk by chunk, and collects each sequence's output rows. `targets` go beside the tokens for losses.
    pub(super) async fn feed<'a>(
        &mut self,
        purpose: Purpose,
        tokens: &[&'a [u32]],
        targets: Option<&[&'a [u32]]>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let n = self.positions.len();
        let (program, most) = self.prepare(purpose, tokens).await?;
        let (name, width) = match purpose {
            Purpose::Logits => ("logits", self.model.architecture().vocabulary()),
            Purpose::Loss => ("loss", 1),
            _ => ("", 0),
        };
        let mut taken = vec![0; n];
        let mut outputs = vec![Vec::new(); n];
        while (0..n).any(|s| taken[s] < tokens[s].len()) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled { taken: taken.iter().sum() });
            }
            let count = self.pace.tokens().min(most);
            let piece = |of: &[&'a [u32]]| -> Vec<&'a [u32]> {
                let range = |s: usize| taken[s]..of[s].len().min(taken[s] + count);
                of.iter().enumerate().map(|(s, of)| &of[range(s)]).collect()
            };
            let (pieces, next) = (piece(tokens), targets.map_or(Vec::new(), piece));
            let rows: usize = pieces.iter().map(|piece| piece.len()).sum();
            let reads = [(name, rows * width)];
            let timed = !self.on.device.is_cpu() && program.is_warm();
            let start = Instant::now();
            let (step, read) = self.take(&program, &pieces, &next, &reads[..usize::from(width > 0)]).await?;
            if timed {
                self.pace.adapt(start.elapsed().as_secs_f32(), step.head.longest as usize, most);
            }
            for (s, record) in step.sequences.iter().enumerate() {
                taken[s] += record.count as usize;
                if let Some(read) = read.first() {
                    let range = record.first_row as usize * width..(record.first_row + record.count) as usize * width;
                    outputs[s].extend(finite(&read[range], width, record.position)?);
                }
            }
            yield_now().await;
        }
        Ok(outputs)
    }
}

/// The floats that a run gave, `width` for each position from `position` on.
pub(super) fn finite(words: &[u32], width: usize, position: u32) -> Result<impl Iterator<Item = f32>, Error> {
    // Infinities and what is no number have the largest exponent.
    match words.iter().position(|bits| bits & 0x7f80_0000 == 0x7f80_0000) {
        Some(bad) => Err(Error::NotFinite { position: position + (bad / width) as u32 }),
        None => Ok(words.iter().map(|bits| f32::from_bits(*bits))),
    }
}
