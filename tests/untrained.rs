//! Models of random weights, and what is measured of them: the same weights everywhere, finite at any length, and a row for every model and context.

use fastweight::bench::results::{Measurement, Section, Settings};
use fastweight::bench::{self, BenchError, Family, ModelOptions, Observer, Size};
use fastweight::device::Device;
use fastweight::error::Error;
use fastweight::generate::{LoadOptions, Model, Sampling};
use fastweight::tensor::DType;
use fastweight_tests::{fresh_software, software};
use pollster::block_on;

fn tiny(family: Family, dtype: DType, seed: u64, device: &Device) -> Model {
    let options = LoadOptions { context_size: Some(512), ..LoadOptions::default() };
    let made = block_on(Model::random(Size::TINY.opened(family, dtype), seed, device, options));
    made.unwrap_or_else(|e| panic!("{family} {dtype}: {e}"))
}

fn logits(model: &Model, tokens: usize) -> Vec<f32> {
    let ids: Vec<u32> = (0..tokens as u32).map(|i| i * 7919 % 2048).collect();
    let mut session = block_on(model.session()).expect("a session");
    // Fails where a logit is not finite.
    block_on(session.logits(&ids)).unwrap_or_else(|e| panic!("{}: {e}", model.architecture().family()))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    let scale = a.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

#[test]
fn the_same_seed_makes_the_same_model_on_every_device_and_logits_stay_finite() {
    for family in Family::ALL {
        // One family in every type; the kernel that fills them is checked to the last bit with the others.
        let types = if family == Family::TttLinear { &DType::WEIGHTS[..] } else { &[DType::F16] };
        for dtype in types.iter().copied() {
            let on_cpu = tiny(family, dtype, 5, &Device::cpu());
            let wanted = logits(&on_cpu, 64);
            let largest = wanted.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!((0.1..100.0).contains(&largest), "{family} {dtype}: logits of up to {largest}");
            if matches!(dtype, DType::F16 | DType::Q4_0) {
                let on_gpu = tiny(family, dtype, 5, &software());
                assert_eq!(on_cpu.fingerprint(), on_gpu.fingerprint());
                let worst = difference(&wanted[..16 * 2048], &logits(&on_gpu, 16));
                assert!(worst < 1e-3, "{family} {dtype}: the GPU's logits differ by {worst}");
            }
            let other = tiny(family, dtype, 6, &Device::cpu());
            assert_ne!(on_cpu.fingerprint(), other.fingerprint());
            assert!(difference(&wanted, &logits(&other, 64)) > 0.1, "{family} {dtype}: another seed, another model");
        }
    }
}

#[test]
fn a_batch_stands_at_a_position_as_if_it_had_read_nothing() {
    for device in [Device::cpu(), software()] {
        for family in Family::ALL {
            let model = tiny(family, DType::F16, 5, &device);
            let write = |position: Option<usize>| {
                let mut batch = block_on(model.batch(2)).expect("a batch");
                if let Some(position) = position {
                    block_on(batch.prefill(&[&[3; 20], &[4; 20]])).expect("prefill");
                    block_on(batch.stand_at(position)).expect("a place");
                    assert_eq!(batch.positions(), [position as u32; 2]);
                }
                let mut tokens = vec![1, 2];
                let mut written = Vec::new();
                for _ in 0..18 {
                    tokens = block_on(batch.decode(&tokens, &[Sampling::greedy(); 2])).expect("a token");
                    written.extend(tokens.clone());
                }
                written
            };
            let wanted = write(None);
            assert_eq!(write(Some(0)), wanted, "{family}");
            let far = write(Some(400));
            // What has a state of fixed size knows no position but that within a mini-batch.
            assert!(!family.is_recurrent() || far == wanted, "{family}");

            let mut batch = block_on(model.batch(1)).expect("a batch");
            let beyond = block_on(batch.stand_at(1 << 20));
            match family.is_recurrent() {
                true => assert!(beyond.is_ok(), "{family}"),
                false => assert!(matches!(beyond, Err(Error::Context { limit: 512, .. })), "{family}"),
            }
            if matches!(family, Family::TttLinear | Family::TttMlp) {
                let found = block_on(batch.stand_at(24)).expect_err("within a mini-batch");
                assert!(found.to_string().contains("position 24, wanted a multiple of 16"), "{found}");
            }
        }
    }
}

/// Sees everything, and cancels after so many reports.
#[derive(Default)]
struct Watching {
    reports: usize,
    notes: Vec<String>,
    most: Option<usize>,
}

impl Observer for Watching {
    fn progress(&mut self, done: f64, what: &str) {
        assert!((0.0..=1.0).contains(&done) && !what.is_empty());
        self.reports += 1;
    }

    fn cancelled(&self) -> bool {
        self.most.is_some_and(|most| self.reports > most)
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.into());
    }
}

fn settings() -> Settings {
    Settings { quick: true, repetitions: 1, delay: 0.0, sustain: 0.0, only: Vec::new(), seed: 1 }
}

fn few(device: &Device) -> ModelOptions {
    let usual = block_on(ModelOptions::usual(device, true)).expect("the usual options");
    ModelOptions { contexts: vec![250], batches: vec![1, 2], prompt: 20, predict: 2, long: 800, ..usual }
}

