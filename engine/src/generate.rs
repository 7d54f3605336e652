//! Generation: a model on a device, and sessions that read, learn and write with it. One client of [`crate::exec`] among others.

mod ahead;
mod batch;
mod chat;
mod journal;
mod model;
mod observe;
mod pace;
mod programs;
mod sampling;
mod session;
mod snapshot;
mod weights;
mod writing;

pub use batch::Batch;
pub use chat::{Chat, Turn, WentOn};
pub(crate) use model::estimate;
pub use model::{LoadOptions, Model, Progress, plans};
pub use observe::{FastMatrix, FastWeights, InnerLoss, MiniBatch};
pub use programs::{Inspection, Outline, Purpose, inspect, outline};
pub use sampling::Sampling;
pub use session::{Cancel, Session, Token};
pub use snapshot::{SnapshotError, StateFile};
pub use weights::Memory;
pub use writing::{Finish, Logprob, Piece, Usage, Writing, WritingOptions};
