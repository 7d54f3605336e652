//! What a checkpoint becomes in a GGUF: its metadata, and the names, shapes and order of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::head::{self, Entry};
use super::rope::Llama3;
use super::value::Value;
use super::{ALIGNMENT, ROPE_FACTORS, config, names, tokenizer};
use crate::load::convert::{Content, Item, Numbers, Order, Written};
use crate::load::{LoadError, Opened};
use crate::tensor::DType;

/// The family of a checkpoint, as GGUF names it.
pub(in crate::load) fn architecture(opened: &Opened) -> Result<&'static str, LoadError> {
    let found = opened.config.as_ref().and_then(|c| c.get("model_type")).and_then(Json::as_str);
    let family = match found {
        None | Some("ttt" | "ttt_linear" | "ttt_mlp") => "ttt",
        Some(other) => other,
    };
    let known = names::FAMILIES.map(|f| f.architecture);
    known.into_iter().find(|name| *name == family).ok_or_else(|| LoadError::UnknownArchitecture {
        file: opened.checkpoint.name().into(),
        found: family.into(),
        supported: known.join(", "),
    })
}

/// llama.cpp's number for the type of most tensors of a file.
fn file_type(dtype: DType) -> u32 {
    match dtype {
        DType::F32 | DType::U32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q8_0 => 7,
        DType::BF16 => 32,
    }
}

/// Turns the items of a checkpoint into those of a GGUF, and makes its head. `interleaved` says whether a Llama's rows are in the order
/// of the interleaved rotation already.
pub(in crate::load) fn plan(opened: &Opened, items: Vec<Item>, dtype: DType, interleaved: bool) -> Result<Written, LoadError> {
    let file = opened.checkpoint.name();
    let architecture = architecture(opened)?;
    let family = names::FAMILIES.iter().find(|f| f.architecture == architecture).expect("it is one of them");
    let null = Json::Null;
    let json = opened.config.as_ref().unwrap_or(&null);
    let shapes: BTreeMap<&str, &[usize]> =
        opened.checkpoint.tensors.iter().map(|(name, info)| (name.as_str(), &info.shape[..])).collect();
    let writing = config::Writing { file, architecture, config: json, shapes };

    let mut metadata = vec![("general.architecture".to_string(), Value::String(architecture.into()))];
    metadata.extend(name(file).map(|name| ("general.name".to_string(), Value::String(name))));
    metadata.push(("general.file_type".into(), Value::U32(file_type(dtype))));
    metadata.push(("general.quantization_version".into(), Value::U32(2)));
    metadata.extend(writing.metadata()?);
    if let Some(bytes) = &opened.tokenizer {
        let vocabulary = items.iter().find(|i| family.to_gguf(&i.name).as_deref() == Some("token_embd.weight"));
        let vocabulary = vocabulary.map_or(0, |i| i.shape[0]);
        let ids = opened.generation.as_ref().or(opened.config.as_ref()).unwrap_or(&null);
        metadata.extend(tokenizer::metadata(file, bytes, vocabulary, ids)?);
    }
    metadata.extend(opened.chat_template.clone().map(|t| ("tokenizer.chat_template".to_string(), Value::String(t))));

    let mut items = items
        .into_iter()
        .map(|item| {
            let unknown =
                || LoadError::invalid(file, format!("tensor {}", item.name), "unknown", format!("one of {architecture}"));
            Ok(Item { name: family.to_gguf(&item.name).ok_or_else(unknown)?, ..item })
        })
        .collect::<Result<Vec<Item>, LoadError>>()?;
    if let Some((factors, scaling)) = writing.rope_factors()? {
        let stated = Llama3::KEYS.iter().zip(scaling.stated());
        metadata.extend(stated.map(|(key, x)| (format!("fastweight.rope.{key}"), Value::F32(x as f32))));
        let (shape, content) = (vec![factors.len()], Content::Made(factors));
        items.push(Item { name: ROPE_FACTORS.into(), shape, dtype: DType::F32, content });
    }
    let heads = |name: &str| json.get(name).and_then(Json::as_u64).map(|n| n as usize);
    let query_heads = heads("num_attention_heads");
    for item in &mut items {
        let Content::Tensor { order, numbers, .. } = &mut item.content else { continue };
        let part = item.name.split('.').nth(2).unwrap_or_default();
        let heads = match part {
            "attn_q" => query_heads,
            "attn_k" => heads("num_key_value_heads").or(query_heads),
            _ => None,
        };
        if let Some(heads) = heads.filter(|_| architecture == "llama" && !interleaved) {
            *order = Order::Interleaved { heads };
        }
        match part {
            "ssm_a" => *numbers = Numbers::NegativeExp,
            "ssm_conv1d" if item.shape.len() == 3 => drop(item.shape.remove(1)),
            _ => {}
        }
    }
    let mut entries = Vec::new();
    let mut offset = 0u64;
    for item in &items {
        entries.push(Entry { name: item.name.clone(), shape: item.shape.clone(), format: item.dtype.into(), offset });
        offset = (offset + item.bytes()).next_multiple_of(ALIGNMENT);
    }
    Ok(Written { head: head::write(&metadata, &entries), items, alignment: ALIGNMENT, beside: Vec::new() })
}

/// A model's name: that of its file, or of the folder where the file has the usual one.
fn name(file: &str) -> Option<String> {
    let path = Path::new(file);
    let stem = path.file_stem()?.to_str()?;
    let folder = || path.parent()?.file_name()?.to_str();
    Some(if stem.starts_with("model") { folder().unwrap_or(stem) } else { stem }.to_string())
}
