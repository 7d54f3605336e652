//! GGUF, the file format of llama.cpp: metadata, a catalogue of tensors, their data; one file is a whole model. Versions 2 and 3,
//! little-endian, are read, version 3 is written. What comes out is what a folder in the Hugging Face layout gives: tensors under
//! their Hugging Face names, a config, a tokenizer, end tokens, a chat template.
//!
//! # Families
//! `llama` and `mamba` as llama.cpp lays them out. Rows of Llama's query and key projections are in the order of the interleaved
//! rotation, which the config says by `"rope_interleaved": true`; Llama 3's scaling of the frequencies is told from the divisors in
//! `rope_freqs.weight` and, in files of ours, `fastweight.rope.{factor, low_freq_factor, high_freq_factor, original_context_length}`; Mamba's A stands for `A_log` ([`super::Form::NegativeExp`]).
//!
//! # TTT
//! `general.architecture` is `ttt`. llama.cpp's keys where they exist: `ttt.vocab_size`, `ttt.context_length` (trained on; there is
//! no limit), `ttt.embedding_length`, `ttt.block_count`, `ttt.feed_forward_length`, `ttt.attention.head_count`,
//! `ttt.attention.layer_norm_rms_epsilon`, `ttt.rope.freq_base`. Ours:
//!
//! | key | type | meaning |
//! |---|---|---|
//! | `ttt.inner_model` | string | `linear` or `mlp` |
//! | `ttt.mini_batch_size` | u32 | tokens of a mini-batch |
//! | `ttt.base_lr` | f32 | base of the inner learning rate |
//! | `ttt.use_gate` | bool | the layer's output is gated: `blk.N.attn_gate.weight` |
//! | `ttt.share_qk` | bool | queries and keys are convolutions `blk.N.ttt_conv_q`, `ttt_conv_k` of the one projection `attn_q` |
//! | `ttt.pre_conv` | bool | a convolution comes before each layer: `blk.N.pre_conv`, with its norm `pre_conv_norm` |
//! | `ttt.conv_kernel` | u32 | rows that a convolution sees, where there is one |
//!
//! Further tensors of layer N, `[sizes, outermost first]`: `ttt_1.weight` `[heads, head_dim, head_dim]` (`mlp`: `[heads, head_dim, 4
//! head_dim]`) and `ttt_1.bias`, with `mlp` `ttt_2` from 4 head_dim back, the start of the inner model, used as x W + b; `ttt_lr.weight` `[heads, 1,
//! embedding]` and `.bias`, the gate of the inner learning rate; `ttt_token_idx` `[mini_batch]`; `ttt_norm` `[heads, head_dim]`, the inner
//! LayerNorm; `ttt_post_norm` `[embedding]`, the one after it. All but `ttt_lr.weight`, the projections
//! and the embedding are f32.
//!
//! # Tokenizers
//! Files of ours hold the whole `tokenizer.json` as `tokenizer.huggingface.json`, which GGUF's specification names for it, and llama.cpp's
//! arrays wherever they can say the same. Of other files the arrays are read: see [`tokenizer`].

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Checkpoint, Form, LoadError, Opened, Source, TensorInfo};
use crate::blocks::{Format, decode};
use crate::quote::shown;

mod config;
mod head;
mod names;
mod rope;
pub mod tokenizer;
mod value;
mod write;

pub use head::{Entry, Head};
pub use value::{Array, Value};
pub(super) use write::{architecture, plan};

/// The first bytes.
const MAGIC: [u8; 4] = *b"GGUF";
/// Where tensors start unless the file says otherwise: at multiples of this.
const ALIGNMENT: u64 = 32;
/// The longest head that is read.
const MAX_HEAD: u64 = 256 << 20;
/// Bytes that are read first; most heads fit.
const FIRST: u64 = 8 << 20;

/// Why a head can't be taken apart.
enum Stop {
    /// It goes on after the bytes at hand.
    More,
    /// The file ends before what it claims to hold.
    Short { what: String, wanted: u64 },
    /// It is wrong.
    Bad { what: String, found: String, wanted: String },
}

impl Stop {
    fn bad(what: impl Into<String>, found: impl ToString, wanted: impl Into<String>) -> Stop {
        Stop::Bad { what: what.into(), found: found.to_string(), wanted: wanted.into() }
    }

    fn error(self, file: &str, length: u64) -> LoadError {
        let truncated =
            |what: String, wanted| LoadError::Truncated { file: file.into(), what: shown(what), wanted, found: length };
        match self {
            Stop::More => truncated("the head".into(), length.saturating_add(1)),
            Stop::Short { what, wanted } => truncated(what, wanted),
            Stop::Bad { what, found, wanted } => LoadError::invalid(file, what, found, wanted),
        }
    }
}

/// Parses the head of a file of `length` bytes that begins with `bytes`; `file` names it in messages.
pub fn parse(file: &str, bytes: &[u8], length: u64) -> Result<Head, LoadError> {
    head::parse(bytes, length).map_err(|stop| stop.error(file, length))
}

/// Reads as much of a file as its head needs.
async fn read_head(source: &dyn Source) -> Result<Head, LoadError> {
    let (file, length) = (source.name(), source.len());
    let mut size = FIRST;
    loop {
        let bytes = source.read(0, size.min(length) as usize).await?;
        match head::parse(&bytes, length) {
            Err(Stop::More) if size < length && size < MAX_HEAD => size *= 4,
            Err(Stop::More) if size < length => {
                return Err(LoadError::invalid(file, "the head", "longer", format!("at most {MAX_HEAD} bytes")));
            }
            other => return other.map_err(|stop| stop.error(file, length)),
        }
    }
}

