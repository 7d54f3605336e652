//! Tokenizers that a GGUF's arrays describe, against the tools that they come from.

use std::collections::BTreeMap;

use fastweight::load::gguf::{self, Array, Value, tokenizer};
use fastweight::text::Tokenizer;
use fastweight_tests::fixtures::{self, shipped};
use pollster::block_on;

use super::*;

fn build(metadata: &BTreeMap<String, Value>) -> Result<Tokenizer, String> {
    let tokens = tokenizer::Tokens::read("file", metadata).map_err(|e| e.to_string())?;
    let json = tokenizer::json("file", metadata, &tokens).map_err(|e| e.to_string())?.ok_or("no tokenizer")?;
    Tokenizer::parse("file", &json, 1 << 20).map_err(|e| e.to_string())
}

#[test]
fn pieces_with_scores_are_sentence_piece() {
    let bytes = std::fs::read(fixtures::path("gguf/pieces.gguf")).expect("the fixture");
    let head = gguf::parse("pieces.gguf", &bytes, bytes.len() as u64).expect("a head");
    let tokenizer = build(&head.metadata).expect("a tokenizer");
    let samples = std::fs::read(fixtures::path("gguf/pieces.json")).expect("the fixture");
    let samples: Vec<serde_json::Value> = serde_json::from_slice(&samples).expect("JSON");
    assert!(samples.len() > 10);
    for sample in samples {
        let text = sample["text"].as_str().expect("a text");
        let wanted: Vec<u32> = serde_json::from_value(sample["ids"].clone()).expect("ids");
        assert_eq!(tokenizer.encode(text).expect("ids"), wanted, "{text:?}");
        let decoded = tokenizer.decode(&wanted[1..]).expect("a text");
        assert_eq!(Some(&decoded[..]), sample["decoded"].as_str(), "back from ids");
    }
}

#[test]
fn the_shipped_tokenizer_survives_as_arrays() {
    let opened = block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
    let original = Tokenizer::parse("tokenizer.json", opened.tokenizer.as_ref().expect("it has one"), 4096).expect("a tokenizer");
    let bytes = written(&opened, Container::Gguf, DType::Q4_0);
    let mut head = gguf::parse("model.gguf", &bytes, bytes.len() as u64).expect("a head");
    let whole = head.metadata.remove("tokenizer.huggingface.json").expect("the whole tokenizer");
    assert_eq!(whole.as_str().map(str::as_bytes), opened.tokenizer.as_deref());
    assert_eq!(head.metadata["tokenizer.ggml.pre"].as_str(), Some("gpt-2"));
    let rebuilt = build(&head.metadata).expect("a tokenizer");
    let texts =
        ["Once upon a time, there were 3 bears.", "", "  x\n\n\ty ", "naïve 日本 🙂", "<|endoftext|>The", "it's we'll 12345"];
    for text in texts {
        assert_eq!(rebuilt.encode(text).expect("ids"), original.encode(text).expect("ids"), "{text:?}");
    }
}

#[test]
fn pieces_survive_as_arrays() {
    let bytes = std::fs::read(fixtures::path("gguf/pieces.gguf")).expect("the fixture");
    let head = gguf::parse("pieces.gguf", &bytes, bytes.len() as u64).expect("a head");
    let tokens = tokenizer::Tokens::read("file", &head.metadata).expect("ids");
    let original = build(&head.metadata).expect("a tokenizer");
    let mut fixture = super::convert::mamba();
    fixture.tensors.insert("backbone.embeddings.weight".into(), (vec![450, 32], vec![0.0; 450 * 32]));
    let mut opened = fixture.opened(DType::F32);
    opened.tokenizer = tokenizer::json("file", &head.metadata, &tokens).expect("a tokenizer");
    let bytes = written(&opened, Container::Gguf, DType::F32);
    let mut again = gguf::parse("model.gguf", &bytes, bytes.len() as u64).expect("a head");
    again.metadata.remove("tokenizer.huggingface.json").expect("the whole tokenizer");
    let ids = head.metadata.iter().filter(|(key, _)| key.ends_with("_token_id"));
    again.metadata.extend(ids.map(|(key, value)| (key.clone(), value.clone())));
    let rebuilt = build(&again.metadata).expect("a tokenizer");
    for text in ["The miller's daughter met an old woman.", "  two  spaces ", "naïve 日本 🙂", "aaaaaaaa", "</s>The"] {
        assert_eq!(rebuilt.encode(text).expect("ids"), original.encode(text).expect("ids"), "{text:?}");
    }
    // Rows of the embedding beyond the vocabulary are tokens that nobody uses.
    assert_eq!(rebuilt.token(449).as_deref(), Some("[PAD449]"));
}

