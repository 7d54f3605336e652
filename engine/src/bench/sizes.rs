//! The models that are measured: four families at the sizes of the TTT paper, described without any file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::load::{Checkpoint, Opened, TensorInfo};
use crate::tensor::DType;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// TTT-Linear on the Mamba backbone, as all published checkpoints are (arXiv 2407.04620).
    TttLinear,
    /// TTT-MLP on the same.
    TttMlp,
    /// The paper's Transformer: Llama's architecture.
    Transformer,
    /// Mamba (arXiv 2312.00752), with twice the layers, as the paper compares it.
    Mamba,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 4] = [Family::TttLinear, Family::TttMlp, Family::Transformer, Family::Mamba];

    /// Whether the state has one size whatever the context.
    pub fn is_recurrent(self) -> bool {
        self != Family::Transformer
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::TttLinear => "ttt-linear",
            Family::TttMlp => "ttt-mlp",
            Family::Transformer => "transformer",
            Family::Mamba => "mamba",
        })
    }
}

/// Finds one of `all` by what it is called, or says what there is.
fn by_name<T: Copy + fmt::Display>(what: &str, name: &str, all: &[T]) -> Result<T, String> {
    let known = || all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|one| one.to_string() == name);
    found.copied().ok_or_else(|| format!("{name} is no {what}; known: {}", known()))
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> Result<Family, String> {
        by_name("family", name, &Family::ALL)
    }
}

/// The sizes of a model, the same for all families but for the layers of Mamba.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Its name: about how many parameters there are.
    pub name: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward block.
    pub intermediate: usize,
    /// Layers; a Mamba has twice as many.
    pub layers: usize,
    /// Heads of a layer.
    pub heads: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
}

impl Size {
    /// The paper's sizes (arXiv 2407.04620, appendix; the authors' configurations name the widths of the feed-forward blocks, and give 760m heads of
    /// 96), with its vocabulary; and one small enough that a software device writes with it.
    pub const ALL: [Size; 5] = [
        Size { name: "tiny", hidden: 128, intermediate: 352, layers: 4, heads: 2, vocabulary: 2048 },
        Size { name: "125m", hidden: 768, intermediate: 2048, layers: 12, heads: 12, vocabulary: 32_000 },
        Size { name: "350m", hidden: 1024, intermediate: 2736, layers: 24, heads: 16, vocabulary: 32_000 },
        Size { name: "760m", hidden: 1536, intermediate: 4096, layers: 24, heads: 16, vocabulary: 32_000 },
        Size { name: "1.3b", hidden: 2048, intermediate: 5504, layers: 24, heads: 32, vocabulary: 32_000 },
    ];

    /// The smallest.
    pub const TINY: Size = Size::ALL[0];

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// A family at this size as if it had been opened, its matrices to be held in `dtype`: shapes and a config, and nothing to read.
    pub fn opened(&self, family: Family, dtype: DType) -> Opened {
        let mut shapes = Shapes::default();
        let config = match family {
            Family::TttLinear => shapes.ttt(self, false),
            Family::TttMlp => shapes.ttt(self, true),
            Family::Transformer => shapes.transformer(self),
            Family::Mamba => shapes.mamba(self),
        };
        Opened {
            checkpoint: Checkpoint { sources: Vec::new(), tensors: shapes.0, dtype: Some(dtype) },
            config: Some(config),
            tokenizer: None,
            generation: None,
            tokenizer_config: None,
            chat_template: None,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(name: &str) -> Result<Size, String> {
        by_name("size", name, &Size::ALL)
    }
}

/// Tokens of a mini-batch, as in every published TTT model.
pub(super) const MINI_BATCH: usize = 16;

/// Rows that a convolution sees, in TTT models as in Mamba.
const TAPS: usize = 4;

/// The context that the Transformer claims to be trained for: as far as anything is measured.
const CONTEXT: usize = 1 << 17;

/// Tensors that are only described.
#[derive(Default)]
struct Shapes(BTreeMap<String, TensorInfo>);

impl Shapes {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.insert(name.into(), TensorInfo::plain(DType::F32, shape.to_vec(), 0, 0));
    }

    fn feed_forward(&mut self, layer: &str, size: &Size) {
        let (h, i) = (size.hidden, size.intermediate);
        self.add(format!("{layer}.mlp.gate_proj.weight"), &[i, h]);
        self.add(format!("{layer}.mlp.up_proj.weight"), &[i, h]);
        self.add(format!("{layer}.mlp.down_proj.weight"), &[h, i]);
    }

    fn ends(&mut self, size: &Size) {
        self.add("model.embed_tokens.weight", &[size.vocabulary, size.hidden]);
        self.add("model.norm.weight", &[size.hidden]);
    }

    fn ttt(&mut self, size: &Size, mlp: bool) -> Value {
        let Size { hidden: h, heads, .. } = *size;
        let (hd, inner) = (size.head_dim(), if mlp { 4 * size.head_dim() } else { size.head_dim() });
        self.ends(size);
        for layer in 0..size.layers {
            let layer = format!("model.layers.{layer}");
            self.feed_forward(&layer, size);
            for norm in ["seq_norm", "ffn_norm", "conv.norm"] {
                self.add(format!("{layer}.{norm}.weight"), &[h]);
            }
            self.add(format!("{layer}.conv.conv.weight"), &[h, 1, TAPS]);
            self.add(format!("{layer}.conv.conv.bias"), &[h]);
            let mut block = |name: &str, shape: &[usize]| self.add(format!("{layer}.seq_modeling_block.{name}"), shape);
            for name in ["q_proj", "v_proj", "o_proj", "g_proj"] {
                block(&format!("{name}.weight"), &[h, h]);
            }
            for name in ["conv_q", "conv_k"] {
                block(&format!("{name}.weight"), &[h, 1, TAPS]);
                block(&format!("{name}.bias"), &[h]);
            }
            block("post_norm.weight", &[h]);
            block("post_norm.bias", &[h]);
            block("learnable_token_idx", &[MINI_BATCH]);
            block("learnable_ttt_lr_weight", &[heads, 1, h]);
            block("learnable_ttt_lr_bias", &[heads, 1]);
            block("ttt_norm_weight", &[heads, hd]);
            block("ttt_norm_bias", &[heads, hd]);
            block("W1", &[heads, hd, inner]);
            block("b1", &[heads, 1, inner]);
            if mlp {
                block("W2", &[heads, inner, hd]);
                block("b2", &[heads, 1, hd]);
            }
        }
        let (kind, base_lr) = if mlp { ("mlp", 0.1) } else { ("linear", 1.0) };
        json!({ "model_type": "ttt", "ttt_layer_type": kind, "ttt_base_lr": base_lr })
    }

    fn transformer(&mut self, size: &Size) -> Value {
        let h = size.hidden;
        self.ends(size);
        for layer in 0..size.layers {
            let layer = format!("model.layers.{layer}");
            self.feed_forward(&layer, size);
            for norm in ["seq_norm", "ffn_norm"] {
                self.add(format!("{layer}.{norm}.weight"), &[h]);
            }
            for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
                self.add(format!("{layer}.seq_modeling_block.{name}.weight"), &[h, h]);
            }
        }
        json!({ "model_type": "llama", "num_attention_heads": size.heads, "max_position_embeddings": CONTEXT })
    }

