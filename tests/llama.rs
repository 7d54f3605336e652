//! Transformers: caches that grow with the text, in both of their types, and checkpoints that are refused.

use fastweight::device::Device;
use fastweight::error::Error;
use fastweight::generate::{LoadOptions, Model, Purpose, Sampling, Session, SnapshotError};
use fastweight::load::LoadError;
use fastweight::step::{Sequence, Step};
use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture};
use fastweight_tests::{devices, software};
use pollster::block_on;
use serde_json::{Value, json};

fn fixture(name: &str) -> Fixture {
    fixtures::llama().into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fixture {name}"))
}

fn load(fixture: &Fixture, device: &Device, context_size: Option<usize>, cache: Option<DType>) -> Model {
    let options = LoadOptions { context_size, cache, ..LoadOptions::default() };
    block_on(Model::load(fixture.opened(DType::F32), device, options)).unwrap_or_else(|e| panic!("{}: {e}", fixture.name))
}

fn session(model: &Model) -> Session {
    block_on(model.session()).expect("a session")
}

/// The likeliest token, and how far it is ahead of the next.
fn likeliest(logits: &[f32]) -> (u32, f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    (order[0] as u32, logits[order[0]] - logits[order[1]])
}

#[test]
fn decode_steps_draw_what_the_known_logits_say() {
    for (name, device) in devices() {
        for fixture in [fixture("llama3-long").truncated(300), fixture("one-wide-key-head"), fixture("authors")] {
            let model = load(&fixture, &device, None, None);
            let mut batch = block_on(model.batch(1)).expect("a batch");
            for (position, id) in fixture.ids.iter().enumerate() {
                let drawn = block_on(batch.decode(&[*id], &[Sampling::greedy()])).expect("a step");
                let (wanted, ahead) = likeliest(&fixture.logits[position]);
                assert!(drawn[0] == wanted || ahead < 2e-3, "{} on {name}, position {position}: {drawn:?}", fixture.name);
            }
        }
    }
}

#[test]
fn caches_over_the_binding_limit_are_divided_by_sequences() {
    let fixture = fixture("llama/gqa-untied");
    let whole = load(&fixture, &software(), None, None);
    for small in [Device::cpu(), software()].map(|d| d.with_caps(|caps| caps.binding_bytes = 128 << 10)) {
        let model = load(&fixture, &small, None, None);
        let plan = model.plan(Purpose::Prefill, 5).expect("a plan");
        assert!(plan.states.states.iter().any(|s| s.grows && s.parts.len() == 2), "{plan}");
        let ids: Vec<&[u32]> = (0..5).map(|s| &fixture.ids[s..20 + 3 * s]).collect();
        let mut batches = [&whole, &model].map(|m| block_on(m.batch(5)).expect("a batch"));
        let [wanted, found] = batches.each_mut().map(|b| block_on(b.logits(&ids)).expect("logits"));
        let worst = wanted.iter().flatten().zip(found.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < 1e-3, "{worst}");
        let next: Vec<u32> = wanted.iter().map(|logits| likeliest(&logits[logits.len() - 80..]).0).collect();
        let [wanted, found] = batches.each_mut().map(|b| block_on(b.decode(&next, &[Sampling::greedy(); 5])).expect("a step"));
        assert_eq!(wanted, found);
    }
}

#[test]
fn more_than_the_context_is_refused_and_changes_nothing() {
    let fixture = fixture("llama/gqa-untied");
    for (name, device) in devices() {
        let model = load(&fixture, &device, Some(20), None);
        assert_eq!(model.context_limit(), Some(20));
        let mut session = session(&model);
        block_on(session.logits(&fixture.ids[..15])).expect("logits");
        let error = block_on(session.logits(&fixture.ids[15..21])).expect_err("one too many");
        assert!(matches!(error, Error::Context { position: 15, wanted: 6, limit: 20 }), "{name}: {error}");
        let logits = block_on(session.logits(&fixture.ids[15..20])).expect("the context is just filled");
        let wanted = &fixture.logits[fixture.positions.iter().position(|p| *p == 17).expect("a known position")];
        let worst = logits[2 * wanted.len()..].iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < 1e-3, "{name}: {worst}");
        block_on(session.prefill(&fixture.ids[20..21])).expect("a pending token is not in the context yet");
        let error = block_on(session.next()).expect_err("no room to draw");
        assert!(matches!(error, Error::Context { position: 20, wanted: 1, limit: 20 }), "{name}: {error}");
    }
    for size in [0, (1 << 20) + 1] {
        let options = LoadOptions { context_size: Some(size), ..LoadOptions::default() };
        let error = block_on(Model::load(fixture.opened(DType::F32), &Device::cpu(), options)).err().expect("a bad size");
        assert!(matches!(error, Error::Option { name: "context size", .. }), "{error}");
    }
}