/// Opens a model that is one GGUF.
pub async fn open(source: Box<dyn Source>) -> Result<Opened, LoadError> {
    let head = read_head(&*source).await?;
    let file = source.name().to_string();
    let metadata = &head.metadata;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str);
    if let Some(n) = metadata.get("split.count").and_then(Value::as_integer).filter(|n| *n > 1) {
        let wanted = "one file: merge the parts with llama.cpp's `llama-gguf-split --merge`";
        return Err(LoadError::invalid(&file, "the file", format!("one of {n} parts of a model"), wanted));
    }
    let Some(found) = text("general.architecture") else {
        return Err(LoadError::invalid(&file, "general.architecture", "missing", "the name of a model family"));
    };
    let Some(names) = names::FAMILIES.iter().find(|f| f.architecture == found) else {
        let supported = names::FAMILIES.map(|f| f.architecture).join(", ");
        return Err(LoadError::UnknownArchitecture { file, found: found.into(), supported });
    };
    let fields = config::Fields { file: &file, architecture: names.architecture, head: &head };
    let mut config = fields.config()?;
    if let Some(scaling) = rope_scaling(&*source, &fields, &config).await? {
        config.insert("rope_scaling".into(), scaling);
    }
    let tensors = catalogue(&fields, names)?;
    let tokens = tokenizer::Tokens::read(&file, metadata)?;
    for (field, id) in [("bos_token_id", tokens.bos), ("eos_token_id", tokens.eos)] {
        config.extend(id.map(|id| (field.to_string(), json!(id))));
    }
    let generation = json!({ "bos_token_id": tokens.bos, "eos_token_id": tokens.ends() });
    let tokenizer = match text("tokenizer.huggingface.json") {
        Some(whole) => Some(whole.as_bytes().to_vec()),
        None => tokenizer::json(&file, metadata, &tokens)?,
    };
    let chat_template = text("tokenizer.chat_template").map(String::from);
    Ok(Opened {
        checkpoint: Checkpoint { sources: vec![source], tensors, dtype: None },
        config: Some(Json::Object(config)),
        tokenizer,
        generation: Some(generation),
        tokenizer_config: None,
        chat_template,
    })
}

/// The tensors under their Hugging Face names.
fn catalogue(fields: &config::Fields<'_>, names: &names::Names) -> Result<BTreeMap<String, TensorInfo>, LoadError> {
    let layers = fields.layers()?;
    let mut tensors = BTreeMap::new();
    for entry in &fields.head.tensors {
        if entry.name == ROPE_FACTORS && names.architecture == "llama" {
            continue;
        }
        let Some((name, layer)) = names.to_hf(&entry.name) else {
            let wanted = format!("one of those of {}: {}", names.architecture, names.known());
            return Err(fields.invalid(format!("tensor {}", entry.name), "unknown", wanted));
        };
        if let Some(n) = layer.filter(|n| *n as u64 >= layers) {
            return Err(fields.invalid(format!("the layer of {}", entry.name), n, format!("below the {layers} of block_count")));
        }
        let mut shape = entry.shape.clone();
        let mut form = Form::Plain;
        match entry.name.rsplit('.').nth(1).unwrap_or_default() {
            // One filter a channel: [channels, taps] for [channels, 1, taps].
            "ssm_conv1d" if shape.len() == 2 => shape.insert(1, 1),
            _ if entry.name.ends_with(".ssm_a") => form = Form::NegativeExp,
            _ => {}
        }
        tensors.insert(name, TensorInfo { format: entry.format, shape, file: 0, offset: entry.offset, form });
    }
    Ok(tensors)
}

/// The tensor with the divisors of Llama's rotary frequencies.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// What the divisors of the rotary frequencies come to in a config.
async fn rope_scaling(
    source: &dyn Source,
    fields: &config::Fields<'_>,
    config: &serde_json::Map<String, Json>,
) -> Result<Option<Json>, LoadError> {
    let Some(entry) = fields.head.tensors.iter().find(|t| t.name == ROPE_FACTORS) else { return Ok(None) };
    if entry.format != Format::F32 || entry.shape.len() != 1 || entry.shape[0] > 1 << 16 {
        let found = format!("{}{:?}", entry.format, entry.shape);
        return Err(fields.invalid(ROPE_FACTORS, found, "f32 with one number a pair of a head"));
    }
    let bytes = source.read(entry.offset, entry.shape[0] * 4).await?;
    let mut factors = vec![0f32; entry.shape[0]];
    decode(Format::F32, &bytes, &mut factors);
    if factors.iter().all(|x| *x == 1.0) {
        return Ok(None);
    }
    let number = |name: &str| config.get(name).and_then(Json::as_f64).unwrap_or_default();
    let stated =
        rope::Llama3::KEYS.map(|key| fields.head.metadata.get(&format!("fastweight.rope.{key}")).and_then(Value::as_number));
    let stated = stated.iter().all(Option::is_some).then(|| stated.map(Option::unwrap_or_default));
    let stated = stated.and_then(rope::Llama3::from_stated);
    match rope::Llama3::of(&factors, number("rope_theta"), number("head_dim") as usize, stated) {
        Some(scaling) => Ok(Some(scaling.json())),
        None => Err(fields.invalid(ROPE_FACTORS, "other divisors", "those of Llama 3, made for a context of 8192")),
    }
}
