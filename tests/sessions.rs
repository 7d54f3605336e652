//! Properties of sessions: any split of the input is the same, snapshots go on anywhere, sessions don't disturb each other,
//! batches equal their sequences alone, and small limits change nothing.

use fastweight::device::{Device, DeviceError};
use fastweight::error::Error;
use fastweight::generate::{Finish, LoadOptions, Model, Purpose, Sampling, Session, WritingOptions};
use fastweight::step::{Sequence, Step};
use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture, shipped};
use fastweight_tests::{Random, devices, fresh_software, software};
use pollster::block_on;

#[path = "sessions/ahead.rs"]
mod ahead;
#[path = "sessions/observe.rs"]
mod observe;
#[path = "sessions/threads.rs"]
mod threads;

fn load(fixture: &Fixture, device: &Device) -> Model {
    block_on(Model::load(fixture.opened(DType::F32), device, LoadOptions::default())).expect("the fixture loads")
}

fn session(model: &Model) -> Session {
    block_on(model.session()).expect("a session")
}

/// The fixtures that splits are tried on: both inner models, every kind of backbone, Transformers, both state spaces.
fn split_fixtures() -> Vec<Fixture> {
    let mut fixtures = fixtures::golden();
    fixtures.push(fixtures::golden_mamba());
    let wanted = [
        "linear-sp-hd128-b64",
        "mlp-gsp-hd64-b16",
        "linear-gp-hd64-b1",
        "mlp-plain-hd96-b7",
        "mamba-odd-bias-untied",
        "mamba2-groups2",
        "mamba2-odd-groups2-bias-tied-limit",
    ];
    fixtures.extend(fixtures::made_cases().into_iter().filter(|f| wanted.contains(&f.name.as_str())).map(|f| f.truncated(80)));
    // The long one outgrows the room that a cache starts with.
    let wanted = ["llama/mha-tied", "llama/gqa-untied", "llama3-long", "interleaved"];
    fixtures.extend(fixtures::llama().into_iter().filter(|f| wanted.contains(&f.name.as_str())).map(|f| f.truncated(300)));
    fixtures
}

#[test]
fn any_split_gives_the_same_logits() {
    let mut random = Random::new();
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        for fixture in split_fixtures() {
            let model = load(&fixture, &device);
            let n = fixture.ids.len();
            // One at a time, then random cuts (the slow device gets fewer); in the middle a save and a restore into another session, and others' work.
            for round in 0..if device.is_cpu() { 6 } else { 2 } {
                let mut session = session(&model);
                let mut other = self::session(&model);
                let mut logits = Vec::new();
                let mut at = 0;
                while at < n {
                    let most = if round == 0 { 1 } else { n - at };
                    let count = random.within(1, most);
                    logits.extend(block_on(session.logits(&fixture.ids[at..at + count])).expect("logits"));
                    at += count;
                    match random.within(0, 3) {
                        0 => {
                            block_on(other.reset()).expect("a reset");
                            block_on(other.prefill(&fixture.ids[..random.within(1, n)])).expect("prefill");
                        }
                        1 => {
                            let saved = block_on(session.snapshot()).expect("a snapshot");
                            session = self::session(&model);
                            block_on(session.prefill(&fixture.ids[..1])).expect("prefill");
                            block_on(session.restore(&saved)).expect("a restore");
                        }
                        2 => session = block_on(session.fork()).expect("a fork"),
                        _ => {}
                    }
                }
                let worst = fixture.worst(&logits);
                assert!(worst <= fixture.bound, "{} on {name}, round {round}: {worst}", fixture.name);
            }
        }
    }
}

/// Mini-batches of one token make the longest loops; where the driver cuts them off, runs must be short enough.
#[test]
fn long_runs_are_not_cut_off() {
    let wanted = ["linear-gp-hd64-b1", "mlp-plain-hd96-b7"];
    for fixture in fixtures::made_cases().iter().filter(|f| wanted.contains(&f.name.as_str())) {
        let ids: Vec<u32> = fixture.ids.iter().copied().cycle().take(320).collect();
        let logits = |device: &Device| block_on(session(&load(fixture, device)).logits(&ids)).expect("logits");
        let (cpu, gpu) = (logits(&Device::cpu()), logits(&software()));
        let scale = cpu.iter().fold(1f32, |m, x| m.max(x.abs()));
        let worst = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs() / scale).fold(0f32, f32::max);
        assert!(worst < 2e-4, "{}: {worst}", fixture.name);
    }
}

