//! Files from strangers: each is taken, or refused with a typed error that names the thing. No panic, no hang, no allocation
//! far beyond the size of what was given.

#[path = "hostile/config.rs"]
mod config;
#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/flips.rs"]
mod flips;
#[path = "hostile/folder.rs"]
mod folder;
#[path = "hostile/folders.rs"]
mod folders;
#[path = "hostile/good.rs"]
mod good;
#[path = "hostile/harness.rs"]
mod harness;
#[path = "hostile/options.rs"]
mod options;
#[path = "hostile/state.rs"]
mod state;
#[path = "hostile/stream.rs"]
mod stream;
#[path = "fuzz/targets.rs"]
mod targets;
#[path = "hostile/weights.rs"]
mod weights;
