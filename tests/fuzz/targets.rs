//! What each fuzz target does with its bytes. `cargo fuzz` runs this on what it makes up, the test `hostile` on the corpus.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use fastweight::blocks::{Format, decode};
use fastweight::device::Choice;
use fastweight::generate::StateFile;
use fastweight::load::{Checkpoint, MemorySource, TensorInfo, gguf, safetensors, stream};
use fastweight::models::{self, ttt::Config};
use fastweight::tensor::DType;
use fastweight::text::{Message, Template};
use pollster::block_on;
use serde_json::Value;

/// Gives `data` to a target, which panics if a promise is broken.
pub(crate) fn run(target: &str, data: &[u8]) {
    match target {
        "safetensors" => safetensors_file(data),
        "stream" => stream_file(data),
        "state" => state(data),
        "config" => config(data),
        "choice" => choice(data),
        "gguf" => gguf_file(data),
        "blocks" => blocks(data),
        "template" => template(data),
        other => panic!("no fuzz target is named {other}"),
    }
}

/// Every tensor lies within the file, from `first` to `end`.
fn expect_within(tensors: &BTreeMap<String, TensorInfo>, first: u64, end: u64) {
    for (name, info) in tensors {
        let after = info.offset.checked_add(info.bytes()).expect("a tensor ends somewhere");
        assert!(first <= info.offset && after <= end, "{name} at {}..{after} is outside {first}..{end}", info.offset);
    }
}

/// The bytes as a chat template: read or refused, and filled in or refused.
fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let talk = [("system", "Be brief."), ("user", "Who?"), ("assistant", "I."), ("user", "Why?")];
    let messages = talk.map(|(role, content)| Message::new(role, content));
    if let Ok(template) = Template::parse("fuzz", source, Some("<s>".into()), None) {
        let _ = template.render(&messages);
    }
}

/// The bytes as a header, as a whole file and as an index.
fn safetensors_file(data: &[u8]) {
    const AVAILABLE: u64 = 1 << 16;
    let first = 8 + data.len() as u64;
    if let Ok(tensors) = safetensors::parse("fuzz", data, AVAILABLE, first, 0) {
        expect_within(&tensors, first, first + AVAILABLE);
        let mut ranges: Vec<_> = tensors.values().filter(|t| !t.is_empty()).map(|t| (t.offset, t.offset + t.bytes())).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "tensors overlap: {ranges:?}");
    }
    if let Ok(tensors) = block_on(safetensors::catalogue(&MemorySource::new("fuzz", data.to_vec()), 0)) {
        expect_within(&tensors, 8, data.len() as u64);
    }
    if let Ok(files) = safetensors::index_files("fuzz", data) {
        for file in files {
            let parts: Vec<_> = Path::new(&file).components().collect();
            assert!(matches!(parts[..], [Component::Normal(_)]), "{file:?} is no file beside the index");
        }
    }
}

/// The bytes as a pair's head, as an array's head and as a whole stream.
fn stream_file(data: &[u8]) {
    if let Ok(head) = stream::pair_head(data) {
        assert!(head.content <= data.len() as u64, "the head of a pair ends after its bytes");
    }
    if let Ok(head) = stream::array_head(data) {
        assert!(head.data <= data.len() as u64, "the head of an array ends after its bytes");
    }
    if let Ok(tensors) = block_on(stream::catalogue(&MemorySource::new("fuzz", data.to_vec()))) {
        expect_within(&tensors, 0, data.len() as u64);
        let mut ranges: Vec<_> = tensors.values().map(|t| (t.offset, t.offset + t.bytes())).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "tensors overlap: {ranges:?}");
    }
}

/// The bytes as they are; with a right checksum in place of the last four; and as a state's head alone.
fn state(data: &[u8]) {
    round_trip(data);
    let body = &data[..data.len().saturating_sub(4)];
    round_trip(&with_checksum(body));
    let length = (data.len() as u32).to_le_bytes();
    round_trip(&with_checksum(&[b"FWSTATE\0", &1u32.to_le_bytes()[..], &length, data].concat()));
}

fn round_trip(bytes: &[u8]) {
    if let Ok(file) = StateFile::parse(bytes) {
        let again = StateFile::parse(&file.to_bytes()).expect("what was parsed can be written and parsed again");
        assert_eq!(again, file, "a state changes when it is written again");
    }
}

/// Bytes with their checksum behind them.
pub(crate) fn with_checksum(body: &[u8]) -> Vec<u8> {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let crc = body.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    [body, &(!crc).to_le_bytes()].concat()
}