#[test]
fn losses_are_those_of_the_logits_however_the_text_is_cut() {
    let mut random = Random::new();
    for (name, device) in devices() {
        let fixture = &fixtures::golden()[1];
        let model = load(fixture, &device);
        let logits = block_on(session(&model).logits(&fixture.ids)).expect("logits");
        let vocabulary = model.architecture().vocabulary();
        let wanted = |i: usize| {
            let row = &logits[(i - 1) * vocabulary..][..vocabulary];
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            sum.ln() - f64::from(row[fixture.ids[i] as usize])
        };
        let mut session = session(&model);
        let mut losses = Vec::new();
        while losses.len() < fixture.ids.len() {
            let end = losses.len() + random.within(1, fixture.ids.len() - losses.len());
            losses.extend(block_on(session.read(&fixture.ids[losses.len()..end])).expect("losses"));
        }
        assert_eq!(losses[0], None);
        for (i, loss) in losses.iter().enumerate().skip(1) {
            let loss = f64::from(loss.expect("only the first token has no loss"));
            assert!((loss - wanted(i)).abs() < 1e-4, "{name}: token {i}: {loss}, wanted {}", wanted(i));
        }
    }
}

/// The fixtures that batches are tried on: one of each family and inner model.
fn batch_fixtures() -> Vec<Fixture> {
    let mut fixtures = vec![fixtures::golden().swap_remove(1), fixtures::golden().swap_remove(3), fixtures::golden_mamba()];
    fixtures.extend(fixtures::made_cases().into_iter().filter(|f| f.name.starts_with("mamba2-")));
    fixtures.extend(fixtures::llama().into_iter().take(2));
    fixtures
}

#[test]
fn a_batch_equals_its_sequences_alone() {
    for (name, device) in devices() {
        for fixture in &batch_fixtures() {
            let model = load(fixture, &device);
            let ids = &fixture.ids;
            let rounds: [[&[u32]; 3]; 3] =
                [[&ids[..7], &ids[3..40], &[]], [&ids[7..20], &ids[40..41], &ids[..33]], [&[], &ids[..5], &ids[33..]]];
            let mut batch = block_on(model.batch(3)).expect("a batch");
            let mut alone: Vec<Session> = (0..3).map(|_| session(&model)).collect();
            for round in &rounds {
                let together = block_on(batch.logits(round)).expect("logits");
                for (s, tokens) in round.iter().enumerate().filter(|(_, tokens)| !tokens.is_empty()) {
                    let wanted = block_on(alone[s].logits(tokens)).expect("logits");
                    let worst = wanted.iter().zip(&together[s]).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                    assert_eq!(wanted.len(), together[s].len());
                    assert!(worst < 1e-3, "{name} {}: sequence {s} differs by {worst}", fixture.name);
                }
            }
        }
    }
}

#[test]
fn small_bindings_change_nothing() {
    let small = || software().with_caps(|caps| caps.binding_bytes = 64 << 10);
    // A Transformer's table of angles and its cache are taken whole, and refused by name where they don't fit.
    let divisible = batch_fixtures().into_iter().filter(|f| !f.name.starts_with("llama"));
    for fixture in fixtures::golden().into_iter().chain(divisible) {
        let logits = block_on(session(&load(&fixture, &small())).logits(&fixture.ids)).expect("logits");
        assert!(fixture.worst(&logits) <= fixture.bound, "{}", fixture.name);
    }
    for (name, small) in [("cpu", Device::cpu().with_caps(|caps| caps.binding_bytes = 64 << 10)), ("software GPU", small())] {
        let model = block_on(Model::open(shipped(), &small)).expect("the shipped model");
        let plan = model.plan(Purpose::Decode, 1).expect("a plan");
        assert!(plan.weights.iter().any(|w| w.parts.len() > 1) && plan.states.states.iter().any(|s| s.parts.len() > 1));
        assert_eq!(greedy(&model, 32), greedy(&open_shipped(), 32), "{name}");
    }
}

fn open_shipped() -> Model {
    block_on(Model::open(shipped(), &Device::cpu())).expect("the shipped model")
}

fn greedy(model: &Model, n: usize) -> Vec<u32> {
    let mut session = session(model);
    let ids = model.tokenizer().and_then(|t| t.encode("The old king called his three sons and said")).expect("ids");
    block_on(session.prefill(&ids)).expect("prefill");
    session.set_sampling(Sampling::greedy()).expect("greedy is valid");
    (0..n).map(|_| block_on(session.next()).expect("a token").id).collect()
}

