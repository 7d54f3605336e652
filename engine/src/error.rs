//! The errors of the library, typed by stage.

use crate::device::DeviceError;
use crate::generate::SnapshotError;
use crate::graph::GraphError;
use crate::load::LoadError;
use crate::plan::PlanError;
use crate::text::TextError;
use crate::verify::VerifyError;

/// What a call of the library can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Finding, opening or using a device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Reading a checkpoint.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Building a graph: the shapes of a model don't fit a kernel.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Laying a graph out for a device.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Tokenizing.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A session's state from a file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A token id that the model does not have.
    #[error("token id {id} at place {place} is outside the vocabulary of {vocabulary}")]
    BadToken {
        /// The id.
        id: u32,
        /// Its place among the tokens given.
        place: usize,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// Nothing to go on from: a session needs at least one token before it can write.
    #[error("the prompt is empty, and so is the session")]
    EmptyPrompt,
    /// The last token was taken in already, so that there is none to draw a successor of.
    #[error("every token is taken in already, by a call for logits: read at least one more before drawing the next")]
    NothingPending,
    /// A sampling option out of range.
    #[error("{name} is {found}, wanted {wanted}")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The model's logits are no numbers: its weights or its state are damaged.
    #[error("the logits at position {position} are not finite")]
    NotFinite {
        /// The position of the token that would have been drawn.
        position: u32,
    },
    /// [`Cancel::cancel`](crate::generate::Cancel::cancel) was called. What was taken before stays taken.
    #[error("cancelled after {taken} tokens")]
    Cancelled {
        /// Tokens of this call that the session took.
        taken: usize,
    },
    /// More sequences than a run takes, or another number than the batch has.
    #[error("{found} sequences, wanted {wanted}")]
    Sequences {
        /// How many were given or asked for.
        found: usize,
        /// How many would do.
        wanted: String,
    },
    /// More tokens than the context of a model whose state grows.
    #[error("the session is at position {position}, and {wanted} more tokens would pass its context of {limit}")]
    Context {
        /// Tokens that the session has taken.
        position: u32,
        /// Tokens that it was to take.
        wanted: usize,
        /// Positions that it may have.
        limit: usize,
    },
    /// A position where a sequence can't stand without having read.
    #[error("position {found}, wanted {wanted}")]
    Position {
        /// What was asked for.
        found: usize,
        /// What would do.
        wanted: String,
    },
    /// A layer or a head without fast weights.
    #[error("no fast weights in layer {layer}, head {head}: the model has {had}")]
    NoFastWeights {
        /// The layer that was asked for, from 0.
        layer: usize,
        /// The head that was asked for, from 0.
        head: usize,
        /// What there is.
        had: String,
    },
    /// A position past what 32 bits hold.
    #[error("the session is full at {0} tokens")]
    Full(u32),
}

impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Error {
        match error {
            VerifyError::Graph(error) => Error::Graph(error),
            VerifyError::Plan(error) => Error::Plan(error),
            VerifyError::Device(error) => Error::Device(error),
        }
    }
}