#[test]
fn snapshots_grow_with_the_text_and_go_on_in_other_caches() {
    let fixture = fixture("llama3-long");
    let (cpu, gpu) = (Device::cpu(), software());
    let full = load(&fixture, &cpu, None, None);
    let mut source = session(&full);
    let mut sizes = Vec::new();
    for end in [100, 200, 300] {
        block_on(source.logits(&fixture.ids[end - 100..end])).expect("logits");
        sizes.push(block_on(source.snapshot()).expect("a snapshot").len());
    }
    // 100 positions of keys and of values of two heads of 64; the rest of the file hardly grows.
    let grown = 100 * 2 * 2 * 64 * 4usize;
    assert!(sizes.windows(2).all(|two| (two[1] - two[0]).abs_diff(grown) < 64), "{sizes:?}");

    let saved = block_on(source.snapshot()).expect("a snapshot");
    for (name, device) in [("cpu", &cpu), ("software GPU", &gpu)] {
        let go_on = |cache, context, saved: &[u8]| {
            let model = load(&fixture, device, context, cache);
            let mut session = session(&model);
            block_on(session.restore(saved)).expect("a restore");
            let again = block_on(session.snapshot()).expect("a snapshot");
            let mut wanted = fixture.clone();
            wanted.positions = (0..20).collect();
            wanted.logits = fixture.logits[300..320].to_vec();
            (wanted.worst(&block_on(session.logits(&fixture.ids[300..320])).expect("logits")), again)
        };
        let (worst, again) = go_on(None, Some(320), &saved);
        assert!(worst <= fixture.bound && again == saved, "{name}: {worst}");
        let (worst, halves) = go_on(Some(DType::F16), None, &saved);
        println!("{name}: with a cache in f16 {worst:e}");
        assert!(worst <= 2e-3 && halves.len() < saved.len() * 6 / 10, "{name}: {worst}, {} bytes", halves.len());
        let (worst, _) = go_on(None, None, &halves);
        assert!(worst <= 2e-3, "{name}: {worst}");
        let (worst, again) = go_on(Some(DType::F16), None, &halves);
        assert!(worst <= 2e-3 && again == halves, "{name}: {worst}");
    }
    let small = load(&fixture, &cpu, Some(299), None);
    let mut session = session(&small);
    let error = block_on(session.restore(&saved)).expect_err("over the context");
    assert!(matches!(&error, Error::Snapshot(SnapshotError::Invalid { what, .. }) if what == "position"), "{error}");
    assert_eq!(session.len(), 0);
}

#[test]
fn a_cache_in_half_precision_changes_little() {
    for (name, device) in devices() {
        for fixture in fixtures::llama() {
            let model = load(&fixture, &device, None, Some(DType::F16));
            let worst = fixture.worst(&block_on(session(&model).logits(&fixture.ids)).expect("logits"));
            println!("{} on {name}: {worst:e}", fixture.name);
            assert!(worst > 0.0 && worst < 3e-3, "{} on {name}: {worst}", fixture.name);
        }
    }
    let fixture = fixture("llama/gqa-untied");
    let options = LoadOptions { cache: Some(DType::BF16), ..LoadOptions::default() };
    let error = block_on(Model::load(fixture.opened(DType::F32), &Device::cpu(), options)).err().expect("no such cache");
    assert!(matches!(error, Error::Option { name: "cache", .. }), "{error}");
}

