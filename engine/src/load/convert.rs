//! A model from one file to another: a GGUF, which is a whole model, or safetensors with what belongs beside them. Tensors are read,
//! rounded and written in pieces.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::tensors::{matrix_type, read_as};
use super::{Form, LoadError, Opened, gguf};
use crate::tensor::DType;

/// Elements that are converted at a time.
const ELEMENTS: usize = 1 << 20;

/// A kind of weight file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// One file with everything.
    Gguf,
    /// Tensors; config, tokenizer and the rest are files beside them.
    Safetensors,
}

impl Container {
    /// The kind that a path's ending names.
    pub fn of(path: &Path) -> Option<Container> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "gguf" => Some(Container::Gguf),
            "safetensors" => Some(Container::Safetensors),
            _ => None,
        }
    }
}

/// A tensor to be written.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    pub(super) content: Content,
}

/// Where its numbers come from.
pub(super) enum Content {
    /// A tensor of the checkpoint.
    Tensor { name: String, order: Order, numbers: Numbers },
    /// Made for the file.
    Made(Vec<f32>),
}

/// The order of the rows of a projection to heads, for one or the other form of the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they are.
    Kept,
    /// From pairs (i, i + half) to pairs (2 i, 2 i + 1).
    Interleaved { heads: usize },
    /// From pairs (2 i, 2 i + 1) to pairs (i, i + half).
    Halves { heads: usize },
}

/// What is written for each number x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// x.
    Kept,
    /// −eˣ.
    NegativeExp,
}

