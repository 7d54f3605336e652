//! The sizes of a TTT language model: from its tensors, cross-checked with its config in either dialect.

use serde_json::Value;

use crate::load::{Checkpoint, LoadError};
use crate::models::config::{self, Json};

/// The inner model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inner {
    /// One layer.
    Linear,
    /// Two layers, four times as wide between them.
    Mlp,
}

/// The sizes of a TTT language model.
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
    /// Heads of a layer.
    pub heads: usize,
    /// The inner model.
    pub inner: Inner,
    /// Whether the TTT layer's output is gated.
    pub use_gate: bool,
    /// Whether queries and keys are convolutions of one projection.
    pub share_qk: bool,
    /// Whether a convolution comes before each layer.
    pub pre_conv: bool,
    /// Rows that a convolution sees.
    pub taps: usize,
    /// The inner learning rate's base.
    pub base_lr: f32,
    /// Tokens of a mini-batch.
    pub mini_batch: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
}

/// The tensors of the two convolutions of a shared projection.
const CONV_QK: [&str; 4] = [
    "seq_modeling_block.conv_q.weight",
    "seq_modeling_block.conv_q.bias",
    "seq_modeling_block.conv_k.weight",
    "seq_modeling_block.conv_k.bias",
];

impl Config {
    /// Reads the sizes. What the tensors tell is taken from them; the config adds the rest and must not contradict.
    pub fn read(checkpoint: &Checkpoint, json: Option<&Value>) -> Result<Config, LoadError> {
        let file = checkpoint.name().to_string();
        let json = Json::new(&file, json)?;
        let shape = |name: &str, axes: usize| config::shape(checkpoint, name, axes);
        let has = |name: &str| checkpoint.tensors.contains_key(name);
        let block = |name: &str| format!("model.layers.0.seq_modeling_block.{name}");

        let embedding = shape("model.embed_tokens.weight", 2)?;
        let (vocabulary, hidden) = (embedding[0], embedding[1]);
        let intermediate = shape("model.layers.0.mlp.gate_proj.weight", 2)?[0];
        let heads = shape(&block("W1"), 3)?[0];
        let mini_batch = shape(&block("learnable_token_idx"), 1)?[0];
        let inner = if has(&block("W2")) { Inner::Mlp } else { Inner::Linear };
        let pre_conv = has("model.layers.0.conv.conv.weight");
        let share_qk = !has(&block("k_proj.weight"));
        let use_gate = has(&block("g_proj.weight"));
        json.agree("use_gate", json.flag("use_gate")?, use_gate)?;
        json.agree("share_qk", json.flag("share_qk")?, share_qk)?;
        json.agree("pre_conv", json.flag("pre_conv")?, pre_conv)?;
        let taps = match (pre_conv, share_qk) {
            (true, _) => shape("model.layers.0.conv.conv.weight", 3)?[2],
            (false, true) => shape(&block("conv_q.weight"), 3)?[2],
            (false, false) => json.size(&["conv_kernel"], 16)?.unwrap_or(4),
        };
        let layers = config::layers(checkpoint, "model.layers.");

        json.agree("vocab_size", json.size(&["vocab_size"], 1 << 24)?, vocabulary)?;
        json.agree("hidden_size", json.size(&["hidden_size"], 1 << 20)?, hidden)?;
        json.agree("intermediate_size", json.size(&["intermediate_size"], 1 << 20)?, intermediate)?;
        json.agree("num_hidden_layers", json.size(&["num_hidden_layers"], 10_000)?, layers)?;
        json.agree("num_attention_heads", json.size(&["num_attention_heads"], 1 << 16)?, heads)?;
        json.agree("mini_batch_size", json.size(&["mini_batch_size", "chunk_size"], 64)?, mini_batch)?;
        json.agree("conv_kernel", json.size(&["conv_kernel"], 16)?, taps)?;
        let kind = match inner {
            Inner::Linear => "linear",
            Inner::Mlp => "mlp",
        };
        json.agree("ttt_layer_type", json.text("ttt_layer_type", kind)?, kind)?;
        let kind_of_model = json.text("model_type", kind)?.and_then(|model_type| model_type.strip_prefix("ttt_"));
        json.agree("model_type", kind_of_model, kind)?;
        if let Some((name, found)) = json.get(&["hidden_act"]).filter(|(_, v)| v.as_str() != Some("silu")) {
            return Err(json.invalid(name, found, "silu"));
        }
        let default_lr = match inner {
            Inner::Linear => 1.0,
            Inner::Mlp => 0.1,
        };
        // The published class default is 1.0 for both; a checkpoint without any config is a published one, and its MLPs use 0.1.
        let default_lr = if json.exists() { 1.0 } else { default_lr };
        let config = Config {
            vocabulary,
            hidden,
            intermediate,
            layers,
            heads,
            inner,
            use_gate,
            share_qk,
            pre_conv,
            taps,
            base_lr: json.number(&["ttt_base_lr", "adapt_base_lr"])?.unwrap_or(default_lr) as f32,
            mini_batch,
            rope_theta: json.number(&["rope_theta"])?.unwrap_or(10_000.0),
            rms_eps: json.number(&["rms_norm_eps"])?.unwrap_or(1e-6) as f32,
            tied: config::tied(checkpoint, &json)?,
        };
        config.check_sizes(&file)?;
        Ok(config)
    }

