//! Results that nobody measured: a made device before and after a made change, and a made software GPU. Every number follows from the few below
//! and a seed; `FASTWEIGHT_UPDATE=1` writes the files anew.

use std::collections::BTreeMap;

use fastweight::bench::report::Entry;
use fastweight::bench::results::{
    Bandwidth, Cache, Ceilings, DeviceFacts, Engine, Measurement, ModelFacts, Results, SCHEMA, SUITE_VERSION, Section, Sentinel,
    Settings, System, Timer, TimerKind, Verified, Work,
};
use fastweight_tests::Random;
use fastweight_tests::fixtures::path;

/// A device that does not exist.
struct Machine {
    name: &'static str,
    backend: &'static str,
    kind: &'static str,
    driver: &'static str,
    /// Bytes a second, from memory and from the caches.
    memory: f64,
    caches: f64,
    /// Where the caches end.
    knee: u64,
    /// Operations a second.
    f32: f64,
    /// Seconds of a dispatch.
    dispatch: f64,
    /// Spread of the samples, as a share.
    noise: f64,
    engine: &'static str,
    /// What `matvec` and decoding take, against the first engine.
    slower: f64,
    /// What `matmul` and prefill take.
    faster: f64,
}

const GPU: Machine = Machine {
    name: "Made GPU 1 (no real device)",
    backend: "vulkan",
    kind: "discrete",
    driver: "made driver 1.0",
    memory: 240e9,
    caches: 900e9,
    knee: 4 << 20,
    f32: 8e12,
    dispatch: 4e-6,
    noise: 0.015,
    engine: "0.1.0-made-before",
    slower: 1.0,
    faster: 1.0,
};

const SOFTWARE: Machine = Machine {
    name: "Made software GPU (no real device)",
    backend: "vulkan",
    kind: "software",
    driver: "made driver 2.0",
    memory: 7e9,
    caches: 16e9,
    knee: 1 << 20,
    f32: 35e9,
    dispatch: 60e-6,
    noise: 0.04,
    engine: "0.1.0-made-after",
    slower: 1.12,
    faster: 0.8,
};

const AFTER: Machine = Machine { engine: "0.1.0-made-after", slower: 1.12, faster: 0.8, ..GPU };

/// The made results, by the names of their files.
pub(crate) fn all() -> Vec<Entry> {
    [("made-before.json", GPU, 1), ("made-after.json", AFTER, 2), ("made-software.json", SOFTWARE, 3)]
        .into_iter()
        .map(|(file, machine, seed)| Entry { file: file.into(), results: results(&machine, seed) })
        .collect()
}

/// Measurements in the making.
struct Maker<'a> {
    machine: &'a Machine,
    random: Random,
    measurements: Vec<Measurement>,
}

impl Maker<'_> {
    /// Samples around this time, skewed to the slow side.
    fn samples(&mut self, time: f64) -> Vec<f64> {
        let mut sample = || {
            let uniform = |random: &mut Random| (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
            let (u, v) = (uniform(&mut self.random), uniform(&mut self.random));
            // Four digits, so that the files are small.
            let exact = time * (1.0 + self.machine.noise * (u + 0.6 * (-(1.0 - v).ln())));
            format!("{exact:.3e}").parse().expect("a number")
        };
        (0..8).map(|_| sample()).collect()
    }

    fn add(&mut self, section: Section, name: &str, subject: &str, time: f64, work: Work, set: impl FnOnce(&mut Measurement)) {
        let samples = self.samples(time);
        let from = self.measurements.len() * samples.len();
        let mut made = Measurement {
            section,
            name: name.into(),
            subject: subject.into(),
            batch: 1,
            variant: None,
            chosen: true,
            cache: None,
            timer: TimerKind::Clock,
            order: (from..from + samples.len()).collect(),
            samples,
            clock: Vec::new(),
            work,
            share: None,
            flagged: false,
        };
        set(&mut made);
        self.measurements.push(made);
    }

    /// A kernel that reads `least` bytes and does `operations`, at these shares of the ceilings for two variants.
    fn kernel(&mut self, name: &str, subject: &str, operations: f64, least: f64, good: f64, change: f64) {
        let Machine { memory, caches, knee, f32, dispatch, .. } = *self.machine;
        for cache in [Cache::Cold, Cache::Warm] {
            let rate = if cache == Cache::Warm && least < knee as f64 { caches } else { memory };
            let best = (least / rate).max(operations / f32);
            for (variant, chosen, share) in [("tiled, 8 by 8", true, good), ("rows", false, good * 0.7)] {
                let time = dispatch + best / share * change;
                let work = Work { operations, least, moved: least * 1.2, working_set: least, ..Work::default() };
                self.add(Section::Kernels, name, subject, time, work, |m| {
                    m.variant = Some(format!("{name}, {variant}"));
                    m.chosen = chosen;
                    m.cache = Some(cache);
                    m.timer = TimerKind::Timestamps;
                    m.clock =
                        m.samples.iter().map(|s| s + dispatch).map(|s| format!("{s:.3e}").parse().expect("a number")).collect();
                    m.share = Some((best / time * 1000.0).round() / 1000.0);
                });
            }
        }
    }
}