fn check(found: &[Measurement], section: Section) {
    for m in found {
        let name = format!("{} {}", m.name, m.subject);
        assert_eq!((m.section, m.order.len()), (section, m.samples.len()), "{name}");
        assert!(!m.samples.is_empty() && m.samples.iter().all(|s| *s > 0.0 && s.is_finite()), "{name}");
        let w = m.work;
        let positive = [w.tokens, w.operations, w.least, w.moved, w.state, w.working_set];
        assert!(positive.iter().all(|n| *n > 0.0 && n.is_finite()), "{name}: {w:?}");
    }
}

#[test]
fn every_model_is_read_and_written_at_every_context() {
    for device in [Device::cpu(), software()] {
        let mut watching = Watching::default();
        let mut found = Vec::new();
        block_on(bench::models(&device, &settings(), &few(&device), &mut found, &mut watching)).expect("figures");
        check(&found, Section::Models);
        assert!(watching.notes.is_empty(), "{:?}", watching.notes);
        for family in Family::ALL {
            for (name, batch) in ["pp20", "tg2", "pp20 @ d256", "tg2 @ d256"].iter().flat_map(|name| [(name, 1), (name, 2)]) {
                let subject = format!("{family} tiny f16");
                let rows = found.iter().filter(|m| m.name == *name && m.subject == subject && m.batch == batch);
                assert_eq!(rows.count(), 1, "{name} {subject}, {batch} sequences");
            }
        }
        // A state of one size, and one that grows.
        let state = |family, name: &str| {
            let subject = format!("{family} tiny f16");
            found.iter().find(|m| m.name == name && m.subject == subject && m.batch == 1).map(|m| m.work.state)
        };
        for family in Family::ALL {
            let (start, far) = (state(family, "tg2"), state(family, "tg2 @ d256"));
            assert_eq!(start == far, family.is_recurrent(), "{family}: {start:?} and {far:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_left_out_by_name_and_a_bench_can_be_cancelled() {
    let device = Device::cpu();
    let mut watching = Watching::default();
    // Enough for the tiny models, and not for a cache of 65,536 positions.
    let options = ModelOptions { memory: Some(100 << 20), contexts: vec![256, 65_536], batches: vec![1], ..few(&device) };
    let options = ModelOptions { families: vec![Family::Transformer], sizes: vec![Size::TINY, Size::ALL[4]], ..options };
    let mut found = Vec::new();
    block_on(bench::models(&device, &settings(), &options, &mut found, &mut watching)).expect("figures");
    assert!(found.iter().all(|m| m.subject == "transformer tiny f16" && !m.name.contains("65536")) && found.len() == 4);
    assert_eq!(watching.notes.len(), 2, "{:?}", watching.notes);
    assert!(watching.notes[0].contains("transformer tiny f16, 1 sequences at 65536: left out"), "{}", watching.notes[0]);
    assert!(watching.notes[1].contains("transformer 1.3b f16 is left out"), "{}", watching.notes[1]);

    // Cancelled while models are made: nothing is there. A sample before the end: all but that one.
    let all = {
        let mut watching = Watching::default();
        block_on(bench::models(&device, &settings(), &few(&device), &mut Vec::new(), &mut watching)).expect("figures");
        watching.reports
    };
    let rows = Family::ALL.len() * 8;
    for (most, wanted) in [(3, 0), (all - 2, rows - 2)] {
        let mut watching = Watching { most: Some(most), ..Watching::default() };
        let mut found = Vec::new();
        let cancelled = block_on(bench::models(&device, &settings(), &few(&device), &mut found, &mut watching));
        assert!(matches!(cancelled, Err(BenchError::Cancelled)));
        check(&found, Section::Models);
        assert_eq!(found.len(), wanted);
    }
}

#[test]
fn both_forms_are_timed_and_a_long_run_keeps_its_memory() {
    for device in [Device::cpu(), software()] {
        let settings = Settings { only: vec!["b16 ".into()], ..settings() };
        let mut found = Vec::new();
        block_on(bench::forms(&device, &settings, &few(&device), &mut found, &mut Watching::default())).expect("figures");
        check(&found, Section::Forms);
        let names: Vec<String> = found.iter().map(|m| format!("{}, {}", m.name, m.subject)).collect();
        let wanted = ["ttt-linear", "ttt-mlp"]
            .iter()
            .flat_map(|f| ["dual", "primal"].map(|form| format!("{form} b16, {f} 2 heads of 64")));
        assert_eq!(names, wanted.collect::<Vec<_>>());
        let moved = |m: &Measurement| m.work.moved / m.work.tokens;
        assert!(moved(&found[1]) > 4.0 * moved(&found[0]), "the dual form moves less of its state for a token");
    }
    // A device of its own: what other tests make there would count.
    for device in [Device::cpu(), fresh_software()] {
        let options = ModelOptions { families: vec![Family::TttLinear, Family::Transformer], ..few(&device) };
        let mut found = Vec::new();
        block_on(bench::long(&device, &settings(), &options, &mut found, &mut Watching::default())).expect("figures");
        check(&found, Section::Long);
        assert!(found.len() == 1 && found[0].samples.len() == 100 && found[0].name == "read 800");
    }
}
