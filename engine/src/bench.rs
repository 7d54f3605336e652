//! Measuring a device: its ceilings, the kernels against them, and whole models. One measuring code and one schema, natively and in a browser.
//!
//! Every figure is taken several times, interleaved with others in a random order, in submits long enough for the timer; results are checked before
//! they are timed and after; fixed work before, between and after the sections shows whether the machine changed meanwhile.

use crate::device::DeviceError;
use crate::error::Error;
use crate::exec::{Program, States};
use crate::graph::GraphError;
use crate::plan::PlanError;
use crate::verify::VerifyError;

mod bed;
mod ceilings;
pub mod compare;
mod forms;
pub mod kernels;
mod long;
mod models;
pub mod report;
pub mod results;
mod run;
mod sampling;
mod sizes;
pub mod statistics;
pub mod tables;
pub mod units;

pub use ceilings::ceilings;
pub use forms::forms;
pub use long::long;
pub use models::{ModelOptions, models};
pub use run::{Surroundings, run};
pub use sizes::{Family, Size};

/// Who watches a bench, and may end it.
pub trait Observer {
    /// A section begins. Before the first, the kernels are verified.
    fn begins(&mut self, section: results::Section) {
        let _ = section;
    }

    /// How much of the section is done, 0 to 1, and what is being measured.
    fn progress(&mut self, done: f64, what: &str);

    /// Whether to stop; what was measured is kept.
    fn cancelled(&self) -> bool;

    /// What makes the run worthless, such as a tab that was hidden.
    fn disturbed(&self) -> Option<String> {
        None
    }

    /// Something that whoever reads the results should know, such as a model that is left out, and why.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// A section is finished: results as far as they go, to be kept in case of an interruption.
    fn partial(&mut self, results: &results::Results) {
        let _ = results;
    }
}

/// Why a bench can't be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The observer said so.
    #[error("cancelled")]
    Cancelled,
    /// What was to be timed is not what it should be: times of wrong results are worth nothing.
    #[error("{name} {subject}, {variant}: {reason}")]
    Wrong {
        /// The kernel.
        name: String,
        /// Its shape.
        subject: String,
        /// The launch.
        variant: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] Error),
}

impl From<VerifyError> for BenchError {
    fn from(error: VerifyError) -> BenchError {
        match error {
            VerifyError::Graph(e) => e.into(),
            VerifyError::Plan(e) => e.into(),
            VerifyError::Device(e) => e.into(),
        }
    }
}

macro_rules! through_engine {
    ($($error:ty),*) => {
        $(impl From<$error> for BenchError {
            fn from(error: $error) -> BenchError {
                BenchError::Engine(error.into())
            }
        })*
    };
}

through_engine!(GraphError, PlanError, DeviceError);
