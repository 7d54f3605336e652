//! The sizes of a model: from GGUF's metadata to the fields of a Hugging Face config, and back.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::head::Head;
use super::value::Value;
use crate::load::LoadError;

/// The metadata of one family.
pub(super) struct Fields<'a> {
    pub(super) file: &'a str,
    pub(super) architecture: &'static str,
    pub(super) head: &'a Head,
}

impl Fields<'_> {
    /// The family's own value of this name.
    pub(super) fn get(&self, name: &str) -> Option<(String, &Value)> {
        let key = format!("{}.{name}", self.architecture);
        let value = self.head.metadata.get(&key)?;
        Some((key, value))
    }

    pub(super) fn invalid(&self, what: impl Into<String>, found: impl ToString, wanted: impl Into<String>) -> LoadError {
        LoadError::invalid(self.file, what, found, wanted)
    }

    fn missing(&self, name: &str) -> LoadError {
        self.invalid(format!("{}.{name}", self.architecture), "missing", "among the metadata")
    }

    /// A size up to `most`.
    fn size(&self, name: &str, most: i128) -> Result<Option<u64>, LoadError> {
        let Some((key, value)) = self.get(name) else { return Ok(None) };
        match value.as_integer().filter(|n| (0..=most).contains(n)) {
            Some(n) => Ok(Some(n as u64)),
            None => Err(self.invalid(key, value, format!("an integer from 0 to {most}"))),
        }
    }

    fn needed(&self, name: &str, most: i128) -> Result<u64, LoadError> {
        self.size(name, most)?.filter(|n| *n > 0).ok_or_else(|| self.missing(name))
    }

    /// A positive number.
    fn number(&self, name: &str) -> Result<Option<Json>, LoadError> {
        let Some((key, value)) = self.get(name) else { return Ok(None) };
        match value.as_number().filter(|x| *x > 0.0 && *x < 1e30) {
            Some(_) => Ok(Some(decimal(value))),
            None => Err(self.invalid(key, value, "a positive number")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::Bool(x))) => Ok(Some(*x)),
            Some((key, other)) => Err(self.invalid(key, other, "true or false")),
        }
    }

    /// Refuses a size that is there and differs.
    fn only(&self, name: &str, wanted: u64) -> Result<(), LoadError> {
        match self.size(name, i128::from(u32::MAX))? {
            Some(n) if n != wanted => Err(self.invalid(format!("{}.{name}", self.architecture), n, wanted.to_string())),
            _ => Ok(()),
        }
    }

    fn has(&self, tensor: &str) -> bool {
        self.head.tensors.iter().any(|t| t.name == tensor)
    }

    /// The number of layers.
    pub(super) fn layers(&self) -> Result<u64, LoadError> {
        self.needed("block_count", 10_000)
    }

    /// The config of a Hugging Face checkpoint of the same sizes, without the ids of tokens.
    pub(super) fn config(&self) -> Result<serde_json::Map<String, Json>, LoadError> {
        let embedding = self.head.tensors.iter().find(|t| t.name == "token_embd.weight");
        let embedding =
            embedding.ok_or_else(|| LoadError::MissingTensor { file: self.file.into(), name: "token_embd.weight".into() })?;
        let [vocabulary, _] = embedding.shape[..] else {
            return Err(self.invalid("the shape of token_embd.weight", format!("{:?}", embedding.shape), "two axes"));
        };
        self.only("vocab_size", vocabulary as u64)?;
        let mut config = match self.architecture {
            "llama" => self.llama()?,
            "mamba" => self.mamba()?,
            _ => self.ttt()?,
        };
        let context = self.size("context_length", i128::from(u32::MAX))?;
        let more = json!({
            "model_type": self.architecture,
            "vocab_size": vocabulary,
            "hidden_size": self.needed("embedding_length", 1 << 20)?,
            "num_hidden_layers": self.layers()?,
            "hidden_act": "silu",
            "max_position_embeddings": context,
            "tie_word_embeddings": !self.has("output.weight"),
        });
        config.extend(object(more));
        config.retain(|_, value| !value.is_null());
        Ok(config)
    }

    fn llama(&self) -> Result<serde_json::Map<String, Json>, LoadError> {
        if let Some(n) = self.size("expert_count", 1 << 20)?.filter(|n| *n > 0) {
            return Err(self.invalid("llama.expert_count", n, "0: mixtures of experts are not supported"));
        }
        let heads = self.needed("attention.head_count", 1 << 16)?;
        let hidden = self.needed("embedding_length", 1 << 20)?;
        let head_dim = self.size("attention.key_length", 1 << 16)?.unwrap_or(hidden / heads);
        self.only("attention.value_length", head_dim)?;
        self.only("rope.dimension_count", head_dim)?;
        let kind = self.get("rope.scaling.type").map(|(_, v)| v.as_str().unwrap_or("no text").to_string());
        let factor = match self.number("rope.scaling.factor")? {
            None => self.number("rope.scale_linear")?,
            some => some,
        };
        let scaling = match (kind.as_deref(), factor) {
            (None | Some("linear"), Some(factor)) if factor.as_f64() != Some(1.0) => {
                Some(json!({ "rope_type": "linear", "factor": factor }))
            }
            (None | Some("none" | "linear"), _) => None,
            (Some(other), _) => return Err(self.invalid("llama.rope.scaling.type", other, "none or linear")),
        };
        Ok(object(json!({
            "architectures": ["LlamaForCausalLM"],
            "intermediate_size": self.needed("feed_forward_length", 1 << 24)?,
            "num_attention_heads": heads,
            "num_key_value_heads": self.size("attention.head_count_kv", 1 << 16)?.unwrap_or(heads),
            "head_dim": head_dim,
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon")?.ok_or_else(|| self.missing("attention.layer_norm_rms_epsilon"))?,
            "rope_theta": self.number("rope.freq_base")?.unwrap_or(json!(10_000.0)),
            "rope_scaling": scaling,
            "rope_interleaved": true,
            "attention_bias": self.has("blk.0.attn_q.bias"),
            "mlp_bias": self.has("blk.0.ffn_gate.bias"),
        })))
    }

    fn mamba(&self) -> Result<serde_json::Map<String, Json>, LoadError> {
        if self.flag("ssm.dt_b_c_rms")? == Some(true) {
            return Err(self.invalid("mamba.ssm.dt_b_c_rms", true, "false: norms within the mixer are not supported"));
        }
        let (hidden, inner) = (self.needed("embedding_length", 1 << 20)?, self.needed("ssm.inner_size", 1 << 22)?);
        Ok(object(json!({
            "architectures": ["MambaForCausalLM"],
            "intermediate_size": inner,
            "expand": inner / hidden,
            "state_size": self.needed("ssm.state_size", 1 << 16)?,
            "conv_kernel": self.needed("ssm.conv_kernel", 1 << 10)?,
            "time_step_rank": self.needed("ssm.time_step_rank", 1 << 20)?,
            "layer_norm_epsilon": self.number("attention.layer_norm_rms_epsilon")?.unwrap_or(json!(1e-5)),
            "use_bias": self.has("blk.0.ssm_in.bias"),
            "use_conv_bias": self.has("blk.0.ssm_conv1d.bias"),
            "residual_in_fp32": true,
        })))
    }

    fn ttt(&self) -> Result<serde_json::Map<String, Json>, LoadError> {
        let layer_type = self.get("inner_model").and_then(|(_, v)| v.as_str()).ok_or_else(|| self.missing("inner_model"))?;
        Ok(object(json!({
            "architectures": ["TTTForCausalLM"],
            "intermediate_size": self.needed("feed_forward_length", 1 << 24)?,
            "num_attention_heads": self.needed("attention.head_count", 1 << 16)?,
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon")?,
            "rope_theta": self.number("rope.freq_base")?,
            "ttt_layer_type": layer_type,
            "mini_batch_size": self.needed("mini_batch_size", 1 << 10)?,
            "ttt_base_lr": self.number("base_lr")?.ok_or_else(|| self.missing("base_lr"))?,
            "use_gate": self.flag("use_gate")?,
            "share_qk": self.flag("share_qk")?,
            "pre_conv": self.flag("pre_conv")?,
            "conv_kernel": self.size("conv_kernel", 1 << 10)?,
        })))
    }
}

