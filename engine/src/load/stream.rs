//! The authors' own `streaming_train_state`: a chain of msgpack pairs [path, bytes], where the bytes are a msgpack extension of
//! type 1 around [shape, element type, data]. Only the parameters are catalogued; optimiser state is stepped over.

use std::collections::BTreeMap;
use std::io::Cursor;

use rmp::decode::{self, RmpRead};

use super::{Form, LoadError, Source, TensorInfo, checked_len};
use crate::blocks::Format;
use crate::quote::shown;

/// Bytes that hold any pair's head: the path, and the lengths before the data.
const HEAD: usize = 4096;
/// Bytes that are read at once, so that a file of small pairs is not read over and over.
const WINDOW: usize = 4 * HEAD;

/// The head of one pair.
#[derive(Debug, PartialEq)]
pub struct PairHead {
    /// The key path.
    pub path: Vec<String>,
    /// Bytes from the start of the pair to the start of its bytes' content.
    pub content: u64,
    /// Bytes of that content.
    pub length: u64,
}

/// The head of an array's serialised form.
#[derive(Debug, PartialEq)]
pub struct ArrayHead {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The element type's numpy name.
    pub dtype: String,
    /// Bytes from the start of the form to the data.
    pub data: u64,
    /// Bytes of the data.
    pub length: u64,
}

/// Parses the head of a pair.
pub fn pair_head(bytes: &[u8]) -> Result<PairHead, String> {
    let mut cursor = Cursor::new(bytes);
    let text = |e: &dyn std::fmt::Display| format!("not a pair: {e}");
    let outer = decode::read_array_len(&mut cursor).map_err(|e| text(&e))?;
    if outer != 2 {
        return Err(format!("an array of {outer}"));
    }
    let n = decode::read_array_len(&mut cursor).map_err(|e| text(&e))?;
    if n > 64 {
        return Err(format!("a path of {n}"));
    }
    let mut path = Vec::new();
    for _ in 0..n {
        path.push(read_text(&mut cursor)?);
    }
    let length = decode::read_bin_len(&mut cursor).map_err(|e| text(&e))?;
    Ok(PairHead { path, content: cursor.position(), length: u64::from(length) })
}

/// Parses the head of an array.
pub fn array_head(bytes: &[u8]) -> Result<ArrayHead, String> {
    let mut cursor = Cursor::new(bytes);
    let text = |e: &dyn std::fmt::Display| format!("not an array: {e}");
    let ext = decode::read_ext_meta(&mut cursor).map_err(|e| text(&e))?;
    if ext.typeid != 1 {
        return Err(format!("an extension of type {}", ext.typeid));
    }
    let inner = cursor.position();
    let n = decode::read_array_len(&mut cursor).map_err(|e| text(&e))?;
    if n != 3 {
        return Err(format!("an array of {n}"));
    }
    let axes = decode::read_array_len(&mut cursor).map_err(|e| text(&e))?;
    if axes > 8 {
        return Err(format!("a shape of {axes} axes"));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        shape.push(decode::read_int::<usize, _>(&mut cursor).map_err(|e| text(&e))?);
    }
    let dtype = read_text(&mut cursor)?;
    let length = u64::from(decode::read_bin_len(&mut cursor).map_err(|e| text(&e))?);
    let data = cursor.position();
    if inner + u64::from(ext.size) != data + length {
        return Err(format!("an extension of {} bytes around data of {length}", ext.size));
    }
    Ok(ArrayHead { shape, dtype, data, length })
}

fn read_text(cursor: &mut Cursor<&[u8]>) -> Result<String, String> {
    let length = decode::read_str_len(cursor).map_err(|e| format!("not a text: {e}"))? as usize;
    if length > 1024 {
        return Err(format!("a text of {length} bytes"));
    }
    let mut text = vec![0; length];
    cursor.read_exact_buf(&mut text).map_err(|e| format!("not a text: {e}"))?;
    String::from_utf8(text).map_err(|e| e.to_string())
}

/// The parameters of a stream under their Hugging Face names.
pub async fn catalogue(source: &dyn Source) -> Result<BTreeMap<String, TensorInfo>, LoadError> {
    let file = source.name().to_string();
    let mut tensors = BTreeMap::new();
    // The bytes at hand, and where they start.
    let (mut window, mut start) = (Vec::new(), 0);
    let mut offset = 0;
    while offset < source.len() {
        let held = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        let enough = (source.len() - offset).min(HEAD as u64) as usize;
        if held(offset).saturating_add(enough) > window.len() {
            window = source.read(offset, (source.len() - offset).min(WINDOW as u64) as usize).await?;
            start = offset;
        }
        let bytes = &window[(offset - start) as usize..];
        let what = format!("the pair at byte {offset}");
        let head = pair_head(bytes).map_err(|found| LoadError::invalid(&file, &what, found, "a key path and bytes"))?;
        let content = offset + head.content;
        let next = content + head.length;
        let path = head.path.join("/");
        if next > source.len() {
            return Err(LoadError::Truncated { file, what: shown(path), wanted: next, found: source.len() });
        }
        offset = next;
        // A whole train state has its parameters under `params`; a file of parameters alone begins at the model.
        if !matches!(head.path.first().map(String::as_str), Some("params" | "model" | "lm_head")) {
            continue;
        }
        let bytes = source.read(content, head.length.min(HEAD as u64) as usize).await?;
        let array = array_head(&bytes).map_err(|found| LoadError::invalid(&file, &path, found, "an array"))?;
        if array.data + array.length != head.length {
            let (found, wanted) = (format!("{} bytes", array.data + array.length), format!("the {} of its pair", head.length));
            return Err(LoadError::invalid(&file, format!("the array {path}"), found, wanted));
        }
        if let Some((name, info)) = tensor(&file, &path, &array, content)?
            && tensors.insert(name.clone(), info).is_some()
        {
            return Err(LoadError::invalid(&file, format!("tensor {name}"), "there twice", "one"));
        }
    }
    Ok(tensors)
}