    fn check_sizes(&self, file: &str) -> Result<(), LoadError> {
        let invalid = |what: &str, found: usize, wanted: &str| Err(LoadError::invalid(file, what, found, wanted));
        if !self.hidden.is_multiple_of(self.heads) {
            return invalid("the number of heads", self.heads, &format!("a divisor of the width {}", self.hidden));
        }
        if !self.head_dim().is_multiple_of(4) || self.head_dim() > 128 {
            return invalid("the width of a head", self.head_dim(), "a multiple of 4 up to 128");
        }
        if self.mini_batch > 64 {
            return invalid("the mini-batch", self.mini_batch, "1 to 64");
        }
        if !(2..=16).contains(&self.taps) {
            return invalid("the convolution's width", self.taps, "2 to 16");
        }
        config::check_depth(file, self.vocabulary, self.layers)?;
        Ok(())
    }

    /// Checks that every tensor is there and has its shape, and that none is there of a part that the model does not have.
    pub fn check_tensors(&self, checkpoint: &Checkpoint) -> Result<(), LoadError> {
        let Config { hidden: h, intermediate: i, heads, taps, mini_batch, .. } = *self;
        let (hd, wide) = (self.head_dim(), 4 * self.head_dim());
        checkpoint.expect("model.norm.weight", &[h])?;
        if !self.tied {
            checkpoint.expect("lm_head.weight", &[self.vocabulary, h])?;
        }
        for layer in 0..self.layers {
            let expect =
                |name: &str, shape: &[usize]| checkpoint.expect(&format!("model.layers.{layer}.{name}"), shape).map(|_| ());
            let block = |name: &str, shape: &[usize]| expect(&format!("seq_modeling_block.{name}"), shape);
            expect("seq_norm.weight", &[h])?;
            expect("ffn_norm.weight", &[h])?;
            expect("mlp.gate_proj.weight", &[i, h])?;
            expect("mlp.up_proj.weight", &[i, h])?;
            expect("mlp.down_proj.weight", &[h, i])?;
            if self.pre_conv {
                expect("conv.norm.weight", &[h])?;
                expect("conv.conv.weight", &[h, 1, taps])?;
                expect("conv.conv.bias", &[h])?;
            }
            for name in ["q_proj.weight", "v_proj.weight", "o_proj.weight"] {
                block(name, &[h, h])?;
            }
            if self.share_qk {
                for name in ["conv_q", "conv_k"] {
                    block(&format!("{name}.weight"), &[h, 1, taps])?;
                    block(&format!("{name}.bias"), &[h])?;
                }
            } else {
                block("k_proj.weight", &[h, h])?;
            }
            if self.use_gate {
                block("g_proj.weight", &[h, h])?;
            }
            block("post_norm.weight", &[h])?;
            block("post_norm.bias", &[h])?;
            block("learnable_token_idx", &[mini_batch])?;
            block("learnable_ttt_lr_weight", &[heads, 1, h])?;
            block("learnable_ttt_lr_bias", &[heads, 1])?;
            block("ttt_norm_weight", &[heads, hd])?;
            block("ttt_norm_bias", &[heads, hd])?;
            let has = |name: &str| checkpoint.tensors.contains_key(&format!("model.layers.{layer}.{name}"));
            let of_absent_parts = [
                (self.pre_conv, &["conv.norm.weight", "conv.conv.weight", "conv.conv.bias"][..]),
                (self.share_qk, &CONV_QK),
                (!self.share_qk, &["seq_modeling_block.k_proj.weight"]),
                (self.use_gate, &["seq_modeling_block.g_proj.weight"]),
                (self.inner == Inner::Mlp, &["seq_modeling_block.W2", "seq_modeling_block.b2"]),
            ];
            for name in of_absent_parts.iter().filter(|(there, _)| !there).flat_map(|(_, names)| *names) {
                if has(name) {
                    let (what, wanted) =
                        (format!("tensor model.layers.{layer}.{name}"), "none, as model.layers.0 lacks that part");
                    return Err(LoadError::invalid(checkpoint.name(), what, "there", wanted));
                }
            }
            match self.inner {
                Inner::Linear => {
                    block("W1", &[heads, hd, hd])?;
                    block("b1", &[heads, 1, hd])?;
                }
                Inner::Mlp => {
                    block("W1", &[heads, hd, wide])?;
                    block("b1", &[heads, 1, wide])?;
                    block("W2", &[heads, wide, hd])?;
                    block("b2", &[heads, 1, hd])?;
                }
            }
        }
        Ok(())
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Name and value of every size.
    pub fn sizes(&self) -> Vec<(&'static str, String)> {
        let inner = match self.inner {
            Inner::Linear => "linear",
            Inner::Mlp => "mlp",
        };
        vec![
            ("inner", inner.into()),
            ("vocabulary", self.vocabulary.to_string()),
            ("hidden", self.hidden.to_string()),
            ("intermediate", self.intermediate.to_string()),
            ("layers", self.layers.to_string()),
            ("heads", self.heads.to_string()),
            ("head_dim", self.head_dim().to_string()),
            ("mini_batch", self.mini_batch.to_string()),
            ("use_gate", self.use_gate.to_string()),
            ("share_qk", self.share_qk.to_string()),
            ("pre_conv", self.pre_conv.to_string()),
            ("conv_kernel", self.taps.to_string()),
            ("base_lr", self.base_lr.to_string()),
            ("rope_theta", self.rope_theta.to_string()),
            ("rms_eps", self.rms_eps.to_string()),
            ("tied", self.tied.to_string()),
        ]
    }
}