impl Item {
    /// Bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        self.dtype.bytes_of(self.len()) as u64
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file to be written, and those beside it.
pub(super) struct Written {
    pub(super) head: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// Each tensor starts at a multiple of this after the head.
    pub(super) alignment: u64,
    pub(super) beside: Vec<(&'static str, Vec<u8>)>,
}

/// A conversion that is all decided and has yet to be written.
pub struct Conversion<'a> {
    opened: &'a Opened,
    written: Written,
}

/// The Hugging Face name of a tensor of a Llama: the authors of TTT have names of their own in their Transformer, and with them the
/// interleaved rotation.
fn renamed(name: &str) -> String {
    const NAMES: [(&str, &str); 3] = [
        (".seq_modeling_block.", ".self_attn."),
        (".seq_norm.", ".input_layernorm."),
        (".ffn_norm.", ".post_attention_layernorm."),
    ];
    NAMES.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

impl<'a> Conversion<'a> {
    /// Decides how `opened` is written, its matrices as `dtype` (f16 where rows are no whole blocks), all else as f32.
    pub fn new(opened: &'a Opened, container: Container, dtype: DType) -> Result<Conversion<'a>, LoadError> {
        let checkpoint = &opened.checkpoint;
        // The family is known, or nothing is written.
        let llama = gguf::architecture(opened)? == "llama";
        let tied = opened.config.as_ref().and_then(|c| c.get("tie_word_embeddings")).and_then(Json::as_bool) == Some(true);
        // Frequencies that follow from the config, and an output matrix that is the embedding again, are left out.
        let unneeded = |name: &str| name.ends_with("rotary_emb.inv_freq") || tied && name == "lm_head.weight";
        let mut tensors: Vec<_> = checkpoint.tensors.iter().filter(|(name, _)| !unneeded(name)).collect();
        tensors.sort_by_key(|(_, info)| (info.file, info.offset));
        let item = |(name, info): (&String, &super::TensorInfo)| {
            let columns = info.shape.last().copied().unwrap_or(1);
            let dtype = matrix_type(name, dtype, columns);
            let content = Content::Tensor { name: name.clone(), order: Order::Kept, numbers: Numbers::Kept };
            let name = if llama { renamed(name) } else { name.clone() };
            Item { name, shape: info.shape.clone(), dtype, content }
        };
        let items: Vec<Item> = tensors.into_iter().map(item).collect();
        let authors = checkpoint.tensors.keys().any(|name| llama && renamed(name) != *name);
        let says = opened.config.as_ref().and_then(|c| c.get("rope_interleaved")).and_then(Json::as_bool);
        let interleaved = authors || says == Some(true);
        let written = match container {
            Container::Gguf => gguf::plan(opened, items, dtype, interleaved)?,
            Container::Safetensors => safetensors(opened, items, dtype, interleaved)?,
        };
        Ok(Conversion { opened, written })
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        let aligned = |bytes: u64| bytes.next_multiple_of(self.written.alignment);
        self.written.head.len() as u64 + self.written.items.iter().map(|i| aligned(i.bytes())).sum::<u64>()
    }

    /// The files that belong beside it: name and content.
    pub fn beside(&self) -> &[(&'static str, Vec<u8>)] {
        &self.written.beside
    }

    /// Hands the file to `out`, piece by piece.
    pub async fn write(&self, out: &mut dyn FnMut(&[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        out(&self.written.head)?;
        for item in &self.written.items {
            self.tensor(item, out).await?;
            let padding = item.bytes().next_multiple_of(self.written.alignment) - item.bytes();
            out(&vec![0; padding as usize])?;
        }
        Ok(())
    }

    async fn tensor(&self, item: &Item, out: &mut dyn FnMut(&[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        let checkpoint = &self.opened.checkpoint;
        let (name, order, numbers) = match &item.content {
            Content::Made(values) => return out(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            Content::Tensor { name, order, numbers } => (name, *order, *numbers),
        };
        let mut info = checkpoint.tensors[name].clone();
        let exp = numbers == Numbers::NegativeExp && info.form != Form::NegativeExp;
        if numbers == Numbers::NegativeExp {
            info.form = Form::Plain;
        }
        // A bias is a column: its rows are single numbers.
        let width = if item.shape.len() > 1 { item.len() / item.shape[0] } else { 1 };
        let rows = item.len() / width;
        let at_once = match order {
            Order::Kept => (ELEMENTS / width).clamp(1, rows),
            Order::Interleaved { heads } | Order::Halves { heads } => {
                if heads == 0 || !rows.is_multiple_of(2 * heads) {
                    let wanted = format!("an even number for each of {heads} heads");
                    return Err(LoadError::invalid(checkpoint.name(), format!("the rows of {name}"), rows, wanted));
                }
                rows / heads
            }
        };
        let row_bytes = item.dtype.bytes_of(width);
        for start in (0..rows).step_by(at_once) {
            let n = at_once.min(rows - start);
            let mut bytes = read_as(checkpoint, name, &info, item.dtype, start * width, n * width).await?;
            if exp {
                for x in bytes.as_chunks_mut::<4>().0 {
                    let a = -f64::from(f32::from_le_bytes(*x)).exp() as f32;
                    if !a.is_finite() {
                        return Err(LoadError::invalid(checkpoint.name(), name, "over 88", "logarithms of f32"));
                    }
                    *x = a.to_le_bytes();
                }
            }
            if order == Order::Kept {
                out(&bytes)?;
                continue;
            }
            let mut ordered = Vec::with_capacity(bytes.len());
            for row in 0..n {
                let from = match order {
                    Order::Interleaved { .. } => row / 2 + row % 2 * (n / 2),
                    _ => row % (n / 2) * 2 + row / (n / 2),
                };
                ordered.extend(&bytes[from * row_bytes..][..row_bytes]);
            }
            out(&ordered)?;
        }
        Ok(())
    }
}

/// The items of a checkpoint as safetensors in the Hugging Face layout, with the files beside.
fn safetensors(opened: &Opened, mut items: Vec<Item>, dtype: DType, interleaved: bool) -> Result<Written, LoadError> {
    let name = |dtype: DType| match dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    if dtype.is_quantised() {
        let wanted = "f32, f16 or bf16: safetensors hold no blocks, a .gguf does";
        return Err(LoadError::invalid(opened.checkpoint.name(), "the type to write", dtype, wanted));
    }
    let mut config = opened.config.clone();
    if let Some(fields) = config.as_mut().and_then(Json::as_object_mut)
        && interleaved
    {
        fields.remove("rope_interleaved");
        let heads = |name: &str| fields.get(name).and_then(Json::as_u64).map(|n| n as usize);
        let query_heads = heads("num_attention_heads").unwrap_or(0);
        for item in &mut items {
            let part = item.name.split('.').nth(4).unwrap_or_default();
            let Content::Tensor { order, .. } = &mut item.content else { continue };
            *order = match part {
                "q_proj" => Order::Halves { heads: query_heads },
                "k_proj" => Order::Halves { heads: heads("num_key_value_heads").unwrap_or(query_heads) },
                _ => Order::Kept,
            };
        }
    }
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut offset = 0;
    for item in &items {
        let end = offset + item.bytes();
        let entry = json!({ "dtype": name(item.dtype), "shape": item.shape, "data_offsets": [offset, end] });
        header.insert(item.name.clone(), entry);
        offset = end;
    }
    let mut text = Json::Object(header).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.extend(text.as_bytes());
    let pretty = |json: Json| format!("{json:#}\n").into_bytes();
    let beside = [
        ("config.json", config.map(pretty)),
        ("generation_config.json", opened.generation.clone().map(pretty)),
        ("tokenizer.json", opened.tokenizer.clone()),
        ("chat_template.jinja", opened.chat_template.clone().map(String::into_bytes)),
    ];
    let beside = beside.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
    Ok(Written { head, items, alignment: 1, beside })
}
