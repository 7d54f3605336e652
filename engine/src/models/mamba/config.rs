//! The sizes of a Mamba model, and those that it shares with Mamba-2: from its tensors, cross-checked with its config in the Hugging
//! Face form or in that of the original code.

use serde_json::Value;

use crate::load::{Checkpoint, LoadError};
use crate::models::config::{self, Json};

/// The widest row that a model may have inside.
const MAX_WIDTH: usize = 1 << 20;

/// What Mamba and Mamba-2 have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Backbone {
    /// Rows of the embedding: the vocabulary, padded if the model was trained so.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Channels of a layer's state space.
    pub channels: usize,
    /// Channels of the convolution before it.
    pub conv_channels: usize,
    /// Rows that the convolution sees.
    pub taps: usize,
    /// Whether the projections into and out of a layer have a bias.
    pub bias: bool,
    /// Whether the convolution has one.
    pub conv_bias: bool,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// The embedding's tensor, whose name tells the two layouts apart.
    pub embedding: &'static str,
}

/// A config with the checkpoint that it must agree with.
pub(in crate::models) struct Reader<'a> {
    /// The checkpoint.
    pub(in crate::models) checkpoint: &'a Checkpoint,
    /// The config.
    pub(in crate::models) json: Json<'a>,
    /// Its part about the layers, which is the whole in the Hugging Face form.
    pub(in crate::models) layer: Json<'a>,
}

impl<'a> Reader<'a> {
    /// Pairs them.
    pub(in crate::models) fn new(checkpoint: &'a Checkpoint, value: Option<&'a Value>) -> Result<Reader<'a>, LoadError> {
        let file = checkpoint.name();
        let layer = value.and_then(|value| value.get("ssm_cfg")).filter(|layer| !layer.is_null()).or(value);
        Ok(Reader { checkpoint, json: Json::new(file, value)?, layer: Json::new(file, layer)? })
    }

    /// Whether there is such a tensor.
    pub(in crate::models) fn has(&self, name: &str) -> bool {
        self.checkpoint.tensors.contains_key(name)
    }

    /// The shape of a tensor of so many axes.
    pub(in crate::models) fn shape(&self, name: &str, axes: usize) -> Result<&'a [usize], LoadError> {
        config::shape(self.checkpoint, name, axes)
    }

    /// Refuses a size that is out of range.
    pub(in crate::models) fn within(&self, what: &str, found: usize, least: usize, most: usize) -> Result<(), LoadError> {
        if (least..=most).contains(&found) {
            return Ok(());
        }
        Err(LoadError::invalid(self.json.file, what, found, format!("{least} to {most}")))
    }

    /// Refuses a field of the layers that is not `wanted`, if it is there.
    fn only(&self, json: &Json<'_>, name: &str, wanted: Value) -> Result<(), LoadError> {
        match json.get(&[name]).filter(|(_, found)| **found != wanted) {
            Some((name, found)) => Err(json.invalid(name, found, &wanted.to_string())),
            None => Ok(()),
        }
    }
}

impl Backbone {
    /// Reads the sizes. What the tensors tell is taken from them; the config adds the rest and must not contradict.
    pub(in crate::models) fn read(reader: &Reader<'_>) -> Result<Backbone, LoadError> {
        let Reader { json, layer, .. } = reader;
        let mixer = |name: &str| format!("backbone.layers.0.mixer.{name}");
        let original = reader.has("backbone.embedding.weight");
        let embedding = if original { "backbone.embedding.weight" } else { "backbone.embeddings.weight" };
        let [vocabulary, hidden] = reader.shape(embedding, 2)?[..] else { unreachable!("two axes") };
        let [_, channels] = reader.shape(&mixer("out_proj.weight"), 2)?[..] else { unreachable!("two axes") };
        let [conv_channels, _, taps] = reader.shape(&mixer("conv1d.weight"), 3)?[..] else { unreachable!("three axes") };
        let layers = config::layers(reader.checkpoint, "backbone.layers.");
        let (bias, conv_bias) = (reader.has(&mixer("in_proj.bias")), reader.has(&mixer("conv1d.bias")));

        // The original code rounds its vocabulary up.
        let multiple = json.size(&["pad_vocab_size_multiple"], 1 << 16)?.unwrap_or(1);
        let says = json.size(&["vocab_size"], 1 << 24)?.map(|n| n.next_multiple_of(multiple));
        json.agree("vocab_size", says, vocabulary)?;
        json.agree("hidden_size", json.size(&["hidden_size", "d_model"], 1 << 20)?, hidden)?;
        json.agree("num_hidden_layers", json.size(&["num_hidden_layers", "n_layer"], 10_000)?, layers)?;
        let expand = layer.number(&["expand"])?.map(|expand| (expand * hidden as f64) as usize);
        json.agree("expand * hidden_size", expand, channels)?;
        json.agree("conv_kernel", layer.size(&["conv_kernel", "d_conv"], 16)?, taps)?;
        json.agree("use_bias", layer.flag("use_bias")?.or(layer.flag("bias")?), bias)?;
        json.agree("use_conv_bias", layer.flag("use_conv_bias")?.or(layer.flag("conv_bias")?), conv_bias)?;
        reader.only(json, "hidden_act", "silu".into())?;
        reader.only(json, "rms_norm", true.into())?;
        reader.only(json, "d_intermediate", 0.into())?;
        reader.only(json, "attn_layer_idx", Value::Array(Vec::new()))?;

        let tied = match json.flag("tie_word_embeddings")?.or(json.flag("tie_embeddings")?) {
            Some(tied) => tied,
            None => !reader.has("lm_head.weight"),
        };
        reader.within("the convolution's width", taps, 2, 16)?;
        config::check_depth(json.file, vocabulary, layers)?;
        reader.within("the width", hidden, 1, MAX_WIDTH)?;
        reader.within("the width of a layer", channels, 1, MAX_WIDTH)?;
        reader.within("the width of the convolution", conv_channels, channels, MAX_WIDTH)?;
        let rms_eps = json.number(&["layer_norm_epsilon"])?.unwrap_or(1e-5) as f32;
        Ok(Backbone { vocabulary, hidden, layers, channels, conv_channels, taps, bias, conv_bias, rms_eps, tied, embedding })
    }