/// The catalogue entry of one parameter, if the model has a place for it.
fn tensor(file: &str, path: &str, array: &ArrayHead, start: u64) -> Result<Option<(String, TensorInfo)>, LoadError> {
    let invalid =
        |what: &str, found: String, wanted: String| Err(LoadError::invalid(file, format!("the {what} of {path}"), found, wanted));
    let format = match array.dtype.as_str() {
        "float32" => Format::F32,
        "float16" => Format::F16,
        "bfloat16" => Format::BF16,
        other => return invalid("type", other.into(), "float32, float16 or bfloat16".into()),
    };
    let Some(len) = checked_len(&array.shape) else {
        return invalid("shape", format!("{:?}", array.shape), "a shape that fits in memory".into());
    };
    if array.length != format.bytes_of(len) {
        return invalid("data", format!("{} bytes", array.length), format!("{} bytes", format.bytes_of(len)));
    }
    let inner = path.trim_start_matches("params/");
    let inner = inner.strip_prefix("model/").unwrap_or(inner);
    let Some((name, layout)) = rename(inner) else {
        return invalid("name", inner.into(), "a parameter of a TTT language model".into());
    };
    let s = &array.shape;
    let (shape, form) = match (layout, s.len()) {
        (Layout::AsIs, _) => (s.clone(), Form::Plain),
        (Layout::Transposed, 2) => (vec![s[1], s[0]], Form::Transposed),
        (Layout::Conv, 3) if s[1] == 1 => (vec![s[2], 1, s[0]], Form::Transposed),
        (Layout::HeadColumn, 3) if s[2] == 1 => (vec![s[0], 1, s[1]], Form::Plain),
        _ => return invalid("shape", format!("{s:?}"), "the axes of that parameter".into()),
    };
    Ok(Some((name, TensorInfo { format, shape, file: 0, offset: start + array.data, form })))
}

/// How the stream lays a parameter out.
#[derive(Clone, Copy)]
enum Layout {
    /// As Hugging Face does.
    AsIs,
    /// `[in, out]` instead of `[out, in]`.
    Transposed,
    /// `[taps, 1, channels]` instead of `[channels, 1, taps]`.
    Conv,
    /// `[heads, width, 1]` instead of `[heads, 1, width]`.
    HeadColumn,
}

/// The Hugging Face name of a parameter of the authors' JAX model.
fn rename(path: &str) -> Option<(String, Layout)> {
    use Layout::{AsIs, Conv, HeadColumn, Transposed};
    match path {
        "wte/embedding" => return Some(("model.embed_tokens.weight".into(), AsIs)),
        "ln_f/kernel" => return Some(("model.norm.weight".into(), AsIs)),
        "lm_head/kernel" => return Some(("lm_head.weight".into(), Transposed)),
        _ => {}
    }
    let (layer, rest) = path.strip_prefix("h/")?.split_once('/')?;
    let layer: usize = layer.parse().ok()?;
    let (name, layout) = match rest {
        "seq_norm/kernel" => ("seq_norm.weight", AsIs),
        "ffn_norm/kernel" => ("ffn_norm.weight", AsIs),
        "conv/conv_norm/kernel" | "conv_norm/kernel" => ("conv.norm.weight", AsIs),
        "conv/conv1/kernel" | "conv1/kernel" => ("conv.conv.weight", Conv),
        "conv/conv1/bias" | "conv1/bias" => ("conv.conv.bias", AsIs),
        "feed_forward/w1/kernel" => ("mlp.gate_proj.weight", Transposed),
        "feed_forward/w2/kernel" => ("mlp.down_proj.weight", Transposed),
        "feed_forward/w3/kernel" => ("mlp.up_proj.weight", Transposed),
        _ => {
            let (name, layout) = match rest.strip_prefix("seq_modeling_block/")? {
                "wq/kernel" => ("q_proj.weight", Transposed),
                "wk/kernel" => ("k_proj.weight", Transposed),
                "wv/kernel" => ("v_proj.weight", Transposed),
                "wo/kernel" => ("o_proj.weight", Transposed),
                "wg/kernel" => ("g_proj.weight", Transposed),
                "conv_q/kernel" => ("conv_q.weight", Conv),
                "conv_k/kernel" => ("conv_k.weight", Conv),
                "conv_q/bias" => ("conv_q.bias", AsIs),
                "conv_k/bias" => ("conv_k.bias", AsIs),
                "ttt_norm/scale" => ("ttt_norm_weight", AsIs),
                "ttt_norm/bias" => ("ttt_norm_bias", AsIs),
                "learnable_ttt_lr/kernel" => ("learnable_ttt_lr_weight", HeadColumn),
                "learnable_ttt_lr/bias" => ("learnable_ttt_lr_bias", AsIs),
                "learnable_token_idx" => ("learnable_token_idx", AsIs),
                "ttt_dense_0" => ("W1", AsIs),
                "ttt_dense_1" => ("W2", AsIs),
                "ttt_bias_0" => ("b1", AsIs),
                "ttt_bias_1" => ("b2", AsIs),
                "post_norm/scale" => ("post_norm.weight", AsIs),
                "post_norm/bias" => ("post_norm.bias", AsIs),
                _ => return None,
            };
            return Some((format!("model.layers.{layer}.seq_modeling_block.{name}"), layout));
        }
    };
    Some((format!("model.layers.{layer}.{name}"), layout))
}