#[test]
fn the_shipped_model_gives_its_reference_logits() {
    // The shipped weights are rounded to half precision; the numbers are those of the f32 checkpoint.
    let file = std::fs::read(fixtures::path("shipped-golden.json")).expect("the fixture");
    let golden: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    let ids: Vec<u32> = serde_json::from_value(golden["ids"].clone()).expect("ids");
    let argmax: Vec<u32> = serde_json::from_value(golden["argmax"].clone()).expect("ids");
    let model = open_shipped();
    let logits = block_on(session(&model).logits(&ids)).expect("logits");
    let again = block_on(session(&model).logits(&ids)).expect("logits");
    assert!(logits.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "the CPU device rounds the same way every time");
    let vocabulary = model.architecture().vocabulary();
    for (position, wanted) in
        golden["positions"].as_array().expect("positions").iter().zip(golden["logits"].as_array().expect("logits"))
    {
        let position = position.as_u64().expect("a position") as usize;
        let wanted: Vec<f32> = serde_json::from_value(wanted.clone()).expect("numbers");
        let found = &logits[position * vocabulary..][..vocabulary];
        let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < 0.02, "position {position}: {worst}");
    }
    let found: Vec<u32> = logits
        .chunks(vocabulary)
        .map(|row| (0..vocabulary).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a))).expect("a vocabulary") as u32)
        .collect();
    assert_eq!(found, argmax);
}

#[test]
fn devices_agree_on_the_shipped_model_over_256_forced_tokens() {
    let cpu = open_shipped();
    let gpu = block_on(Model::open(shipped(), &software())).expect("the shipped model");
    let mut source = session(&cpu);
    let prompt = cpu.tokenizer().and_then(|t| t.encode("Once upon a time")).expect("ids");
    block_on(source.prefill(&prompt)).expect("prefill");
    let mut ids = prompt;
    while ids.len() < 256 {
        ids.push(block_on(source.next()).expect("a token").id);
    }
    let (mut a, mut b) = (session(&cpu), session(&gpu));
    let mut worst = 0f32;
    for id in &ids {
        let (a, b) = (block_on(a.logits(&[*id])).expect("logits"), block_on(b.logits(&[*id])).expect("logits"));
        worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
    }
    println!("largest difference {worst:e}");
    assert!(worst < 1e-3, "logits differ by {worst}");
}

/// Writes `n` tokens and returns the text.
fn write(session: &mut Session, n: usize, resumable: bool) -> String {
    let mut writing = session.write(WritingOptions { predict: n, resumable, ..WritingOptions::default() });
    let mut text = String::new();
    while let Some(piece) = block_on(writing.next()).expect("a piece") {
        text.push_str(&piece.text);
    }
    text
}

#[test]
fn an_interrupted_saved_and_resumed_text_is_that_of_one_go() {
    let sampling =
        Sampling { seed: 11, temperature: 1.2, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.2, ..Sampling::default() };
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        let model = block_on(Model::open(shipped(), &device)).expect("the shipped model");
        let start = || {
            let mut session = session(&model);
            session.set_sampling(sampling).expect("valid options");
            let ids = model.tokenizer().and_then(|t| t.encode("“Naïve?” said the café—owner, ")).expect("ids");
            block_on(session.prefill(&ids)).expect("prefill");
            session
        };
        let whole = write(&mut start(), 48, false);
        for cut in [1, 16, 31] {
            let mut session = start();
            let mut text = write(&mut session, cut, true);
            let saved = block_on(session.snapshot()).expect("a snapshot");
            let mut resumed = self::session(&model);
            block_on(resumed.restore(&saved)).expect("a restore");
            text.push_str(&write(&mut resumed, 48 - cut, false));
            assert_eq!(text, whole, "{name}, cut after {cut}");
        }
    }
}

#[test]
fn a_program_may_bring_its_own_device() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let adapter = adapters.iter().find(|a| a.get_info().device_type == wgpu::DeviceType::Cpu).expect("a software GPU");
    let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("a device");
    let fixture = &fixtures::golden()[1];
    let model = load(fixture, &Device::from_wgpu(device.clone(), queue));
    let logits = block_on(session(&model).logits(&fixture.ids)).expect("logits");
    assert!(fixture.worst(&logits) <= 2e-4);
    // The device is still the program's.
    device.poll(wgpu::PollType::wait_indefinitely()).expect("it answers");
}