    /// Checks that every tensor that both families have is there and has its shape; `projected` is the width of the first projection.
    pub(in crate::models) fn check_tensors(&self, checkpoint: &Checkpoint, projected: usize) -> Result<(), LoadError> {
        checkpoint.expect("backbone.norm_f.weight", &[self.hidden])?;
        if !self.tied {
            checkpoint.expect("lm_head.weight", &[self.vocabulary, self.hidden])?;
        }
        for layer in 0..self.layers {
            let expect =
                |name: &str, shape: &[usize]| checkpoint.expect(&format!("backbone.layers.{layer}.{name}"), shape).map(drop);
            expect("norm.weight", &[self.hidden])?;
            expect("mixer.in_proj.weight", &[projected, self.hidden])?;
            expect("mixer.out_proj.weight", &[self.hidden, self.channels])?;
            expect("mixer.conv1d.weight", &[self.conv_channels, 1, self.taps])?;
            if self.bias {
                expect("mixer.in_proj.bias", &[projected])?;
                expect("mixer.out_proj.bias", &[self.hidden])?;
            }
            if self.conv_bias {
                expect("mixer.conv1d.bias", &[self.conv_channels])?;
            }
        }
        Ok(())
    }

    /// Name and value of every size.
    pub(in crate::models) fn sizes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("vocabulary", self.vocabulary.to_string()),
            ("hidden", self.hidden.to_string()),
            ("layers", self.layers.to_string()),
            ("channels", self.channels.to_string()),
            ("conv_kernel", self.taps.to_string()),
            ("bias", self.bias.to_string()),
            ("conv_bias", self.conv_bias.to_string()),
            ("rms_eps", self.rms_eps.to_string()),
            ("tied", self.tied.to_string()),
        ]
    }
}

/// The sizes of a Mamba model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What Mamba-2 has as well.
    pub backbone: Backbone,
    /// Elements of a channel's state.
    pub state: usize,
    /// Width of the projection that the time steps are made of.
    pub rank: usize,
}

impl Config {
    /// Reads the sizes and checks every tensor's shape.
    pub fn read(checkpoint: &Checkpoint, json: Option<&Value>) -> Result<Config, LoadError> {
        let reader = Reader::new(checkpoint, json)?;
        let backbone = Backbone::read(&reader)?;
        let channels = backbone.channels;
        let state = reader.shape("backbone.layers.0.mixer.A_log", 2)?[1];
        let rank = reader.shape("backbone.layers.0.mixer.dt_proj.weight", 2)?[1];
        let Reader { json, layer, .. } = &reader;
        json.agree("state_size", layer.size(&["state_size", "d_state"], 1 << 16)?, state)?;
        json.agree("intermediate_size", json.size(&["intermediate_size"], 1 << 24)?, channels)?;
        let automatic = layer.get(&["time_step_rank", "dt_rank"]).is_some_and(|(_, rank)| rank == "auto");
        let says = if automatic { None } else { layer.size(&["time_step_rank", "dt_rank"], 1 << 20)? };
        json.agree("time_step_rank", says, rank)?;
        reader.within("the state of a channel", state, 1, crate::kernels::MAX_STATE)?;
        reader.within("the rank of the time steps", rank, 1, MAX_WIDTH)?;

        backbone.check_tensors(checkpoint, 2 * channels)?;
        for layer in 0..backbone.layers {
            let expect = |name: &str, shape: &[usize]| {
                checkpoint.expect(&format!("backbone.layers.{layer}.mixer.{name}"), shape).map(drop)
            };
            expect("conv1d.weight", &[channels, 1, backbone.taps])?;
            expect("x_proj.weight", &[rank + 2 * state, channels])?;
            expect("dt_proj.weight", &[channels, rank])?;
            expect("dt_proj.bias", &[channels])?;
            expect("A_log", &[channels, state])?;
            expect("D", &[channels])?;
        }
        Ok(Config { backbone, state, rank })
    }

    /// Name and value of every size.
    pub fn sizes(&self) -> Vec<(&'static str, String)> {
        let mut sizes = self.backbone.sizes();
        sizes.extend([("state", self.state.to_string()), ("time_step_rank", self.rank.to_string())]);
        sizes
    }
}