/// The bytes as the config of two small models: the plainest, and one with everything.
fn config(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(data) else { return };
    for full in [false, true] {
        let checkpoint = small_model(full);
        if let Ok(config) = Config::read(&checkpoint, Some(&json)) {
            let numbers = [f64::from(config.base_lr), f64::from(config.rms_eps), config.rope_theta];
            assert!(numbers.iter().all(|x| *x > 0.0 && x.is_finite()), "numbers out of range: {config:?}");
            assert_eq!(
                (config.vocabulary, config.hidden, config.layers, config.heads),
                (8, 8, 1, 2),
                "sizes that the tensors don't have"
            );
            config.check_tensors(&checkpoint).expect("the tensors fit the sizes that were read from them");
        }
        if let Ok(model) = models::open(&checkpoint, Some(&json)) {
            assert_eq!(model.vocabulary(), 8, "the vocabulary of the embedding");
        }
    }
}

/// The catalogue of a model with 8 tokens, width 8, 2 heads and one layer.
fn small_model(full: bool) -> Checkpoint {
    let mut tensors = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| {
        tensors.insert(name.to_string(), TensorInfo::plain(DType::F32, shape.to_vec(), 0, 0));
    };
    let wide = if full { 16 } else { 4 };
    add("model.embed_tokens.weight", &[8, 8]);
    add("model.norm.weight", &[8]);
    let mut layer = |name: &str, shape: &[usize]| add(&format!("model.layers.0.{name}"), shape);
    for (name, shape) in [
        ("seq_norm", &[8][..]),
        ("ffn_norm", &[8]),
        ("mlp.gate_proj", &[12, 8]),
        ("mlp.up_proj", &[12, 8]),
        ("mlp.down_proj", &[8, 12]),
    ] {
        layer(&format!("{name}.weight"), shape);
    }
    let mut block = |name: &str, shape: &[usize]| layer(&format!("seq_modeling_block.{name}"), shape);
    for name in ["q_proj", "v_proj", "o_proj", if full { "g_proj" } else { "k_proj" }] {
        block(&format!("{name}.weight"), &[8, 8]);
    }
    for (name, shape) in [
        ("post_norm.weight", &[8][..]),
        ("post_norm.bias", &[8]),
        ("learnable_token_idx", &[16]),
        ("learnable_ttt_lr_weight", &[2, 1, 8]),
        ("learnable_ttt_lr_bias", &[2, 1]),
        ("ttt_norm_weight", &[2, 4]),
        ("ttt_norm_bias", &[2, 4]),
        ("W1", &[2, 4, wide]),
        ("b1", &[2, 1, wide]),
    ] {
        block(name, shape);
    }
    if full {
        block("W2", &[2, wide, 4]);
        block("b2", &[2, 1, 4]);
        for name in ["conv_q", "conv_k"] {
            block(&format!("{name}.weight"), &[8, 1, 4]);
            block(&format!("{name}.bias"), &[8]);
        }
        layer("conv.norm.weight", &[8]);
        layer("conv.conv.weight", &[8, 1, 4]);
        layer("conv.conv.bias", &[8]);
        add("lm_head.weight", &[8, 8]);
    }
    Checkpoint { sources: Vec::new(), tensors, dtype: None }
}

/// The bytes as the choice of a device: what is understood is printed so that it is understood again.
fn choice(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(choice) = text.parse::<Choice>() {
        let again: Choice = choice.to_string().parse().expect("a printed choice can be read");
        assert_eq!(again, choice, "a choice changes when it is printed");
    }
}

/// The bytes as a whole GGUF: its head, its tensors' places, its config and its tokenizer.
fn gguf_file(data: &[u8]) {
    if let Ok(head) = gguf::parse("fuzz", data, data.len() as u64) {
        let range = |t: &gguf::Entry| (t.offset, t.offset + t.format.bytes_of(t.shape.iter().product()));
        let mut ranges: Vec<_> = head.tensors.iter().map(range).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "tensors overlap: {ranges:?}");
        assert!(ranges.last().is_none_or(|last| last.1 <= data.len() as u64), "a tensor is outside the file");
        if let Ok(tokens) = gguf::tokenizer::Tokens::read("fuzz", &head.metadata) {
            let _ = gguf::tokenizer::json("fuzz", &head.metadata, &tokens);
        }
    }
    if let Ok(opened) = block_on(gguf::open(Box::new(MemorySource::new("fuzz", data.to_vec())))) {
        expect_within(&opened.checkpoint.tensors, 0, data.len() as u64);
        let _ = models::open(&opened.checkpoint, opened.config.as_ref());
    }
}

/// The bytes as whole blocks of each format: as many numbers as there should be, and none from nothing.
fn blocks(data: &[u8]) {
    for format in Format::ALL {
        let (len, size) = format.block();
        let mut values = vec![0.0; data.len() / size * len];
        decode(format, &data[..data.len() / size * size], &mut values);
        assert!(data.iter().any(|byte| *byte != 0) || values.iter().all(|x| x.abs() == 0.0), "{format}: zeros are {values:?}");
    }
}