/// A float as the shortest decimal that rounds to it, as config files spell it: an f32 has no digits beyond its own.
fn decimal(value: &Value) -> Json {
    match value {
        Value::F32(x) => x.to_string().parse::<f64>().map_or(Json::Null, |x| json!(x)),
        other => json!(other.as_number()),
    }
}

fn object(value: Json) -> serde_json::Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => unreachable!("made of braces"),
    }
}

/// The config of a checkpoint that is to be written.
pub(super) struct Writing<'a> {
    pub(super) file: &'a str,
    pub(super) architecture: &'static str,
    pub(super) config: &'a Json,
    /// Shapes by Hugging Face name.
    pub(super) shapes: BTreeMap<&'a str, &'a [usize]>,
}

impl Writing<'_> {
    fn get(&self, names: &[&str]) -> Option<&Json> {
        names.iter().find_map(|n| self.config.get(n)).filter(|v| !v.is_null())
    }

    fn missing(&self, name: &str) -> LoadError {
        LoadError::invalid(self.file, format!("config field {name}"), "missing or unfit", "what a GGUF needs of it")
    }

    fn size(&self, names: &[&str]) -> Result<u32, LoadError> {
        let n = self.get(names).and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
        n.ok_or_else(|| self.missing(names[0]))
    }

    fn number(&self, names: &[&str], default: Option<f32>) -> Result<Value, LoadError> {
        let found = self.get(names).and_then(Json::as_f64).map(|x| x as f32);
        found.or(default).map(Value::F32).ok_or_else(|| self.missing(names[0]))
    }

    /// An axis of a tensor.
    fn axis(&self, tensor: &str, axis: usize) -> Result<u32, LoadError> {
        let size = self.shapes.get(tensor).and_then(|shape| shape.get(axis)).and_then(|n| u32::try_from(*n).ok());
        size.ok_or_else(|| LoadError::MissingTensor { file: self.file.into(), name: tensor.into() })
    }

    /// llama.cpp's keys for the sizes, then the family's own.
    pub(super) fn metadata(&self) -> Result<Vec<(String, Value)>, LoadError> {
        let embedding = if self.architecture == "mamba" { "backbone.embeddings.weight" } else { "model.embed_tokens.weight" };
        let (vocabulary, hidden) = (self.axis(embedding, 0)?, self.axis(embedding, 1)?);
        let mut all = vec![
            ("vocab_size", Value::U32(vocabulary)),
            ("embedding_length", Value::U32(hidden)),
            ("block_count", Value::U32(self.layers()?)),
        ];
        let context = self.size(&["max_position_embeddings"]);
        match self.architecture {
            "llama" => {
                all.push(("context_length", Value::U32(context?)));
                let heads = self.size(&["num_attention_heads"])?;
                let head_dim = self.size(&["head_dim"]).unwrap_or(hidden / heads.max(1));
                all.extend([
                    ("feed_forward_length", Value::U32(self.axis("model.layers.0.mlp.gate_proj.weight", 0)?)),
                    ("attention.head_count", Value::U32(heads)),
                    ("attention.head_count_kv", Value::U32(self.size(&["num_key_value_heads"]).unwrap_or(heads))),
                    ("attention.key_length", Value::U32(head_dim)),
                    ("attention.value_length", Value::U32(head_dim)),
                    ("attention.layer_norm_rms_epsilon", self.number(&["rms_norm_eps"], Some(1e-6))?),
                    ("rope.dimension_count", Value::U32(head_dim)),
                    ("rope.freq_base", self.rope_theta()?),
                ]);
                if let Some(scaling) = self.get(&["rope_scaling", "rope_parameters"])
                    && self.rope_type(scaling) == Some("linear")
                {
                    let factor = scaling.get("factor").and_then(Json::as_f64).ok_or_else(|| self.missing("rope_scaling"))?;
                    all.push(("rope.scaling.type", Value::String("linear".into())));
                    all.push(("rope.scaling.factor", Value::F32(factor as f32)));
                }
            }
            "mamba" => {
                // It has no limit; the converters write 2²⁰.
                all.push(("context_length", Value::U32(context.unwrap_or(1 << 20))));
                let mixer = |name: &str| format!("backbone.layers.0.mixer.{name}");
                all.extend([
                    ("feed_forward_length", Value::U32(0)),
                    ("attention.head_count", Value::U32(0)),
                    ("ssm.conv_kernel", Value::U32(self.axis(&mixer("conv1d.weight"), 2)?)),
                    ("ssm.inner_size", Value::U32(self.axis(&mixer("A_log"), 0)?)),
                    ("ssm.state_size", Value::U32(self.axis(&mixer("A_log"), 1)?)),
                    ("ssm.time_step_rank", Value::U32(self.axis(&mixer("dt_proj.weight"), 1)?)),
                    ("ssm.dt_b_c_rms", Value::Bool(false)),
                    ("attention.layer_norm_rms_epsilon", self.number(&["layer_norm_epsilon"], Some(1e-5))?),
                ]);
            }
            _ => {
                all.push(("context_length", Value::U32(context.unwrap_or(2048))));
                all.extend(self.ttt()?);
            }
        }
        Ok(all.into_iter().map(|(key, value)| (format!("{}.{key}", self.architecture), value)).collect())
    }

    fn ttt(&self) -> Result<Vec<(&'static str, Value)>, LoadError> {
        let block = |name: &str| format!("model.layers.0.seq_modeling_block.{name}");
        let has = |name: &str| self.shapes.contains_key(name);
        let mlp = has(&block("W2"));
        let (pre_conv, share_qk) = (has("model.layers.0.conv.conv.weight"), !has(&block("k_proj.weight")));
        let taps = match (pre_conv, share_qk) {
            (true, _) => Some(self.axis("model.layers.0.conv.conv.weight", 2)?),
            (false, true) => Some(self.axis(&block("conv_q.weight"), 2)?),
            (false, false) => None,
        };
        // The defaults are those of models::ttt::Config for a checkpoint with and without a config.
        let base_lr = if mlp && self.config.is_null() { 0.1 } else { 1.0 };
        let mut all = vec![
            ("feed_forward_length", Value::U32(self.axis("model.layers.0.mlp.gate_proj.weight", 0)?)),
            ("attention.head_count", Value::U32(self.axis(&block("W1"), 0)?)),
            ("attention.layer_norm_rms_epsilon", self.number(&["rms_norm_eps"], Some(1e-6))?),
            ("rope.freq_base", self.number(&["rope_theta"], Some(10_000.0))?),
            ("inner_model", Value::String(if mlp { "mlp" } else { "linear" }.into())),
            ("mini_batch_size", Value::U32(self.axis(&block("learnable_token_idx"), 0)?)),
            ("base_lr", self.number(&["ttt_base_lr", "adapt_base_lr"], Some(base_lr))?),
            ("use_gate", Value::Bool(has(&block("g_proj.weight")))),
            ("share_qk", Value::Bool(share_qk)),
            ("pre_conv", Value::Bool(pre_conv)),
        ];
        all.extend(taps.map(|taps| ("conv_kernel", Value::U32(taps))));
        Ok(all)
    }

    fn layers(&self) -> Result<u32, LoadError> {
        let number = |name: &&str| name.split(".layers.").nth(1)?.split('.').next()?.parse::<u32>().ok();
        let last = self.shapes.keys().filter_map(number).max();
        last.and_then(|n| n.checked_add(1)).ok_or_else(|| self.missing("num_hidden_layers"))
    }

    fn rope_type<'a>(&self, scaling: &'a Json) -> Option<&'a str> {
        scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Json::as_str)
    }

    fn rope_theta(&self) -> Result<Value, LoadError> {
        let nested = self.get(&["rope_parameters"]).and_then(|p| p.get("rope_theta")).and_then(Json::as_f64);
        self.number(&["rope_theta"], Some(nested.unwrap_or(10_000.0) as f32))
    }

    /// The divisors of the rotary frequencies, which a GGUF holds as a tensor, if the config scales them unevenly; and the numbers
    /// that they are made of.
    pub(super) fn rope_factors(&self) -> Result<Option<(Vec<f32>, super::rope::Llama3)>, LoadError> {
        let Some(scaling) = self.get(&["rope_scaling", "rope_parameters"]).filter(|_| self.architecture == "llama") else {
            return Ok(None);
        };
        match self.rope_type(scaling) {
            None | Some("default" | "linear") => Ok(None),
            Some("llama3") => {
                let field = |name: &str| scaling.get(name).and_then(Json::as_f64).ok_or_else(|| self.missing(name));
                let scaling = super::rope::Llama3 {
                    factor: field("factor")?,
                    low: field("low_freq_factor")?,
                    high: field("high_freq_factor")?,
                    context: field("original_max_position_embeddings")?,
                };
                let Value::F32(theta) = self.rope_theta()? else { unreachable!("it is made as one") };
                let hidden = self.axis("model.embed_tokens.weight", 1)?;
                let head_dim = self.size(&["head_dim"]).unwrap_or(hidden / self.size(&["num_attention_heads"])?.max(1));
                Ok(Some((scaling.factors(theta.into(), head_dim as usize), scaling)))
            }
            Some(other) => Err(LoadError::invalid(self.file, "rope_scaling's rope_type", other, "llama3 or linear")),
        }
    }
}
