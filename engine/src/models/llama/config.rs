//! The sizes of a Llama model: from its tensors, cross-checked with its config.

use std::f64::consts::TAU;

use serde_json::Value;

use crate::kernels::attend::MAX_HEAD_DIM;
use crate::kernels::rope::{MAX_POSITIONS, Rope};
use crate::load::{Checkpoint, LoadError};
use crate::models::config::{self, Json};

/// How the rotary frequencies are changed for longer contexts than the model began with.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by a factor (position interpolation, arXiv 2306.15595).
    Linear(f64),
    /// Long waves divided by a factor, short ones kept, a ramp between them (Llama 3.1).
    Llama3 {
        /// The divisor of long waves.
        factor: f64,
        /// Waves longer than `original / low` are long.
        low: f64,
        /// Waves shorter than `original / high` are short.
        high: f64,
        /// Positions of the first training.
        original: f64,
    },
    /// Each divided by a number of its own, as GGUF files have it.
    Each(Vec<f64>),
}

/// What a checkpoint calls the parts of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The attention block.
    pub attention: &'static str,
    /// The norm before it.
    pub attention_norm: &'static str,
    /// The norm before the feed-forward block.
    pub feed_forward_norm: &'static str,
}

/// The names of Hugging Face's `LlamaForCausalLM`.
const HUGGING_FACE: Names =
    Names { attention: "self_attn", attention_norm: "input_layernorm", feed_forward_norm: "post_attention_layernorm" };
/// Those of the TTT authors' Transformer, under the names that their stream is given.
const AUTHORS: Names = Names { attention: "seq_modeling_block", attention_norm: "seq_norm", feed_forward_norm: "ffn_norm" };

/// The sizes of a Llama model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward block.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads, a divisor of them.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// What is done to their frequencies.
    pub scaling: Scaling,
    /// Whether the rotation's pairs lie side by side, or else half a head apart.
    pub interleaved: bool,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// What the checkpoint calls its parts.
    pub names: Names,
}

/// Whether the tensors are those of a Transformer, by the names of one dialect or the other.
pub(in crate::models) fn recognises(checkpoint: &Checkpoint) -> bool {
    names(checkpoint).is_some()
}

fn names(checkpoint: &Checkpoint) -> Option<Names> {
    let has = |block: &str, name: &str| checkpoint.tensors.contains_key(&format!("model.layers.0.{block}.{name}"));
    let is_ours = |names: &Names| has(names.attention, "k_proj.weight") && !has(names.attention, "W1");
    [HUGGING_FACE, AUTHORS].into_iter().find(is_ours)
}

impl Config {
    /// Reads the sizes. What the tensors tell is taken from them; the config adds the rest and must not contradict.
    pub fn read(checkpoint: &Checkpoint, json: Option<&Value>) -> Result<Config, LoadError> {
        let file = checkpoint.name().to_string();
        let json = Json::new(&file, json)?;
        let names = names(checkpoint).unwrap_or(HUGGING_FACE);
        let shape = |name: &str| config::shape(checkpoint, name, 2);
        let block = |name: &str| format!("model.layers.0.{}.{name}", names.attention);
        let (vocabulary, hidden) = match shape("model.embed_tokens.weight")? {
            [vocabulary, hidden] => (*vocabulary, *hidden),
            _ => unreachable!("it has two axes"),
        };
        let intermediate = shape("model.layers.0.mlp.gate_proj.weight")?[0];
        let (q_width, kv_width) = (shape(&block("q_proj.weight"))?[0], shape(&block("k_proj.weight"))?[0]);
        let layers = config::layers(checkpoint, "model.layers.");
        let heads = match json.size(&["num_attention_heads"], 1 << 16)? {
            Some(heads) => heads,
            None => published_heads(&file, hidden, names)?,
        };
        let whole = |what: &str, width: usize, unit: usize| match width.is_multiple_of(unit) {
            true => Ok(width / unit),
            false => Err(LoadError::invalid(&file, what, width, format!("a multiple of {unit}"))),
        };
        let head_dim = whole("the rows of q_proj.weight, which its heads share,", q_width, heads)?;
        let kv_heads = whole("the rows of k_proj.weight, which has whole heads,", kv_width, head_dim)?;

        json.agree("vocab_size", json.size(&["vocab_size"], 1 << 24)?, vocabulary)?;
        json.agree("hidden_size", json.size(&["hidden_size"], 1 << 20)?, hidden)?;
        json.agree("intermediate_size", json.size(&["intermediate_size"], 1 << 20)?, intermediate)?;
        json.agree("num_hidden_layers", json.size(&["num_hidden_layers"], 10_000)?, layers)?;
        json.agree("num_key_value_heads", json.size(&["num_key_value_heads"], 1 << 16)?, kv_heads)?;
        json.agree("head_dim", json.size(&["head_dim"], 1 << 16)?, head_dim)?;
        refuse_unsupported(&json)?;
        let rope = Json::new(&file, json.get(&["rope_parameters"]).map(|(_, value)| value))?;
        let theta = json.number(&["rope_theta"])?.or(rope.number(&["rope_theta"])?);
        let config = Config {
            vocabulary,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            head_dim,
            context: json.size(&["max_position_embeddings"], 1 << 40)?.unwrap_or(2048).min(MAX_POSITIONS),
            rope_theta: theta.unwrap_or(10_000.0),
            scaling: scaling(&file, &json, head_dim)?,
            interleaved: json.flag("rope_interleaved")?.unwrap_or(names == AUTHORS),
            rms_eps: json.number(&["rms_norm_eps"])?.unwrap_or(1e-6) as f32,
            tied: config::tied(checkpoint, &json)?,
            names,
        };
        config.check_sizes(&file)?;
        Ok(config)
    }

