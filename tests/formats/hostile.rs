//! GGUFs from strangers: every lie is an error that names it, and nothing is believed before the bytes bear it out.

use fastweight::load::LoadError;
use fastweight::load::gguf::Value;
use fastweight_tests::{Random, fixtures};

use super::*;

/// A GGUF put together by hand.
#[derive(Clone)]
struct File {
    version: u32,
    /// The counts in the head, where they lie.
    counts: Option<(u64, u64)>,
    values: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl File {
    /// A tiny Mamba, which opens.
    fn new() -> File {
        let mut file = File { version: 3, counts: None, values: Vec::new(), tensors: Vec::new(), data: 0 };
        file.values.push(("general.architecture".into(), 8, text("mamba")));
        for (key, value) in [
            ("block_count", 1),
            ("embedding_length", 32),
            ("ssm.inner_size", 64),
            ("ssm.state_size", 4),
            ("ssm.conv_kernel", 4),
            ("ssm.time_step_rank", 2),
        ] {
            file.values.push((format!("mamba.{key}"), 4, u32::to_le_bytes(value).to_vec()));
        }
        file.tensor("token_embd.weight", &[32, 10], 0, 1280);
        file.tensor("output_norm.weight", &[32], 0, 128);
        file
    }

    fn tensor(&mut self, name: &str, sizes: &[u64], kind: u32, bytes: usize) {
        self.tensors.push((name.into(), sizes.to_vec(), kind, self.data as u64));
        self.data += bytes.next_multiple_of(32);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        let (tensors, values) = self.counts.unwrap_or((self.tensors.len() as u64, self.values.len() as u64));
        out.extend(tensors.to_le_bytes());
        out.extend(values.to_le_bytes());
        for (key, kind, value) in &self.values {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, sizes, kind, offset) in &self.tensors {
            out.extend(text(name));
            out.extend((sizes.len() as u32).to_le_bytes());
            sizes.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }

    fn value(mut self, key: &str, kind: u32, bytes: impl Into<Vec<u8>>) -> File {
        self.values.retain(|(k, _, _)| k != key);
        self.values.push((key.into(), kind, bytes.into()));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut File)) -> File {
        change(&mut self);
        self
    }
}

/// The bytes of an array's head.
fn array(kind: u32, count: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

#[track_caller]
fn refused(bytes: Vec<u8>, words: &[&str]) {
    let error = match open(bytes) {
        Ok(_) => panic!("it opens; wanted {words:?}"),
        Err(e) => e.to_string(),
    };
    words.iter().for_each(|word| assert!(error.contains(word), "{error:?} lacks {word:?}"));
}

#[test]
fn the_untouched_file_opens() {
    for version in [2, 3] {
        let opened = open(File::new().with(|f| f.version = version).bytes()).expect("it opens");
        assert_eq!(opened.checkpoint.tensors.len(), 2);
    }
}

#[test]
fn every_lie_is_named() {
    let file = File::new;
    let bytes = |f: File| f.bytes();
    refused(b"<!DOCTYPE html><html>".to_vec(), &["the beginning", "GGUF"]);
    refused(Vec::new(), &["ends after 0 bytes"]);
    refused(bytes(file().with(|f| f.version = 1)), &["version is 1", "2 or 3"]);
    refused(bytes(file().with(|f| f.version = 3u32.swap_bytes())), &["big-endian"]);
    refused(bytes(file().with(|f| f.counts = Some((2, u64::MAX)))), &["the head"]);
    refused(bytes(file().with(|f| f.counts = Some((u64::MAX, 7)))), &["model.gguf"]);
    refused(bytes(file().value("general.architecture", 8, text("griffin"))), &["griffin", "llama, mamba, ttt"]);
    refused(bytes(file().with(|f| drop(f.values.remove(0)))), &["general.architecture", "missing"]);
    refused(bytes(file().value("x", 13, [])), &["type of x is 13"]);
    refused(bytes(file().value("x", 7, [2])), &["truth value of x"]);
    refused(bytes(file().value("x", 8, (u64::MAX).to_le_bytes())), &["the head"]);
    refused(bytes(file().value("x", 8, [&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat())), &["the text of x", "UTF-8"]);
    refused(bytes(file().value("x", 9, array(4, u64::MAX))), &["the head"]);
    refused(bytes(file().value("x", 9, array(10, 1 << 61))), &["the head"]);
    refused(bytes(file().value("x", 9, array(99, 1))), &["element type of x is 99"]);
    refused(bytes(file().value("x", 9, array(8, u64::MAX))), &["the head"]);
    refused(bytes(file().value("x", 9, array(9, 1).repeat(5))), &["the nesting of x"]);
    refused(bytes(file().value("x", 9, [array(9, 1 << 40), array(9, 1 << 40)].concat())), &["model.gguf"]);
    refused(bytes(file().with(|f| f.values.push(f.values[1].clone()))), &["mamba.block_count", "there twice"]);
    for alignment in [0u32, 3, 48, u32::MAX] {
        refused(bytes(file().value("general.alignment", 4, alignment.to_le_bytes())), &["general.alignment"]);
    }
    refused(bytes(file().value("split.count", 2, 3u16.to_le_bytes())), &["3 parts", "merge"]);
    // The catalogue.
    let second = |change: fn(&mut (String, Vec<u64>, u32, u64))| bytes(file().with(|f| change(&mut f.tensors[1])));
    refused(second(|t| t.0.clear()), &["the name of tensor 1"]);
    refused(second(|t| t.0 = "x".repeat(300)), &["300 bytes"]);
    refused(second(|t| t.0 = "token_embd.weight".into()), &["token_embd.weight", "there twice"]);
    refused(second(|t| t.0 = "blk.0.attn_qkv.weight".into()), &["blk.0.attn_qkv.weight", "blk.N.ssm_in.weight"]);
    refused(second(|t| t.0 = "blk.00.ssm_d".into()), &["blk.00.ssm_d"]);
    refused(second(|t| t.0 = "blk.7.ssm_d".into()), &["blk.7.ssm_d", "block_count"]);
    refused(second(|t| t.1.clear()), &["axes of output_norm.weight"]);
    refused(second(|t| t.1 = vec![1; 5]), &["axes of output_norm.weight"]);
    refused(second(|t| t.1 = vec![0]), &["shape of output_norm.weight"]);
    refused(second(|t| t.1 = vec![1 << 32, 1 << 32]), &["shape of output_norm.weight"]);
    refused(second(|t| t.1 = vec![u64::MAX]), &["shape of output_norm.weight"]);
    refused(second(|t| t.1 = vec![64]), &["needed for output_norm.weight"]);
    refused(second(|t| t.2 = 13), &["q5_k", "q4_k, q6_k"]);
    refused(second(|t| t.2 = 777), &["number 777"]);
    refused(second(|t| (t.1, t.2) = (vec![48], 8)), &["whole blocks of 32", "q8_0"]);
    refused(second(|t| t.3 = 1281), &["offset of output_norm.weight"]);
    refused(second(|t| t.3 = u64::MAX - 31), &["output_norm.weight"]);
    refused(second(|t| t.3 = 1 << 40), &["needed for output_norm.weight"]);
    refused(second(|t| t.3 = 32), &["output_norm.weight", "within that of token_embd.weight"]);
    refused(bytes(file().with(|f| drop(f.tensors.remove(0)))), &["token_embd.weight"]);
    refused(bytes(file().with(|f| f.tensors[0].1 = vec![320])), &["shape of token_embd.weight"]);
    // The sizes.
    let size = |key: &str, n: u32| bytes(file().value(key, 4, n.to_le_bytes()));
    refused(size("mamba.block_count", 0), &["mamba.block_count"]);
    refused(size("mamba.block_count", u32::MAX), &["mamba.block_count", "10000"]);
    refused(size("mamba.vocab_size", 11), &["mamba.vocab_size", "10"]);
    refused(bytes(file().value("mamba.block_count", 8, text("one"))), &["mamba.block_count", "\"one\""]);
    refused(bytes(file().value("mamba.ssm.dt_b_c_rms", 7, [1])), &["dt_b_c_rms"]);
    refused(bytes(file().value("mamba.attention.layer_norm_rms_epsilon", 6, f32::NAN.to_le_bytes())), &["epsilon"]);
}

/// A Llama of one tensor, whose sizes are looked at before its tensors are missed.
fn llama(more: &[(&str, Value)]) -> File {
    let mut file = File::new();
    file.values.clear();
    file = file.value("general.architecture", 8, text("llama"));
    for (key, n) in [("block_count", 1), ("embedding_length", 32), ("feed_forward_length", 64), ("attention.head_count", 4)] {
        file = file.value(&format!("llama.{key}"), 4, u32::to_le_bytes(n));
    }
    file = file.value("llama.attention.layer_norm_rms_epsilon", 6, 1e-5f32.to_le_bytes());
    for (key, value) in more {
        file = match value {
            Value::U32(n) => file.value(key, 4, n.to_le_bytes()),
            Value::F32(x) => file.value(key, 6, x.to_le_bytes()),
            Value::String(s) => file.value(key, 8, text(s)),
            _ => unreachable!("the cases have no others"),
        };
    }
    file
}

#[test]
fn llamas_that_are_not_supported_are_refused_by_name() {
    assert_eq!(open(llama(&[]).bytes()).expect("it opens").config.expect("a config")["head_dim"], 8);
    let linear = [("llama.rope.scaling.type", Value::String("linear".into())), ("llama.rope.scaling.factor", Value::F32(4.0))];
    let config = open(llama(&linear).bytes()).expect("it opens").config.expect("a config");
    assert_eq!(config["rope_scaling"], serde_json::json!({ "rope_type": "linear", "factor": 4.0 }));
    for (key, value, words) in [
        ("llama.expert_count", Value::U32(8), ["expert_count", "8"]),
        ("llama.rope.dimension_count", Value::U32(4), ["rope.dimension_count", "8"]),
        ("llama.attention.value_length", Value::U32(16), ["value_length", "8"]),
        ("llama.rope.scaling.type", Value::String("yarn".into()), ["yarn", "linear"]),
        ("llama.rope.freq_base", Value::F32(-1.0), ["freq_base", "positive"]),
        ("llama.attention.head_count", Value::U32(0), ["head_count", "missing"]),
    ] {
        refused(llama(&[(key, value)]).bytes(), &words);
    }
    // Divisors of the frequencies that no config has.
    let mut file = llama(&[]);
    file.tensor("rope_freqs.weight", &[4], 0, 16);
    refused(file.bytes(), &["rope_freqs.weight", "Llama 3"]);
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    let bytes = File::new().bytes();
    for end in 0..bytes.len() {
        match open(bytes[..end].to_vec()) {
            Err(LoadError::Truncated { found, wanted, .. }) => assert!(found == end as u64 && wanted > found, "cut at {end}"),
            Err(other) => panic!("cut at {end}: {other}"),
            Ok(_) => panic!("cut at {end} it opens"),
        }
    }
}

#[test]
fn a_changed_byte_is_no_panic() {
    let mut random = Random::new();
    let fixture = fixtures::golden().swap_remove(0);
    let pieces = std::fs::read(fixtures::path("gguf/pieces.gguf")).expect("the fixture");
    for bytes in [File::new().bytes(), written(&fixture.opened(DType::F32), Container::Gguf, DType::Q4_0), pieces] {
        let head = bytes.len().min(12_000);
        for _ in 0..3000 {
            let mut bytes = bytes.clone();
            for _ in 0..random.within(1, 4) {
                let (at, value) = (random.within(0, head - 1), random.bits() as u8);
                bytes[at] = *random.pick(&[value, 0, 0xff, 0x7f, 0x80]);
            }
            // Whether it opens or not: what it says of itself is looked at once more by the model.
            if let Ok(opened) = open(bytes) {
                let _ = fastweight::models::open(&opened.checkpoint, opened.config.as_ref());
            }
        }
    }
}

#[test]
fn scales_that_are_no_numbers_are_refused() {
    let fixture = fixtures::golden().swap_remove(0);
    let mut bytes = written(&fixture.opened(DType::F32), Container::Gguf, DType::Q8_0);
    let info = open(bytes.clone()).expect("it opens").checkpoint.tensors["model.embed_tokens.weight"].clone();
    // The scale of the table's second block is an infinity.
    bytes[info.offset as usize + 34..][..2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let device = fastweight::device::Device::cpu();
    for dtype in [None, Some(DType::F32)] {
        let options = fastweight::generate::LoadOptions { dtype, ..Default::default() };
        let loaded = block_on(fastweight::generate::Model::load(open(bytes.clone()).expect("it opens"), &device, options));
        let error = loaded.err().expect("it is refused").to_string();
        assert!(error.contains("model.embed_tokens.weight is not finite at element 32"), "{error}");
    }
}
