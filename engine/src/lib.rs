//! Fastweight
pub mod caps;
pub mod device;
pub mod error;
pub mod exec;
pub mod generate;
pub mod graph;
pub mod kernels;
pub mod load;
pub mod models;
pub mod plan;
pub mod shader;
pub mod step;
pub mod tensor;
pub mod text;
pub mod verify;
mod vector;