fn results(machine: &Machine, seed: u64) -> Results {
    let mut maker = Maker { machine, random: Random::seeded(seed), measurements: Vec::new() };
    let curve = |share: f64| -> Vec<Bandwidth> {
        let rate = |bytes: u64| {
            // From the launch's own cost, through the caches, to memory.
            let from =
                if bytes <= machine.knee { machine.caches } else { machine.memory * (1.0 + machine.knee as f64 / bytes as f64) };
            (bytes as f64 / (machine.dispatch / 4.0 + bytes as f64 / (from * share))).round()
        };
        (12..=28).step_by(2).map(|i| Bandwidth { bytes: 1 << i, rate: rate(1 << i) }).collect()
    };
    let (read, copy) = (curve(0.95), curve(0.8));
    for point in &read {
        let work =
            Work { least: point.bytes as f64, moved: point.bytes as f64, working_set: point.bytes as f64, ..Work::default() };
        maker.add(Section::Device, &format!("read {}", point.bytes), "", point.bytes as f64 / point.rate, work, |_| {});
    }
    let (slower, faster) = (machine.slower, machine.faster);
    for (n, k) in [(768.0, 768.0), (2048.0, 768.0), (4096.0, 4096.0)] {
        let shape = format!("{n} x {k} q8_0");
        maker.kernel("matvec", &shape, 2.0 * n * k, n * k * 1.0625, 0.82, slower);
        maker.kernel("matmul", &format!("512 x {shape}"), 1024.0 * n * k, n * k * 1.0625 + 2048.0 * (n + k), 0.55, faster);
    }
    maker.kernel("rms_norm", "512 x 768", 512.0 * 768.0 * 4.0, 512.0 * 768.0 * 8.0, 0.6, 1.0);
    maker.kernel(
        "ttt_linear",
        "12 heads of 64, mini-batch 16",
        12.0 * 64.0 * 64.0 * 16.0 * 8.0,
        12.0 * 64.0 * (64.0 + 64.0) * 4.0,
        0.3,
        1.0,
    );
    maker.kernel("scan", "1536 x 16", 1536.0 * 16.0 * 9.0, 1536.0 * 16.0 * 8.0, 0.4, 1.0);

    let mut models = BTreeMap::new();
    // Bytes of state: fixed, and for each token of context.
    for (model, fixed, a_token) in
        [("ttt-linear 125m q8_0", 4.8e6, 0.0), ("mamba 130m q8_0", 1.5e6, 0.0), ("llama 135m q8_0", 0.0, 46_080.0)]
    {
        let weights = 132e6;
        models.insert(model.to_string(), ModelFacts { parameters: 124_000_000, bytes: weights as u64 });
        for context in [0.0, 2048.0, 8192.0, 32_768.0] {
            let at = if context > 0.0 { format!(" @ d{context}") } else { String::new() };
            let state = fixed + a_token * (context + 128.0);
            let step = 90.0 * machine.dispatch + (weights + state) / machine.memory / 0.7;
            let work = Work {
                tokens: 128.0,
                context,
                operations: 128.0 * 2.0 * 124e6,
                least: 128.0 * (weights + state),
                state,
                ..Work::default()
            };
            maker.add(Section::Models, &format!("tg128{at}"), model, 128.0 * step * slower, work, |_| {});
            let attention = a_token * (context + 256.0) * 512.0 / 8.0;
            let operations = 512.0 * (2.0 * 124e6 + attention * 4.0 / 512.0 * 16.0);
            let work = Work { tokens: 512.0, context, operations, least: weights, state, ..Work::default() };
            maker.add(Section::Models, &format!("pp512{at}"), model, operations / machine.f32 / 0.4 * faster, work, |_| {});
        }
        let work = Work {
            tokens: 1024.0,
            operations: 1024.0 * 2.0 * 124e6,
            least: weights * 128.0,
            state: fixed * 8.0,
            ..Work::default()
        };
        let step = 90.0 * machine.dispatch + weights / machine.memory / 0.6;
        maker.add(Section::Models, "tg128", model, 128.0 * step * slower, work, |m| m.batch = 8);
    }
    if machine.kind == "software" {
        maker.measurements.iter_mut().filter(|m| m.name == "scan").for_each(|m| m.flagged = true);
    }
    let sentinel = |after: &str, drift: f64| Sentinel {
        after: after.into(),
        copy: (machine.memory * 0.8 * (1.0 - drift)).round(),
        multiply_add: machine.f32 * 0.9,
        drift,
    };
    let last = if machine.kind == "software" { 0.083 } else { 0.012 };
    Results {
        schema: SCHEMA.into(),
        suite_version: SUITE_VERSION,
        engine: Engine {
            version: machine.engine.into(),
            commit: None,
            wgsl: if machine.slower > 1.0 { "a2" } else { "a1" }.repeat(32),
        },
        device: DeviceFacts {
            name: machine.name.into(),
            vendor: "nobody".into(),
            backend: machine.backend.into(),
            kind: machine.kind.into(),
            driver: machine.driver.into(),
            limits: [("max_buffer_size".to_string(), 1 << 30)].into(),
            features: vec!["shader-f16".into(), "subgroups".into()],
        },
        system: System {
            os: "linux".into(),
            arch: "x86_64".into(),
            browser: None,
            flags: [("MADE".to_string(), "1".to_string())].into(),
            threads: 8,
            power: "mains".into(),
            clock_mhz: Some(4000),
        },
        timer: Timer { kind: TimerKind::Timestamps, quantum: 1e-8 },
        settings: Settings { quick: false, repetitions: 8, delay: 0.0, sustain: 0.0, only: Vec::new(), seed },
        date: "2026-11-25".into(),
        valid: true,
        invalid: Vec::new(),
        complete: true,
        verified: Some(Verified { kernels: 30, cases: 300, variants: 70, failures: Vec::new() }),
        sentinels: vec![sentinel("start", 0.0), sentinel("device", 0.004), sentinel("kernels", last), sentinel("models", 0.01)],
        ceilings: Some(Ceilings {
            read,
            copy,
            knee: Some(machine.knee),
            f32: machine.f32,
            f16: (machine.kind != "software").then_some(machine.f32 * 2.0),
            dispatch: machine.dispatch,
            submit: machine.dispatch * 12.0,
            read_back: machine.dispatch * 30.0,
        }),
        models,
        measurements: maker.measurements,
    }
}

#[test]
fn the_made_results_are_as_they_are_made() {
    for Entry { file, results } in all() {
        let stored = path("bench").join(&file);
        if std::env::var_os("FASTWEIGHT_UPDATE").is_some() {
            std::fs::write(&stored, results.to_json()).expect("a file");
        }
        let text = std::fs::read_to_string(&stored).expect("the made results");
        assert!(text == results.to_json(), "{file} is not as it is made; FASTWEIGHT_UPDATE=1 makes it anew");
        Results::parse(&file, &text).expect("results");
    }
}