/// Draws tokens; loses the device before some of them, moves the model to the next one and goes on with the call that failed.
fn draw_through_losses(
    model: &Model,
    session: &mut Session,
    tokens: usize,
    lose_at: &[usize],
    mut next: impl FnMut() -> Device,
) -> Vec<u32> {
    let (mut ids, mut lose_at) = (Vec::new(), lose_at.to_vec());
    while ids.len() < tokens {
        if let Some(i) = lose_at.iter().position(|at| *at == ids.len()) {
            lose_at.remove(i);
            model.device().wgpu().expect("a GPU, which can be lost").0.destroy();
        }
        match block_on(session.next()) {
            Ok(token) => ids.push(token.id),
            Err(Error::Device(DeviceError::Lost(_))) => {
                let opened = block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
                block_on(model.move_to(opened, &next(), LoadOptions::default())).expect("another device");
            }
            Err(error) => panic!("{error}"),
        }
    }
    ids
}

#[test]
fn a_lost_device_loses_nothing() {
    let prompt: Vec<u32> = (0..40).map(|i| i * 97 % 4096).collect();
    let start = |device: &Device| {
        let model = block_on(Model::open(shipped(), device)).expect("the shipped model");
        let mut session = session(&model);
        session
            .set_sampling(Sampling { seed: 5, temperature: 1.1, repeat_penalty: 1.3, ..Sampling::default() })
            .expect("in range");
        block_on(session.prefill(&prompt[..17])).expect("prefill");
        session.set_learning(0.5).expect("in range");
        block_on(session.prefill(&prompt[17..])).expect("prefill");
        (model, session)
    };
    let (model, mut session) = start(&Device::cpu());
    let wanted = draw_through_losses(&model, &mut session, 24, &[], || unreachable!("the CPU is not lost"));
    for tokens_per_submit in [1, 5] {
        // Twice to another GPU, then to the CPU; a second session of the model follows with its own past.
        let (model, mut session) = start(&fresh_software());
        session.set_tokens_per_submit(Some(tokens_per_submit)).expect("a number in range");
        let mut other = self::session(&model);
        block_on(other.prefill(&prompt[..9])).expect("prefill");
        let mut devices = vec![Device::cpu(), fresh_software(), fresh_software()];
        let found = draw_through_losses(&model, &mut session, 24, &[0, 10], || devices.pop().expect("another device"));
        assert_eq!(found, wanted);
        assert_eq!(devices.len(), 1, "two devices were lost");
        let saved = block_on(session.snapshot()).expect("a state");
        let opened = block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
        block_on(model.move_to(opened, &Device::cpu(), LoadOptions::default())).expect("the CPU device");
        // A state that was moved, not replayed, is the same to the bit.
        assert_eq!(block_on(session.snapshot()).expect("a state"), saved);
        let mut alone = self::session(&model);
        block_on(alone.prefill(&prompt[..9])).expect("prefill");
        assert_eq!(block_on(other.next()).expect("a token"), block_on(alone.next()).expect("a token"));
    }
}

#[test]
fn learning_is_a_dial() {
    let fixture = &fixtures::golden()[0];
    for (name, device) in devices() {
        let model = load(fixture, &device);
        let logits = |change: &dyn Fn(&mut Session)| {
            let mut session = session(&model);
            change(&mut session);
            block_on(session.logits(&fixture.ids)).expect("logits")
        };
        let (trained, frozen) = (logits(&|_| ()), logits(&|s| s.set_learning(0.0).expect("in range")));
        assert_ne!(trained, frozen);
        let mut session = session(&model);
        let before = block_on(session.logits(&fixture.ids[..1])).expect("logits");
        block_on(session.prefill(&fixture.ids)).expect("prefill");
        block_on(session.reset()).expect("a reset");
        assert_eq!(session.len(), 0);
        let after = block_on(session.logits(&fixture.ids[..1])).expect("logits");
        assert_eq!(before, after, "{name}: a reset returns to the learned start");
    }
}

