//! The blocking face of [`crate::generate`], for native programs without an executor of their own.

use std::path::Path;

use pollster::block_on;

use crate::device::{Choice, Device};
use crate::error::Error;
use crate::generate::{self, Cancel, FastWeights, Finish, MiniBatch, Piece, Sampling, Token, WritingOptions};

/// See [`generate::Model`].
#[derive(Clone)]
pub struct Model(generate::Model);

impl Model {
    /// Opens a folder or a weight file and loads it onto the device of a choice.
    pub fn open(path: impl AsRef<Path>, device: &Choice) -> Result<Model, Error> {
        block_on(async {
            let device = Device::open(device).await?;
            Ok(Model(generate::Model::open(path, &device).await?))
        })
    }

    /// The async model behind this face.
    pub fn inner(&self) -> &generate::Model {
        &self.0
    }

    /// A fresh session.
    pub fn session(&self) -> Result<Session, Error> {
        Ok(Session(block_on(self.0.session())?))
    }
}

impl From<generate::Model> for Model {
    fn from(model: generate::Model) -> Model {
        Model(model)
    }
}

/// See [`generate::Session`].
pub struct Session(generate::Session);

impl Session {
    /// Reads tokens: the model takes them in and learns on them.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), Error> {
        block_on(self.0.prefill(tokens))
    }

    /// Reads a text, as the model's own tokenizer cuts it.
    pub fn read_text(&mut self, text: &str) -> Result<(), Error> {
        let ids = self.0.model().tokenizer()?.encode(text)?;
        self.prefill(&ids)
    }

    /// Reads tokens and returns the loss of each in nats; none for the first token of a session.
    pub fn read(&mut self, tokens: &[u32]) -> Result<Vec<Option<f32>>, Error> {
        block_on(self.0.read(tokens))
    }

    /// Reads tokens as [`Session::read`] does, and calls `observe` after each mini-batch.
    pub fn read_observed(&mut self, tokens: &[u32], mut observe: impl FnMut(&MiniBatch)) -> Result<Vec<Option<f32>>, Error> {
        block_on(self.0.read_observed(tokens, &mut observe))
    }

    /// The fast weights of a head of a layer, now and at the learned start.
    pub fn fast_weights(&mut self, layer: usize, head: usize) -> Result<FastWeights, Error> {
        block_on(self.0.fast_weights(layer, head))
    }

    /// Draws the next token.
    pub fn draw(&mut self) -> Result<Token, Error> {
        block_on(self.0.next())
    }

    /// Writes up to `predict` tokens of text.
    pub fn write(&mut self, predict: usize) -> Writing<'_> {
        self.write_with(WritingOptions { predict, ..WritingOptions::default() })
    }

    /// Writes text with all options.
    pub fn write_with(&mut self, options: WritingOptions) -> Writing<'_> {
        Writing(self.0.write(options))
    }

    /// Sets how the next token is drawn.
    pub fn set_sampling(&mut self, sampling: Sampling) -> Result<(), Error> {
        self.0.set_sampling(sampling)
    }

    /// Scales the inner learning rate from here on.
    pub fn set_learning(&mut self, scale: f32) -> Result<(), Error> {
        self.0.set_learning(scale)
    }

    /// The session's state as bytes.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, Error> {
        block_on(self.0.snapshot())
    }

    /// Goes on from a state that [`Session::snapshot`] gave.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        block_on(self.0.restore(bytes))
    }

    /// Another session with the same past.
    pub fn fork(&mut self) -> Result<Session, Error> {
        Ok(Session(block_on(self.0.fork())?))
    }

    /// Forgets everything.
    pub fn reset(&mut self) -> Result<(), Error> {
        block_on(self.0.reset())
    }

    /// A handle that stops this session's calls from another thread.
    pub fn cancel_handle(&self) -> Cancel {
        self.0.cancel_handle()
    }
}

/// A text being written, piece by piece.
pub struct Writing<'a>(generate::Writing<'a>);

impl Writing<'_> {
    /// Why the text ended, once it has.
    pub fn finish_reason(&self) -> Option<Finish> {
        self.0.finish_reason()
    }
}

impl Iterator for Writing<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Result<Piece, Error>> {
        block_on(self.0.next()).transpose()
    }
}
