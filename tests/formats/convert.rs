//! Whole models from one file to another: nothing is lost that the type can hold, and a session does not notice.

use std::collections::BTreeMap;

use fastweight::device::Device;
use fastweight::generate::{LoadOptions, Model};
use fastweight::load::{Checkpoint, safetensors};
use fastweight_tests::fixtures::{self, Fixture, shipped};
use fastweight_tests::{devices, software};
use serde_json::{Value as Json, json};

use super::*;

fn load(opened: Opened, device: &Device, dtype: Option<DType>) -> Model {
    block_on(Model::load(opened, device, LoadOptions { dtype, ..LoadOptions::default() })).unwrap_or_else(|e| panic!("{e}"))
}

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    block_on(block_on(model.session()).expect("a session").logits(ids)).expect("logits")
}

/// Every tensor of safetensors in memory, which are all f32.
fn tensors(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let source = MemorySource::new("model.safetensors", bytes.to_vec());
    let infos = block_on(safetensors::catalogue(&source, 0)).expect("a catalogue");
    let values = |info: &fastweight::load::TensorInfo| {
        let data = &bytes[info.offset as usize..][..info.bytes() as usize];
        data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    infos.into_iter().map(|(name, info)| (name, (info.shape.clone(), values(&info)))).collect()
}

/// A made checkpoint that no graph is built of.
fn made(config: Json, shapes: &[(&str, &[usize])]) -> Fixture {
    let values = |name: &str, len: usize| -> Vec<f32> {
        let number = |i: usize| ((i * 7919 + name.len() * 104_729) % 2003) as f32 / 1000.0 - 1.0;
        // The published start of A: the logarithms of 1, 2, …
        let log = |i: usize| ((i % 16 + 1) as f32).ln();
        (0..len).map(|i| if name.ends_with("A_log") { log(i) } else { number(i) }).collect()
    };
    let tensors = shapes.iter().map(|(name, shape)| (name.to_string(), (shape.to_vec(), values(name, shape.iter().product()))));
    Fixture {
        name: "made".into(),
        config,
        tensors: tensors.collect(),
        ids: vec![],
        positions: vec![],
        logits: vec![],
        bound: 0.0,
    }
}

fn llama() -> Fixture {
    let config = json!({
        "model_type": "llama", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
        "max_position_embeddings": 131072, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": [2, 3],
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    });
    let layer = "model.layers.0";
    let names = [
        ("self_attn.q_proj.weight", vec![32, 32]),
        ("self_attn.k_proj.weight", vec![16, 32]),
        ("self_attn.v_proj.weight", vec![16, 32]),
        ("self_attn.q_proj.bias", vec![32]),
        ("self_attn.o_proj.weight", vec![32, 32]),
        ("mlp.gate_proj.weight", vec![64, 32]),
        ("mlp.up_proj.weight", vec![64, 32]),
        ("mlp.down_proj.weight", vec![32, 64]),
        ("input_layernorm.weight", vec![32]),
        ("post_attention_layernorm.weight", vec![32]),
    ];
    let mut shapes: Vec<(String, Vec<usize>)> = names.into_iter().map(|(n, s)| (format!("{layer}.{n}"), s)).collect();
    shapes.push(("model.embed_tokens.weight".into(), vec![40, 32]));
    shapes.push(("model.norm.weight".into(), vec![32]));
    shapes.push(("lm_head.weight".into(), vec![40, 32]));
    let shapes: Vec<(&str, &[usize])> = shapes.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
    made(config, &shapes)
}

pub(super) fn mamba() -> Fixture {
    let config = json!({
        "model_type": "mamba", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "state_size": 16,
        "conv_kernel": 4, "time_step_rank": 2, "layer_norm_epsilon": 1e-5, "use_bias": false, "use_conv_bias": true,
    });
    let shapes: [(&str, &[usize]); 12] = [
        ("backbone.embeddings.weight", &[40, 32]),
        ("backbone.norm_f.weight", &[32]),
        ("backbone.layers.0.norm.weight", &[32]),
        ("backbone.layers.0.mixer.in_proj.weight", &[128, 32]),
        ("backbone.layers.0.mixer.conv1d.weight", &[64, 1, 4]),
        ("backbone.layers.0.mixer.conv1d.bias", &[64]),
        ("backbone.layers.0.mixer.x_proj.weight", &[34, 64]),
        ("backbone.layers.0.mixer.dt_proj.weight", &[64, 2]),
        ("backbone.layers.0.mixer.dt_proj.bias", &[64]),
        ("backbone.layers.0.mixer.A_log", &[64, 16]),
        ("backbone.layers.0.mixer.D", &[64]),
        ("backbone.layers.0.mixer.out_proj.weight", &[32, 64]),
    ];
    made(config, &shapes)
}

#[test]
fn through_a_gguf_and_back_every_tensor_is_the_same() {
    let mut fixtures = fixtures::golden();
    fixtures.extend(fixtures::made_cases());
    fixtures.extend(fixtures::llama());
    fixtures.extend([llama(), mamba()]);
    // A GGUF of Mamba-2 is not written; what comes in the order of the interleaved rotation comes back in the other.
    fixtures.retain(|f| f.config["model_type"] != "mamba2" && !["interleaved", "authors"].contains(&f.name.as_str()));
    for fixture in fixtures {
        let name = &fixture.name;
        let opened =
            open(written(&fixture.opened(DType::F32), Container::Gguf, DType::F32)).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Once more into a GGUF, and out of that.
        let again = open(written(&opened, Container::Gguf, DType::F32)).unwrap_or_else(|e| panic!("{name}: {e}"));
        for from in [&opened, &again] {
            let back = tensors(&written(from, Container::Safetensors, DType::F32));
            assert_eq!(back.keys().collect::<Vec<_>>(), fixture.tensors.keys().collect::<Vec<_>>(), "{name}");
            for (tensor, (shape, values)) in &fixture.tensors {
                assert_eq!(&back[tensor].0, shape, "{name} {tensor}");
                // What comes back from a power is the number itself where f32 can tell it from its neighbours.
                let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || tensor.ends_with("A_log") && (a - b).abs() < 6e-8;
                let differs = back[tensor].1.iter().zip(values).position(|(a, b)| !same(*a, *b));
                assert_eq!(differs, None, "{name} {tensor}");
            }
        }
        let config = opened.config.expect("a config");
        for (field, wanted) in fixture.config.as_object().expect("an object") {
            if let Some(found) = config.get(field) {
                let same = found == wanted || found.as_f64().is_some() && found.as_f64() == wanted.as_f64();
                // The type's name and a scaling's have several spellings; that they mean the same, the logits show.
                assert!(
                    same || field == "model_type" || field.starts_with("rope_"),
                    "{name}: {field} is {found}, wanted {wanted}"
                );
            }
        }
    }
}

#[test]
fn transformers_and_mamba_compute_the_same_from_a_gguf() {
    let mut fixtures = fixtures::llama();
    fixtures.push(fixtures::golden_mamba());
    for fixture in fixtures {
        let name = &fixture.name;
        let opened =
            open(written(&fixture.opened(DType::F32), Container::Gguf, DType::F32)).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Back in safetensors the rows are in the usual order again.
        let bytes = written(&opened, Container::Safetensors, DType::F32);
        let config: Json = {
            let conversion = Conversion::new(&opened, Container::Safetensors, DType::F32).expect("a conversion");
            let (_, config) = conversion.beside().iter().find(|(name, _)| *name == "config.json").expect("a config");
            serde_json::from_slice(config).expect("JSON")
        };
        assert!(config.get("rope_interleaved").is_none(), "{name}");
        let back = Fixture { tensors: tensors(&bytes), config, ..fixture.clone() };
        for (what, opened) in [("a GGUF", opened), ("safetensors", back.opened(DType::F32))] {
            let worst = fixture.worst(&logits(&load(opened, &Device::cpu(), None), &fixture.ids));
            assert!(worst <= fixture.bound, "{name} from {what}: {worst}");
        }
    }
}

#[test]
fn a_config_says_all_that_a_model_needs() {
    let config = |fixture: Fixture| {
        let opened = open(written(&fixture.opened(DType::F32), Container::Gguf, DType::F16)).expect("it opens");
        opened.config.expect("a config")
    };
    let llama_config = config(llama());
    let wanted = json!({
        "model_type": "llama", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
        "rope_interleaved": true, "max_position_embeddings": 131072, "tie_word_embeddings": false, "attention_bias": true,
        "rope_scaling": llama().config["rope_scaling"],
    });
    for (field, wanted) in wanted.as_object().expect("an object") {
        assert_eq!(&llama_config[field], wanted, "{field}");
    }
    let mamba_config = config(mamba());
    for (field, wanted) in mamba().config.as_object().expect("an object") {
        assert_eq!(&mamba_config[field], wanted, "{field}");
    }
    assert_eq!(mamba_config["tie_word_embeddings"], true);
}

#[test]
fn llamas_rows_lie_as_llama_cpp_wants_them() {
    let fixture = llama();
    let opened = open(written(&fixture.opened(DType::F32), Container::Gguf, DType::F32)).expect("it opens");
    let info = &opened.checkpoint.tensors["model.layers.0.self_attn.k_proj.weight"];
    let bytes = block_on(opened.checkpoint.sources[0].read(info.offset, info.bytes() as usize)).expect("bytes");
    let found: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (_, original) = &fixture.tensors["model.layers.0.self_attn.k_proj.weight"];
    // Two heads of eight rows: pair i of a head, rows i and i + 4, comes to rows 2 i and 2 i + 1.
    for (head, i, half) in (0..2).flat_map(|h| (0..4).flat_map(move |i| (0..2).map(move |half| (h, i, half)))) {
        let (to, from) = (head * 8 + 2 * i + half, head * 8 + i + 4 * half);
        assert_eq!(found[to * 32..][..32], original[from * 32..][..32], "row {to}");
    }
}

#[test]
fn a_state_knows_no_format_and_no_file() {
    let opened = || block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
    let device = Device::cpu();
    let original = load(opened(), &device, None);
    let ids: Vec<u32> = (0..40).map(|i| i * 97 % 4096).collect();
    let mut session = block_on(original.session()).expect("a session");
    block_on(session.prefill(&ids)).expect("prefill");
    let state = block_on(session.snapshot()).expect("a snapshot");
    for dtype in DType::WEIGHTS {
        let other = load(open(written(&opened(), Container::Gguf, dtype)).expect("it opens"), &device, None);
        assert_eq!(other.fingerprint(), original.fingerprint(), "a GGUF in {dtype}");
        assert_eq!(other.end_tokens(), original.end_tokens());
        let held = load(opened(), &device, Some(dtype));
        assert_eq!(held.fingerprint(), original.fingerprint(), "held in {dtype}");
        let mut session = block_on(held.session()).expect("a session");
        block_on(session.restore(&state)).expect("the state fits");
        block_on(session.next()).expect("a token");
        // What is held, and what a file of that type gives, are the same numbers.
        expect_same(&logits(&held, &ids), &logits(&other, &ids), dtype);
    }
}

/// The same numbers, but for the order of sums: matrix products may differ in it from run to run.
fn expect_same(found: &[f32], wanted: &[f32], dtype: DType) {
    let scale = wanted.iter().fold(1f32, |m, x| m.max(x.abs()));
    let worst = found.iter().zip(wanted).fold(0f32, |m, (a, b)| m.max((a - b).abs() / scale));
    assert!(worst <= 1e-5, "{dtype}: {worst}");
}

#[test]
fn every_type_gives_about_the_same_logits_on_every_device() {
    let fixture = fixtures::golden().swap_remove(1);
    for (name, device) in devices() {
        // The golden models are random and small, which no format likes; f16 is what nothing is lost with.
        for (dtype, bound) in [(DType::F16, 5e-3), (DType::Q8_0, 5e-2), (DType::Q4_1, 0.6), (DType::Q4_0, 0.6)] {
            let worst = fixture.worst(&logits(&load(fixture.opened(DType::F32), &device, Some(dtype)), &fixture.ids));
            println!("{dtype} on {name}: {worst}");
            assert!(worst <= bound, "{dtype} on {name}: {worst}");
        }
    }
}

#[test]
fn devices_agree_on_quantised_weights() {
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        for fixture in fixtures::made_cases().into_iter().take(3) {
            let of = |device: &Device| logits(&load(fixture.opened(DType::F32), device, Some(dtype)), &fixture.ids);
            let (cpu, gpu) = (of(&Device::cpu()), of(&software()));
            let scale = cpu.iter().fold(1f32, |m, x| m.max(x.abs()));
            let worst = cpu.iter().zip(&gpu).fold(0f32, |m, (a, b)| m.max((a - b).abs() / scale));
            assert!(worst <= 2e-4, "{dtype}, {}: {worst}", fixture.name);
        }
    }
}

