//! Rounds of Fastweight and of other engines written in Rust. Each says once what it is; then, for every line on stdin, it does its work once
//! more and prints the speeds as one line of JSON. So two programs take turns: `turns.mjs` calls them.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use fastweight::device::Choice;
use serde_json::{Map, Value, json};

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
    say(&json!({ "name": name }))?;
    for line in std::io::stdin().lock().lines() {
        line?;
        say(&round()?)?;
    }
    Ok(())
}

/// The tokens that a round reads.
fn prompt(read: usize) -> Vec<u32> {
    (0..read as u32).map(|i| 100 + i * 37 % 1000).collect()
}

/// Tokens a second of a round that read so many tokens and wrote so many, in so many seconds each.
fn speeds([read, write]: [usize; 2], [reading, writing]: [f64; 2]) -> Value {
    json!({ "prefill": read as f64 / reading, "decode": write as f64 / writing })
}

/// Seconds that some work takes.
fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The products that are compared, rows × inner × columns: of a prefill, and of a decode step.
const PRODUCTS: [[usize; 3]; 2] = [[128, 1024, 1024], [1, 2048, 2048]];

/// How often a round does a product.
const TIMES: usize = 20;

/// Rounds of all products, the one at an index so many times by `multiply`; in GFLOP/s.
fn multiply_in_turns(name: &str, mut multiply: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
    take_turns(name, || {
        let mut speeds = Map::new();
        for (at, [rows, inner, columns]) in PRODUCTS.into_iter().enumerate() {
            let operations = 2e-9 * (rows * inner * columns * TIMES) as f64;
            speeds.insert(format!("{rows}×{inner}×{columns}"), json!(operations / seconds(|| multiply(at, TIMES))?));
        }
        Ok(speeds.into())
    })
}
