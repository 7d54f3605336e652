//! Timing samples of a shared machine, recorded once: runs of the same work, every second one with a delay in it, each between two sentinels.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastweight::bench::results::Sentinel;
use fastweight::device::Device;
use fastweight::generate::{Model, Session};
use fastweight_tests::fixtures::{path, shipped};
use fastweight_tests::software;
use pollster::block_on;
use serde::{Deserialize, Serialize};

/// Runs, the delayed ones included.
const RUNS: usize = 90;
/// Samples of a run, one of each work in turn.
const SAMPLES: usize = 30;
/// Rest after each turn: a bench's samples lie apart, as those of other kernels lie between.
const REST: Duration = Duration::from_millis(10);
/// The delay as a share of the work.
const DELAY: f64 = 0.1;

/// One run of every work.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    /// Whether each sample had a delay of a tenth of its work's time in it.
    pub(crate) delayed: bool,
    /// Fixed work before and after: bytes copied and multiply-adds a second.
    sentinels: [[f64; 2]; 2],
    /// Seconds of each sample, by the work.
    pub(crate) samples: BTreeMap<String, Vec<f64>>,
}

impl Run {
    /// The fixed work before and after.
    pub(crate) fn sentinels(&self) -> Vec<Sentinel> {
        let sentinel = |[copy, multiply_add]: [f64; 2]| Sentinel { after: String::new(), copy, multiply_add, drift: 0.0 };
        self.sentinels.map(sentinel).to_vec()
    }

    /// Whether a bench would let the two stand: no sentinel of theirs is more than 5 % from another.
    pub(crate) fn steady_with(&self, other: &Run) -> bool {
        (0..2).all(|kind| {
            let rates = || self.sentinels.iter().chain(&other.sentinels).map(|s| s[kind]);
            rates().fold(0.0, f64::max) / rates().fold(f64::INFINITY, f64::min) <= 1.05
        })
    }
}

/// What was recorded on a busy or a steady machine, in the order of time.
pub(crate) fn recorded(machine: &str) -> Vec<Run> {
    let text = std::fs::read_to_string(path(&format!("bench/{machine}.jsonl"))).expect("recorded samples");
    text.lines().map(|line| serde_json::from_str(line).expect("their form")).collect()
}

/// A chain of multiply-adds that no compiler shortens.
fn multiply_adds(count: usize) {
    let mut x = std::hint::black_box(1.0f32);
    for _ in 0..count {
        x = x * std::hint::black_box(0.999) + 0.001;
    }
    std::hint::black_box(x);
}

fn draw(session: &mut Session, tokens: usize) {
    for _ in 0..tokens {
        block_on(session.next()).expect("a token");
    }
}

fn seconds(work: &mut dyn FnMut(), delay: f64) -> f64 {
    let start = Instant::now();
    work();
    let until = start.elapsed().as_secs_f64() + delay;
    while delay > 0.0 && start.elapsed().as_secs_f64() < until {
        std::hint::spin_loop();
    }
    start.elapsed().as_secs_f64()
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Four digits: the file is small.
fn short(x: f64) -> f64 {
    format!("{x:.3e}").parse().expect("a number")
}

fn sentinel() -> [f64; 2] {
    let (from, mut to) = (vec![1u8; 4 << 20], vec![0u8; 4 << 20]);
    let mut copy = || to.copy_from_slice(std::hint::black_box(&from));
    let mut multiply = || multiply_adds(1_000_000);
    let of = |work: &mut dyn FnMut()| median((0..9).map(|_| seconds(work, 0.0)).collect());
    [short(8e6 / of(&mut copy)), short(2e6 / of(&mut multiply))]
}

/// Something to be timed.
type Work<'a> = Box<dyn FnMut() + 'a>;

/// Writes tests/fixtures/bench/steady.jsonl anew, on a machine that does nothing else: `cargo test -p fastweight-tests --test bench record -- --ignored`.
#[test]
#[ignore = "records for some minutes"]
fn record() {
    let sessions = [Device::cpu(), software()].map(|device| {
        let model = block_on(Model::open(shipped(), &device)).expect("the shipped model");
        let mut session = block_on(model.session()).expect("a session");
        block_on(session.prefill(&[1, 2, 3])).expect("prefill");
        session
    });
    let [mut cpu, mut gpu] = sessions;
    // Each as long as a bench's submit.
    let mut works: Vec<(&str, Work<'_>)> = vec![
        ("multiply-adds on one thread", Box::new(|| multiply_adds(30_000_000))),
        ("64 tokens on the CPU device", Box::new(move || draw(&mut cpu, 64))),
        ("8 tokens on lavapipe", Box::new(move || draw(&mut gpu, 8))),
    ];
    let mut usual: Vec<f64> = works.iter_mut().map(|(_, work)| median((0..9).map(|_| seconds(work, 0.0)).collect())).collect();
    let mut lines = String::new();
    for run in 0..RUNS {
        let delayed = run % 2 == 1;
        let mut samples = vec![Vec::new(); works.len()];
        let before = sentinel();
        for _ in 0..SAMPLES {
            for (i, (_, work)) in works.iter_mut().enumerate() {
                let delay = if delayed { usual[i] * DELAY } else { 0.0 };
                samples[i].push(short(seconds(work, delay)));
            }
            std::thread::sleep(REST);
        }
        let sentinels = [before, sentinel()];
        if !delayed {
            usual = samples.iter().map(|s| median(s.clone())).collect();
        }
        let samples = works.iter().map(|(name, _)| name.to_string()).zip(samples).collect();
        lines += &(serde_json::to_string(&Run { delayed, sentinels, samples }).expect("numbers") + "\n");
        std::fs::write(path("bench/steady.jsonl"), &lines).expect("a file");
    }
}
