//! Configs that contradict the tensors, or themselves.

use fastweight::models::SUPPORTED;
use fastweight::tensor::DType;
use serde_json::{Value, json};

use super::folder::Folder;
use super::harness::Cases;
use super::weights::bases;

/// Values of no use as a positive integer.
fn no_sizes() -> Vec<Value> {
    let wrong = [json!("32"), json!(true), json!([32]), json!({}), json!(32.5), json!(0), json!(-1), json!(-32.0)];
    let huge = [json!(1u64 << 53), json!(u64::MAX), json!(i64::MIN), json!(1e300)];
    wrong.into_iter().chain(huge).collect()
}

/// The folder without the field of the other dialect that says the same.
fn in_dialect(folder: &Folder, field: &str) -> Folder {
    match field {
        "chunk_size" => folder.clone().configured("mini_batch_size", Value::Null),
        "adapt_base_lr" => folder.clone().configured("ttt_base_lr", Value::Null),
        _ => folder.clone(),
    }
}

#[test]
fn sizes() {
    let mut cases = Cases::new("sizes in the config");
    for fixture in bases() {
        let folder = Folder::new(&fixture, DType::F32);
        for field in [
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "mini_batch_size",
            "chunk_size",
            "conv_kernel",
        ] {
            let right =
                fixture.config.get(field).or(fixture.config.get("mini_batch_size")).and_then(Value::as_u64).expect("a size");
            // Where nothing is convolved there is nothing to contradict.
            let free = field == "conv_kernel" && fixture.config["pre_conv"] == false;
            let contradictions = if free { vec![] } else { vec![json!(right + 1), json!(right - 1), json!(2 * right)] };
            for value in no_sizes().into_iter().chain(contradictions) {
                let folder = in_dialect(&folder, field).configured(field, value.clone());
                cases.refused(
                    format!("{field} {value}"),
                    folder.bytes(),
                    &["config field", &format!("{field}|mini_batch_size"), "wanted"],
                    || folder.load(),
                );
            }
        }
    }
    cases.finish();
}

#[test]
fn numbers() {
    let mut cases = Cases::new("numbers in the config");
    let folder = Folder::new(&bases()[1], DType::F32);
    for field in ["ttt_base_lr", "adapt_base_lr", "rope_theta", "rms_norm_eps"] {
        let mut values = vec![
            json!("1"),
            json!(true),
            json!([1.0]),
            json!({}),
            json!(0),
            json!(0.0),
            json!(-1.0),
            json!(1e30),
            json!(1e300),
            json!(-1e-300),
        ];
        // In f32, which the kernels take, this is no positive number.
        values.extend((field != "rope_theta").then(|| json!(1e-300)));
        for value in values {
            let folder = in_dialect(&folder, field).configured(field, value.clone());
            cases.refused(format!("{field} {value}"), folder.bytes(), &[&format!("config field {field}"), "wanted"], || {
                folder.load()
            });
        }
        // Python writes these, JSON has no such thing.
        for value in ["NaN", "Infinity", "-Infinity", "1e999"] {
            let folder = folder.clone().with("config.json", format!("{{\"{field}\": {value}}}"));
            cases.refused(format!("{field} {value}"), folder.bytes(), &["config.json|config field"], || folder.load());
        }
    }
    cases.finish();
}

#[test]
fn dialects_that_contradict_each_other() {
    let mut cases = Cases::new("contradicting dialects");
    let folder = Folder::new(&bases()[1], DType::F32);
    for (field, value) in [("chunk_size", json!(8)), ("adapt_base_lr", json!(0.5)), ("model_type", json!("ttt_linear"))] {
        let folder = folder.clone().configured(field, value.clone());
        cases.refused(format!("{field} {value}"), folder.bytes(), &["config field", "wanted"], || folder.load());
    }
    cases.finish();
}

#[test]
fn flags_and_names() {
    let mut cases = Cases::new("flags and names in the config");
    for fixture in bases() {
        let folder = Folder::new(&fixture, DType::F32);
        let mut refuse = |field: &str, value: Value, words: &[&str]| {
            let folder = folder.clone().configured(field, value.clone());
            cases.refused(format!("{}: {field} {value}", fixture.name), folder.bytes(), words, || folder.load());
        };
        for field in ["use_gate", "share_qk", "pre_conv", "tie_word_embeddings"] {
            let right = fixture.config[field].as_bool().expect("a flag");
            let words: &[&str] = if field == "tie_word_embeddings" {
                &["tie_word_embeddings|lm_head.weight"]
            } else {
                &["config field", field, "wanted"]
            };
            refuse(field, json!(!right), words);
            for value in [json!("true"), json!(1), json!(0), json!([]), json!({})] {
                refuse(field, value, &["config field", field, "true or false"]);
            }
        }
        let other = if fixture.config["ttt_layer_type"] == "mlp" { "linear" } else { "mlp" };
        for value in
            [json!(other), json!("transformer"), json!(""), json!("MLP"), json!(5), json!(true), json!([other]), json!({})]
        {
            refuse("ttt_layer_type", value, &["config field ttt_layer_type", "wanted"]);
        }
        for value in ["gpt2", "ttt_conv", "TTT", "", "ttt "] {
            refuse("model_type", json!(value), &["architecture", SUPPORTED]);
        }
        for value in [json!(5), json!(true), json!(["ttt"]), json!({})] {
            refuse("model_type", value, &["model_type|architecture"]);
        }
        for value in [json!("gelu"), json!(""), json!(5), json!(["silu"])] {
            refuse("hidden_act", value, &["config field hidden_act", "wanted silu"]);
        }
        // An end token that can't be read would let the text run on.
        for value in [json!("2"), json!(2.5), json!({}), json!(["2"]), json!([[2]]), json!(true), json!(1u64 << 40)] {
            refuse("eos_token_id", value, &["eos_token_id"]);
        }
        refuse("model_type", json!("x".repeat(1 << 16)), &["architecture"]);
        refuse("model_type", json!("\u{1b}[2J"), &["architecture"]);
        refuse("vocab_size", json!("x".repeat(1 << 16)), &["config field vocab_size"]);
    }
    cases.finish();
}

#[test]
fn no_configs() {
    let mut cases = Cases::new("files that are no config");
    let folder = Folder::new(&bases()[1], DType::F32);
    for content in ["null", "[]", "3", "\"ttt\"", "true", "[{}]"] {
        let folder = folder.clone().with("config.json", content);
        cases.refused(format!("the config {content}"), folder.bytes(), &["config", "a JSON object"], || folder.load());
    }
    for content in ["", " ", "{", "ttt", "{\"a\": }", "{} {}", "{\"a\": 1,}", "\u{feff}{}"] {
        let folder = folder.clone().with("config.json", content);
        cases.refused(format!("the config {content:?}"), folder.bytes(), &["config.json", "JSON"], || folder.load());
    }
    for content in [vec![0; 100], vec![0xff; 100], "[".repeat(100_000).into_bytes(), "{\"a\":".repeat(100_000).into_bytes()] {
        let folder = folder.clone().with("config.json", content);
        cases.refused("bytes as a config", folder.bytes(), &["config.json", "JSON"], || folder.load());
    }
    cases.finish();
}