#[test]
fn sessions_of_different_lengths_share_a_model_and_reset_and_fork() {
    let fixture = fixture("llama3-long").truncated(300);
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        let model = load(&fixture, &device, None, None);
        let (mut long, mut short) = (session(&model), session(&model));
        block_on(long.logits(&fixture.ids[..290])).expect("logits");
        let mut fork = block_on(long.fork()).expect("a fork");
        let tail = |session: &mut Session| block_on(session.logits(&fixture.ids[290..])).expect("logits");
        let wanted = tail(&mut long);
        block_on(long.reset()).expect("a reset");
        for session in [&mut long, &mut short] {
            let worst = fixture.clone().truncated(30).worst(&block_on(session.logits(&fixture.ids[..30])).expect("logits"));
            assert!(worst <= fixture.bound, "{name}: {worst}");
        }
        assert_eq!(tail(&mut fork), wanted, "{name}");
    }
}

#[test]
fn work_follows_the_live_context_and_decode_is_few_dispatches() {
    let fixture = fixture("llama/gqa-untied");
    let model = load(&fixture, &software(), None, None);
    let plan = model.plan(Purpose::Decode, 1).expect("a plan");
    // 6 a layer; embedding, history, last row, logits, penalty and draw around them.
    assert!(plan.steps.len() <= 6 * 3 + 6, "{plan}");
    let grids = |position| plan.grids(&Step::new(vec![Sequence::new(position, 1)]));
    assert_eq!(grids(3), grids(100));
    let (early, late): (Vec<_>, Vec<_>) = (grids(100), grids(200));
    let differ: Vec<_> = plan.steps.iter().zip(early.iter().zip(&late)).filter(|(_, (a, b))| a != b).collect();
    assert_eq!(differ.len(), 3);
    assert!(differ.iter().all(|(step, (a, b))| step.launch.file == "attend_append" && 2 * a[0] == b[0]));
}