    fn check_sizes(&self, file: &str) -> Result<(), LoadError> {
        if !self.head_dim.is_multiple_of(4) || self.head_dim > MAX_HEAD_DIM {
            let wanted = format!("a multiple of 4 up to {MAX_HEAD_DIM}");
            return Err(LoadError::invalid(file, "the width of a head", self.head_dim, wanted));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let wanted = format!("a divisor of the {} query heads", self.heads);
            return Err(LoadError::invalid(file, "the number of key and value heads", self.kv_heads, wanted));
        }
        config::check_depth(file, self.vocabulary, self.layers)
    }

    /// Checks that every tensor is there and has its shape, and that no layer has a bias.
    pub fn check_tensors(&self, checkpoint: &Checkpoint) -> Result<(), LoadError> {
        let (h, i) = (self.hidden, self.intermediate);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        checkpoint.expect("model.embed_tokens.weight", &[self.vocabulary, h])?;
        checkpoint.expect("model.norm.weight", &[h])?;
        if !self.tied {
            checkpoint.expect("lm_head.weight", &[self.vocabulary, h])?;
        }
        for layer in 0..self.layers {
            let expect = |name: &str, shape: &[usize]| checkpoint.expect(&format!("model.layers.{layer}.{name}"), shape);
            let block = |name: &str, shape: &[usize]| expect(&format!("{}.{name}.weight", self.names.attention), shape);
            expect(&format!("{}.weight", self.names.attention_norm), &[h])?;
            expect(&format!("{}.weight", self.names.feed_forward_norm), &[h])?;
            block("q_proj", &[q, h])?;
            block("k_proj", &[kv, h])?;
            block("v_proj", &[kv, h])?;
            block("o_proj", &[h, q])?;
            expect("mlp.gate_proj.weight", &[i, h])?;
            expect("mlp.up_proj.weight", &[i, h])?;
            expect("mlp.down_proj.weight", &[h, i])?;
        }
        match checkpoint.tensors.keys().find(|name| name.ends_with("_proj.bias")) {
            Some(name) => {
                Err(LoadError::invalid(checkpoint.name(), format!("tensor {name}"), "a bias", "projections without biases"))
            }
            None => Ok(()),
        }
    }

    /// The angle that each pair of a head turns by from one position to the next.
    pub fn frequencies(&self) -> Vec<f64> {
        let mut frequencies = Rope::frequencies(self.head_dim, self.rope_theta);
        for (n, f) in frequencies.iter_mut().enumerate() {
            match &self.scaling {
                Scaling::None => {}
                Scaling::Linear(factor) => *f /= factor,
                Scaling::Each(factors) => *f /= factors[n],
                Scaling::Llama3 { factor, low, high, original } => {
                    // How many waves of this frequency the original context holds: at most `low` is long, at least `high` short.
                    let waves = original * *f / TAU;
                    let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                    *f = kept * *f + (1.0 - kept) * *f / factor;
                }
            }
        }
        frequencies
    }