    fn mamba(&mut self, size: &Size) -> Value {
        const STATE: usize = 16;
        let (h, channels, rank) = (size.hidden, 2 * size.hidden, size.hidden.div_ceil(16));
        self.add("backbone.embeddings.weight", &[size.vocabulary, h]);
        self.add("backbone.norm_f.weight", &[h]);
        for layer in 0..2 * size.layers {
            let layer = format!("backbone.layers.{layer}");
            self.add(format!("{layer}.norm.weight"), &[h]);
            let mut mixer = |name: &str, shape: &[usize]| self.add(format!("{layer}.mixer.{name}"), shape);
            mixer("in_proj.weight", &[2 * channels, h]);
            mixer("conv1d.weight", &[channels, 1, TAPS]);
            mixer("conv1d.bias", &[channels]);
            mixer("x_proj.weight", &[rank + 2 * STATE, channels]);
            mixer("dt_proj.weight", &[channels, rank]);
            mixer("dt_proj.bias", &[channels]);
            mixer("A_log", &[channels, STATE]);
            mixer("D", &[channels]);
            mixer("out_proj.weight", &[h, channels]);
        }
        json!({ "model_type": "mamba" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(size: &Size, family: Family) -> usize {
        size.opened(family, DType::F32).checkpoint.tensors.values().map(TensorInfo::len).sum()
    }

    #[test]
    fn every_model_is_one_of_its_family_with_about_as_many_parameters_as_its_name_says() {
        for (size, named) in Size::ALL.iter().zip([1.2e6, 125e6, 350e6, 760e6, 1.3e9]) {
            for family in Family::ALL {
                let opened = size.opened(family, DType::F32);
                let model = crate::models::open(&opened.checkpoint, opened.config.as_ref()).expect("every tensor is there");
                assert_eq!(model.vocabulary(), size.vocabulary);
                assert_eq!(model.context().is_none(), family.is_recurrent(), "{family}");
                let share = parameters(size, family) as f64 / named;
                assert!((0.85..1.15).contains(&share), "{family} {size}: {}", parameters(size, family));
            }
        }
    }

    #[test]
    fn parameters_are_those_of_the_published_models() {
        // The authors' checkpoints, tied embeddings and 32,000 tokens.
        let published = [
            ("125m", 110_424_144, 114_589_776),
            ("350m", 337_684_224, 348_792_576),
            ("760m", 733_608_192, 758_528_256),
            ("1.3b", 1_285_639_296, 1_307_856_000),
        ];
        for (name, linear, mlp) in published {
            let size: Size = name.parse().expect("a size");
            assert_eq!((parameters(&size, Family::TttLinear), parameters(&size, Family::TttMlp)), (linear, mlp), "{name}");
        }
        assert!("2b".parse::<Size>().is_err_and(|e| e.contains("tiny, 125m")));
        assert!("rnn".parse::<Family>().is_err_and(|e| e.contains("ttt-linear")));
    }
}