/// Each change of a config or of its tensors that must be refused, and what the message must name.
#[test]
fn what_is_not_supported_is_refused_by_name() {
    let base = fixture("llama/gqa-untied");
    let configs: Vec<(&str, Value, &[&str])> = vec![
        ("model_type", json!("falcon"), &["falcon", "llama"]),
        ("hidden_act", json!("gelu"), &["hidden_act", "gelu", "silu"]),
        ("attention_bias", json!(true), &["attention_bias"]),
        ("mlp_bias", json!(true), &["mlp_bias"]),
        ("mlp_bias", json!(3), &["mlp_bias", "true or false"]),
        ("sliding_window", json!(4096), &["sliding_window", "4096"]),
        ("partial_rotary_factor", json!(0.5), &["partial_rotary_factor", "0.5"]),
        ("num_attention_heads", json!(5), &["q_proj", "96"]),
        ("num_attention_heads", json!(0), &["num_attention_heads", "0"]),
        ("num_attention_heads", json!(48), &["num_key_value_heads", "2", "16"]),
        ("num_attention_heads", Value::Null, &["num_attention_heads", "missing"]),
        ("num_key_value_heads", json!(3), &["num_key_value_heads", "3", "2"]),
        ("head_dim", json!(32), &["head_dim", "32", "16"]),
        ("vocab_size", json!(81), &["vocab_size", "81", "80"]),
        ("max_position_embeddings", json!(-1), &["max_position_embeddings", "-1"]),
        ("rope_theta", json!("much"), &["rope_theta", "much"]),
        ("rope_scaling", json!({"type": "yarn", "factor": 4.0}), &["rope_scaling.type", "yarn", "llama3"]),
        ("rope_scaling", json!({"rope_type": "linear"}), &["rope_scaling.factor", "missing"]),
        ("rope_scaling", json!({"rope_type": "linear", "factor": 0}), &["factor", "0"]),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), &["original_max_position_embeddings"]),
        ("rope_scaling", json!([1]), &["JSON object"]),
        (
            "rope_parameters",
            json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 64}),
            &["high_freq_factor", "4"],
        ),
        ("rope_factors", json!([1.0, 2.0]), &["rope_factors", "8 positive numbers"]),
        ("rope_interleaved", json!("yes"), &["rope_interleaved", "yes"]),
        ("tie_word_embeddings", json!(true), &["tie_word_embeddings", "lm_head.weight"]),
    ];
    let refuse = |fixture: &Fixture, names: &[&str]| {
        let error = block_on(Model::load(fixture.opened(DType::F32), &Device::cpu(), LoadOptions::default()));
        let error = error.err().unwrap_or_else(|| panic!("{} was accepted, {names:?}", fixture.config)).to_string();
        names.iter().for_each(|name| assert!(error.contains(name), "{error:?} does not name {name}"));
    };
    for (field, value, names) in configs {
        let mut fixture = base.clone();
        fixture.config[field] = value;
        refuse(&fixture, names);
    }
    let mut narrow = base.clone();
    (narrow.config["num_attention_heads"], narrow.config["num_key_value_heads"]) = (json!(48), json!(16));
    refuse(&narrow, &["the width of a head", "2", "a multiple of 4 up to 256"]);
    // A tensor with another shape; without any it is missing.
    let tensors: &[(&str, &[usize], &[&str])] = &[
        ("model.layers.1.self_attn.q_proj.bias", &[96], &["layers.1.self_attn.q_proj.bias", "without biases"]),
        ("model.layers.2.mlp.up_proj.weight", &[], &["layers.2.mlp.up_proj.weight"]),
        ("model.layers.1.self_attn.v_proj.weight", &[16, 96], &["v_proj.weight", "[16, 96]", "[32, 96]"]),
        ("model.layers.0.self_attn.k_proj.weight", &[40, 96], &["k_proj", "40"]),
        ("model.layers.0.self_attn.k_proj.weight", &[64, 96], &["num_key_value_heads"]),
        ("model.layers.0.self_attn.k_proj.weight", &[32, 3, 32], &["k_proj", "2 axes"]),
        ("model.layers.5000.mlp.up_proj.weight", &[1], &["num_hidden_layers", "5001"]),
        ("model.norm.weight", &[], &["model.norm.weight"]),
    ];
    for (name, shape, names) in tensors {
        let mut fixture = base.clone();
        match shape {
            [] => drop(fixture.tensors.remove(*name)),
            shape => drop(fixture.tensors.insert(name.to_string(), (shape.to_vec(), vec![0.5; shape.iter().product()]))),
        }
        refuse(&fixture, names);
    }
    // Without any config the heads of a Hugging Face checkpoint are not to be known.
    let mut opened = base.opened(DType::F32);
    opened.config = None;
    let error = fastweight::models::open(&opened.checkpoint, None).err().expect("no config");
    assert!(matches!(&error, LoadError::Invalid { what, .. } if what.contains("num_attention_heads")), "{error}");
}

#[test]
fn the_authors_transformer_is_known_by_its_tensors() {
    let mut fixture = fixture("authors");
    let shape = |shape: &[usize]| (shape.to_vec(), vec![0.5; shape.iter().product()]);
    fixture.tensors.retain(|name, _| !name.starts_with("model.layers.1."));
    for (name, tensor) in &mut fixture.tensors {
        // One of the published widths, whose heads the stream does not tell.
        *tensor = match name.rsplit('.').nth(1) {
            Some("embed_tokens") => shape(&[40, 768]),
            Some("gate_proj" | "up_proj") => shape(&[4, 768]),
            Some("down_proj") => shape(&[768, 4]),
            Some("norm" | "seq_norm" | "ffn_norm") => shape(&[768]),
            _ => shape(&[768, 768]),
        };
    }
    let opened = fixture.opened(DType::F32);
    let model = fastweight::models::open(&opened.checkpoint, None).expect("a Transformer");
    assert_eq!(model.family(), "llama");
    let sizes = model.sizes();
    for size in [("heads", "12"), ("kv_heads", "12"), ("head_dim", "64"), ("interleaved", "true"), ("layers", "1")] {
        assert!(sizes.contains(&(size.0, size.1.to_string())), "{size:?} among {sizes:?}");
    }
}