    /// Name and value of every size.
    pub fn sizes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("vocabulary", self.vocabulary.to_string()),
            ("hidden", self.hidden.to_string()),
            ("intermediate", self.intermediate.to_string()),
            ("layers", self.layers.to_string()),
            ("heads", self.heads.to_string()),
            ("kv_heads", self.kv_heads.to_string()),
            ("head_dim", self.head_dim.to_string()),
            ("context", self.context.to_string()),
            ("rope_theta", self.rope_theta.to_string()),
            ("rope_scaling", format!("{:?}", self.scaling)),
            ("interleaved", self.interleaved.to_string()),
            ("rms_eps", self.rms_eps.to_string()),
            ("tied", self.tied.to_string()),
        ]
    }
}

/// The heads of the TTT authors' published sizes (arXiv 2407.04620, table of sizes): their stream does not tell.
fn published_heads(file: &str, hidden: usize, names: Names) -> Result<usize, LoadError> {
    match hidden {
        768 if names == AUTHORS => Ok(12),
        1024 | 1536 if names == AUTHORS => Ok(16),
        2048 if names == AUTHORS => Ok(32),
        _ => {
            Err(LoadError::invalid(file, "config field num_attention_heads", "missing", "the number of heads, in a config.json"))
        }
    }
}

/// Refuses what would make the model another function.
fn refuse_unsupported(json: &Json<'_>) -> Result<(), LoadError> {
    if let Some((name, found)) = json.get(&["hidden_act"]).filter(|(_, v)| v.as_str() != Some("silu")) {
        return Err(json.invalid(name, found, "silu"));
    }
    for name in ["attention_bias", "mlp_bias"] {
        if json.flag(name)? == Some(true)
            && let Some((name, found)) = json.get(&[name])
        {
            return Err(json.invalid(name, found, "false: projections with biases are not supported"));
        }
    }
    let on = |(name, found): &(String, &Value)| match name.as_str() {
        "partial_rotary_factor" => found.as_f64() != Some(1.0),
        _ => found.as_bool() != Some(false),
    };
    for name in ["sliding_window", "partial_rotary_factor"] {
        if let Some((name, found)) = json.get(&[name]).filter(on) {
            return Err(json.invalid(name, found, "none: attention to all positions, all of a head rotated"));
        }
    }
    Ok(())
}

/// The scaling of the rotary frequencies: under `rope_scaling`, or under `rope_parameters` as transformers 5 has it.
fn scaling(file: &str, json: &Json<'_>, head_dim: usize) -> Result<Scaling, LoadError> {
    let factors = |name: String, found: &Value| {
        let numbers: Option<Vec<f64>> = found.as_array().and_then(|a| a.iter().map(Value::as_f64).collect());
        let fits = |n: &Vec<f64>| n.len() == head_dim / 2 && n.iter().all(|x| *x > 1e-6 && *x < 1e6);
        let wanted = format!("{} positive numbers", head_dim / 2);
        numbers.filter(fits).map(Scaling::Each).ok_or_else(|| json.invalid(name, found, &wanted))
    };
    if let Some((name, found)) = json.get(&["rope_factors"]) {
        return factors(name, found);
    }
    let Some((field, value)) = json.get(&["rope_scaling", "rope_parameters"]) else { return Ok(Scaling::None) };
    let rope = Json::new(file, Some(value))?;
    let number = |name: &str| -> Result<f64, LoadError> {
        let missing = || LoadError::invalid(file, format!("config field {field}.{name}"), "missing", "a positive number");
        rope.number(&[name])?.ok_or_else(missing)
    };
    match rope.get(&["rope_type", "type"]) {
        None => Ok(Scaling::None),
        Some((name, kind)) => match kind.as_str() {
            Some("default") => Ok(Scaling::None),
            Some("linear") => Ok(Scaling::Linear(number("factor")?)),
            Some("llama3") => {
                let original = number("original_max_position_embeddings")?;
                let (factor, low, high) = (number("factor")?, number("low_freq_factor")?, number("high_freq_factor")?);
                if high <= low {
                    return Err(LoadError::invalid(
                        file,
                        format!("config field {field}.high_freq_factor"),
                        high,
                        format!("over {low}"),
                    ));
                }
                Ok(Scaling::Llama3 { factor, low, high, original })
            }
            _ => Err(json.invalid(format!("{field}.{name}"), kind, "default, linear or llama3")),
        },
    }
}