#[test]
fn quantised_weights_take_their_bytes() {
    let opened = block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
    let bytes = |dtype| written(&opened, Container::Gguf, dtype).len();
    let (half, eight, four) = (bytes(DType::F16), bytes(DType::Q8_0), bytes(DType::Q4_0));
    assert!(eight < half * 6 / 10 && four < eight * 65 / 100, "{half}, {eight}, {four}");
}

#[test]
fn what_can_not_be_written_is_named() {
    let fails = |opened: &Opened, container, dtype: DType, words: &[&str]| {
        let error = Conversion::new(opened, container, dtype).err().expect("no conversion").to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    };
    fails(&mamba().opened(DType::F32), Container::Safetensors, DType::Q8_0, &["q8_0", ".gguf"]);
    let mut other = mamba();
    other.config["model_type"] = json!("griffin");
    fails(&other.opened(DType::F32), Container::Gguf, DType::F32, &["griffin", "llama, mamba, ttt"]);
    fails(&other.opened(DType::F32), Container::Safetensors, DType::F32, &["griffin"]);
    let mut other = mamba();
    other.tensors.insert("backbone.extra".into(), (vec![1], vec![0.0]));
    fails(&other.opened(DType::F32), Container::Gguf, DType::F32, &["backbone.extra"]);
    let mut other = llama();
    other.config["rope_scaling"]["rope_type"] = json!("yarn");
    fails(&other.opened(DType::F32), Container::Gguf, DType::F32, &["yarn", "llama3"]);
    let mut other = llama();
    other.config.as_object_mut().expect("an object").remove("max_position_embeddings");
    fails(&other.opened(DType::F32), Container::Gguf, DType::F32, &["max_position_embeddings"]);
    // A file without tensors is none.
    let empty = Opened {
        checkpoint: Checkpoint { sources: vec![], tensors: BTreeMap::new(), dtype: None },
        ..mamba().opened(DType::F32)
    };
    fails(&empty, Container::Gguf, DType::F32, &["embeddings"]);
}
