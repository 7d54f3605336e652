//! What can be typed after `bench`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use fastweight::bench::{Family, Size};

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) what: BenchWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchWhat {
    /// Time of a token against the context: whole models of random weights, at the sizes of the TTT paper
    Models(BenchModels),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchModels {
    /// Families: ttt-linear, ttt-mlp, transformer, mamba [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) families: Vec<Family>,

    /// Sizes: tiny, 125m, 350m, 760m, 1.3b [default: all but tiny; on the CPU and on a software device tiny]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) sizes: Vec<Size>,

    /// Tokens of context before the measured ones [default: 1024 to 32768; on the CPU and on a software device 256 to 16384]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    pub(crate) contexts: Vec<usize>,

    /// Sequences side by side [default: 1,16]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    pub(crate) batch: Vec<usize>,

    /// Tokens that are read [default: 512; on a slow device 128]
    #[arg(short = 'p', long, value_name = "N")]
    pub(crate) prompt: Option<usize>,

    /// Tokens that are written [default: 128; on a slow device 32]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) predict: Option<usize>,

    /// Samples of each figure [default: 5; with --quick 3]
    #[arg(short, long, value_name = "N")]
    pub(crate) repetitions: Option<usize>,

    /// A short run at the tiny size
    #[arg(long)]
    pub(crate) quick: bool,

    /// Compare the inner step token by token with mini-batches of 1 to 64 tokens too
    #[arg(long)]
    pub(crate) forms: bool,

    /// Read so many tokens too, in one run, to see that time and memory stay [default: 1000000]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000000")]
    pub(crate) long: Option<usize>,

    /// Seconds of rest before each sample
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub(crate) delay: f64,

    /// Only figures whose name contains one of these
    #[arg(long, value_delimiter = ',', value_name = "PART,…")]
    pub(crate) only: Vec<String>,

    /// Seed of the order and of the weights
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub(crate) seed: u64,

    /// Write the results to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
