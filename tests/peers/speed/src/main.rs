//! Rounds of Fastweight and of other engines written in Rust. Each says once what it is; then, for every line on stdin, it does its work once
//! more and prints the speeds as one line of JSON. So two programs take turns: `turns.mjs` calls them.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use fastweight::device::Choice;
use serde_json::Value;

mod files;
mod ours;
mod products;

#[cfg(feature = "burn")]
mod burn_products;
#[cfg(feature = "rwkv")]
mod rwkv;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a Transformer and a Mamba of random weights in f32, as checkpoints, into a folder
    Files { folder: PathBuf },
    /// A model of ours: `path`, or random weights of a family at a size
    Ours(ours::Options),
    /// Products of ours
    Products {
        #[arg(long)]
        device: Choice,
    },
    /// RWKV-7 by web-rwkv
    #[cfg(feature = "rwkv")]
    Rwkv(rwkv::Options),
    /// Products by burn
    #[cfg(feature = "burn")]
    Burn,
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Files { folder } => files::write(&folder),
        Command::Ours(options) => ours::rounds(&options),
        Command::Products { device } => products::rounds(&device),
        #[cfg(feature = "rwkv")]
        Command::Rwkv(options) => rwkv::rounds(&options),
        #[cfg(feature = "burn")]
        Command::Burn => burn_products::rounds(),
    }
}

/// Says who is there, and does a round for every line that comes.
fn take_turns(name: &str, mut round: impl FnMut() -> Result<Value>) -> Result<()> {
    let say = |value: &Value| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{value}")?;
        out.flush()
    };
    say(&serde_json::json!({ "name": name }))?;
    for line in std::io::stdin().lock().lines() {
        line?;
        say(&round()?)?;
    }
    Ok(())
}

/// Floating-point operations of a product, as billions a second.
fn gflops([rows, inner, columns]: [usize; 3], seconds: f64) -> f64 {
    2e-9 * (rows * inner * columns) as f64 / seconds
}

/// The products that are compared, rows × inner × columns: of a prefill, and of a decode step.
const PRODUCTS: [[usize; 3]; 2] = [[128, 1024, 1024], [1, 2048, 2048]];

/// How often a round does a product.
const TIMES: usize = 20;