/// Metadata of a small byte-level vocabulary.
fn byte_level(pre: &str) -> BTreeMap<String, Value> {
    let tokens = ["a", "b", "ab", "1", "2", "Ġ", "<s>", "</s>", "<|x|>", "12", "Ġab"];
    let strings = |of: &[&str]| Value::Array(Array::String(of.iter().map(|s| s.to_string()).collect()));
    let kinds = vec![1, 1, 1, 1, 1, 1, 3, 3, 4, 1, 1];
    [
        ("model", Value::String("gpt2".into())),
        ("pre", Value::String(pre.into())),
        ("tokens", strings(&tokens)),
        ("token_type", Value::Array(Array::I32(kinds))),
        ("merges", strings(&["a b", "1 2", "Ġ ab"])),
        ("bos_token_id", Value::U32(6)),
        ("eos_token_id", Value::U32(7)),
    ]
    .into_iter()
    .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
    .collect()
}

#[test]
fn pre_tokenizers_flags_and_special_tokens() {
    let encode = |pre: &str, change: &[(&str, Value)], text: &str| {
        let mut metadata = byte_level(pre);
        metadata.extend(change.iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value.clone())));
        build(&metadata).expect("a tokenizer").encode(text).expect("ids")
    };
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    assert_eq!(encode("gpt-2", &[], "ab ab12"), [2, 10, 9]);
    // Digits stand alone, and a space before them is left over.
    assert_eq!(encode("smollm", &[], "ab ab12"), [2, 10, 3, 4]);
    assert_eq!(encode("llama-bpe", &[], "ab12"), [6, 2, 9]);
    assert_eq!(encode("llama-bpe", &[("add_bos_token", no)], "ab12"), [2, 9]);
    assert_eq!(encode("qwen2", &[], "ab12"), [2, 3, 4]);
    assert_eq!(encode("default", &[("add_bos_token", yes.clone()), ("add_eos_token", yes)], "ab"), [6, 2, 7]);
    assert_eq!(encode("gpt-2", &[], "ab<|x|>ab</s>"), [2, 8, 2, 7]);
}

#[test]
fn what_makes_no_tokenizer_is_named() {
    let strings = |of: &[&str]| Value::Array(Array::String(of.iter().map(|s| s.to_string()).collect()));
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("pre", Value::String("klingon".into()), &["klingon", "smollm", "llama-bpe", "gpt-2"]),
        ("model", Value::String("rwkv".into()), &["rwkv", "gpt2 or llama"]),
        ("model", Value::U32(3), &["gpt2 or llama"]),
        ("tokens", Value::U32(1), &["tokenizer.ggml.tokens"]),
        ("tokens", strings(&["a"; 11]), &["token \"a\"", "at 0 and at 1"]),
        ("tokens", strings(&["a"]), &["token_type"]),
        ("token_type", Value::Array(Array::F32(vec![1.0; 11])), &["token_type"]),
        ("merges", strings(&["ab"]), &["a merge", "\"ab\""]),
        ("merges", strings(&["a z"]), &["not a tokenizer"]),
        ("bos_token_id", Value::String("x".into()), &["bos_token_id"]),
        ("bos_token_id", Value::I64(-7), &["bos_token_id"]),
        ("add_bos_token", Value::U8(1), &["add_bos_token"]),
    ];
    for (key, value, words) in cases {
        let mut metadata = byte_level("gpt-2");
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
        let error = build(&metadata).err().unwrap_or_else(|| panic!("{key} passes"));
        for word in words {
            assert!(error.contains(word), "{key}: {error}");
        }
    }
    let mut metadata = byte_level("gpt-2");
    metadata.insert("tokenizer.ggml.bos_token_id".into(), Value::U32(99));
    metadata.insert("tokenizer.ggml.add_bos_token".into(), Value::Bool(true));
    assert!(build(&metadata).err().expect("no such token").contains("99"));
    let mut metadata = byte_level("gpt-2");
    metadata.insert("tokenizer.ggml.model".into(), Value::String("llama".into()));
    assert!(build(&metadata).err().expect("no scores").contains("scores"));
}