#[test]
fn one_decode_step_is_few_dispatches_one_pass_one_submit_and_few_bytes() {
    for device in [Device::cpu(), fresh_software()] {
        let model = block_on(Model::open(shipped(), &device)).expect("the shipped model");
        let plan = model.plan(Purpose::Decode, 1).expect("a plan");
        let layers = 6;
        assert!(plan.steps.len() <= 6 * layers + 6, "{} dispatches:\n{plan}", plan.steps.len());
        // The same step early and late: grids and bytes don't grow with the position.
        let step = |position| Step::new(vec![Sequence::new(position, 1)]);
        assert_eq!(plan.grids(&step(100)), plan.grids(&step(20_000)));
        let (mut early, mut late) = (Vec::new(), Vec::new());
        step(100).append_bytes(&mut early);
        step(20_000).append_bytes(&mut late);
        assert_eq!(early.len(), late.len());

        let mut session = session(&model);
        block_on(session.prefill(&[1, 2, 3])).expect("prefill");
        const STEPS: u64 = 16;
        // Bytes up and down a submit; the step values of several runs lie at multiples of 256.
        for (per_submit, up, down) in [(1, 64, 256), (16, 16 * 256, 256)] {
            // The CPU device runs one after the other whatever it is asked for.
            if device.is_cpu() && per_submit > 1 {
                continue;
            }
            session.set_tokens_per_submit(Some(per_submit)).expect("a number in range");
            for _ in 0..per_submit {
                block_on(session.next()).expect("a token");
            }
            let before = device.counters();
            for _ in 0..STEPS {
                block_on(session.next()).expect("a token");
            }
            let (after, submits) = (device.counters(), STEPS / per_submit as u64);
            assert_eq!(after.dispatches - before.dispatches, STEPS * plan.steps.len() as u64);
            assert_eq!(after.passes - before.passes, submits);
            assert_eq!(after.submits - before.submits, submits);
            assert!(after.bytes_up - before.bytes_up <= up * submits, "{} bytes up", after.bytes_up - before.bytes_up);
            assert!(
                after.bytes_down - before.bytes_down <= down * submits,
                "{} bytes down",
                after.bytes_down - before.bytes_down
            );
        }
    }
}

#[test]
fn a_short_prompt_dispatches_what_a_short_plan_would() {
    let model = block_on(Model::open(shipped(), &software())).expect("the shipped model");
    let wide = model.plan(Purpose::Prefill, 1).expect("a plan");
    // As short as a plan is that reads with the same kernels: for fewer tokens more of them are fused.
    let narrow =
        fastweight::generate::outline(model.architecture(), Purpose::Prefill, 8, software().caps()).expect("an outline").plan;
    let step = Step::new(vec![Sequence::new(0, 3)]);
    let total = |plan: &fastweight::plan::Plan| plan.grids(&step).iter().map(|g| u64::from(g[0]) * u64::from(g[1])).sum::<u64>();
    let full = Step::new(vec![Sequence::new(0, 256)]);
    println!("{} workgroups in the wide plan, {} in the narrow one", total(&wide), total(&narrow));
    assert_eq!(wide.grids(&step), narrow.grids(&step));
    assert!(total(&wide) < wide.grids(&full).iter().map(|g| u64::from(g[0]) * u64::from(g[1])).sum::<u64>() / 4);
}

#[test]
fn stop_strings_limits_and_cancel_end_the_text() {
    let model = open_shipped();
    let start = || {
        let mut session = session(&model);
        session.set_sampling(Sampling { seed: 3, ..Sampling::default() }).expect("valid options");
        let ids = model.tokenizer().and_then(|t| t.encode("Once upon a time there was a king who")).expect("ids");
        block_on(session.prefill(&ids)).expect("prefill");
        session
    };
    let whole = write(&mut start(), 60, false);
    // Every stop string cut out of the text itself ends it there, wherever the tokens break.
    let letters: Vec<usize> = whole.char_indices().map(|(i, _)| i).collect();
    for at in [10, 31, 50, 77] {
        let stop = whole[letters[at]..letters[at + 6]].to_string();
        let mut session = start();
        let mut writing = session.write(WritingOptions { predict: 60, stop: vec![stop.clone()], ..WritingOptions::default() });
        let mut text = String::new();
        while let Some(piece) = block_on(writing.next()).expect("a piece") {
            text.push_str(&piece.text);
        }
        assert_eq!(writing.finish_reason(), Some(Finish::Stop));
        assert_eq!(text, whole[..whole.find(&stop).expect("it was cut out of it")], "stop at {stop:?}");
    }
    let mut session = start();
    let cancel = session.cancel_handle();
    cancel.cancel();
    assert!(matches!(block_on(session.prefill(&[1, 2, 3])), Err(Error::Cancelled { taken: 0 })));
    cancel.clear();
    block_on(session.next()).expect("the session goes on");
}
