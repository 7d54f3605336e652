//! The shipped model on the CPU device: prefill and decode in tokens per second, and the memory of the process.
//!
//! `cargo bench -p fastweight-tests --bench cpu`

use std::time::Instant;

use fastweight::device::Device;
use fastweight::generate::{Model, Purpose};
use fastweight_tests::fixtures::shipped;
use pollster::block_on;

/// Tokens that are drawn, and that are read.
const DECODE: usize = 512;
const PREFILL: usize = 2048;
/// The best of so many runs counts: others share the machine.
const RUNS: usize = 5;

fn main() {
    let model = block_on(Model::open(shipped(), &Device::cpu())).expect("the shipped model");
    let mut session = block_on(model.session()).expect("a session");
    let vocabulary = model.architecture().vocabulary() as u32;
    let ids: Vec<u32> = (0..PREFILL as u32).map(|i| i * 7919 % vocabulary).collect();
    let (mut prefill, mut decode) = (0f64, 0f64);
    for _ in 0..RUNS {
        let start = Instant::now();
        block_on(session.prefill(&ids)).expect("prefill");
        prefill = prefill.max(PREFILL as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..DECODE {
            block_on(session.next()).expect("a token");
        }
        decode = decode.max(DECODE as f64 / start.elapsed().as_secs_f64());
    }
    let plan = model.plan(Purpose::Decode, 1).expect("a plan");
    let stored = (plan.weight_bytes() + plan.states.bytes()) as f64;
    println!("prefill {prefill:.0} tokens/s, decode {decode:.0} tokens/s");
    println!("weights and state {:.1} MB", stored / 1e6);
    if let Some(peak) = peak_bytes() {
        println!("peak memory of the process {:.1} MB, {:.2} times that", peak / 1e6, peak / stored);
    }
}

/// The largest resident set of this process, where the system tells.
fn peak_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0)
}
