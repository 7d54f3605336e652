//! Fastweight runs models that **learn while they read**, on any GPU or on the CPU.
//!
//! ```
//! # fn main() -> Result<(), fastweight::error::Error> {
//! use fastweight::blocking::Model;
//! use fastweight::device::Choice;
//!
//! let model = Model::open("../models/ttt-linear-stories-6m", &Choice::Cpu)?;
//! let mut session = model.session()?;
//! session.read_text("The old king called his three sons and said")?; // it learns on this
//! for piece in session.write(20) {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! In a test-time-training (TTT) layer the hidden state is itself a small model, its *fast weights*, and reading a token takes one
//! gradient step on it. Here is the way of a text through the crate; each module knows only what comes before it:
//!
//! [`text`] → [`models`] build a [`graph`] of [`kernels`] → [`graph::fuse`] → [`plan`] → [`exec`] on a [`device`] → [`generate`]
//!
//! [`generate::Session`] is the async face, the same natively and in a browser; [`blocking`] wraps it for programs without an
//! executor. A program that already has a wgpu device hands it in with [`device::Device::from_wgpu`].

pub mod bench;
#[cfg(not(target_arch = "wasm32"))]
pub mod blocking;
pub mod blocks;
pub mod caps;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod exec;
pub mod generate;
pub mod graph;
pub mod kernels;
pub mod load;
pub mod models;
pub mod plan;
mod quote;
pub mod shader;
pub mod step;
pub mod tensor;
pub mod text;
pub mod tuning;
mod vector;
pub mod verify;
