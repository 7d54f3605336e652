//! Mamba language models (arXiv 2312.00752): every layer is a selective state space between two projections. And what they share
//! with Mamba-2.

use crate::graph::{Graph, GraphError, ValueId};
use crate::kernels::add::Add;
use crate::kernels::add_bias::AddBias;
use crate::kernels::causal_conv::CausalConv;
use crate::kernels::embed::Embed;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::selective_scan::SelectiveScan;
use crate::kernels::swiglu::Swiglu;
use crate::load::{Checkpoint, LoadError};
use crate::models::tensors::Tensors;
use crate::models::{Architecture, Capacity, linear};
use crate::tensor::{DType, Desc};

mod config;

pub(super) use config::Reader;
pub use config::{Backbone, Config};

/// A Mamba language model.
pub struct Mamba {
    config: Config,
    tensors: Tensors,
}

impl Mamba {
    /// Reads the sizes from the tensors and the config, and checks every tensor's shape.
    pub fn open(checkpoint: &Checkpoint, json: Option<&serde_json::Value>) -> Result<Mamba, LoadError> {
        Ok(Mamba { config: Config::read(checkpoint, json)?, tensors: Tensors::new(checkpoint) })
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layer between its projections: from x and z to y ∘ silu(z).
    fn mix(&self, g: &mut Graph, layer: &str, xz: ValueId, sequences: usize) -> Result<ValueId, GraphError> {
        let Config { backbone, state, rank } = &self.config;
        let (channels, state, rank) = (backbone.channels, *state, *rank);
        let name = |part: &str| format!("{layer}.mixer.{part}");
        let (x, z) = (g.columns(xz, 0, channels), g.columns(xz, channels, channels));
        let x = backbone.conv(g, &self.tensors, layer, x, sequences)?;
        let w = self.tensors.matrix(g, &[&name("x_proj.weight")], rank + 2 * state, channels);
        let dt_bc = linear(g, &name("x_proj"), x, w)?;
        let (dt, bc) = (g.columns(dt_bc, 0, rank), g.columns(dt_bc, rank, 2 * state));
        let w = self.tensors.matrix(g, &[&name("dt_proj.weight")], channels, rank);
        let dt = linear(g, &name("dt_proj"), dt, w)?;
        let params = [name("A_log"), name("dt_proj.bias"), name("D")];
        let params = self.tensors.vector(g, &params.each_ref().map(String::as_str), channels * (state + 2));
        let desc = Desc::fixed(DType::F32, &[sequences * channels, state]);
        let states = g.state(layer, name("state"), desc, None);
        let states = g.current(states);
        let scan = SelectiveScan { channels, state, gated: false };
        let y = g.node(name("scan"), scan, &[x, dt, bc, params, states])?;
        g.node(name("act"), Swiglu, &[z, y])
    }
}

impl Backbone {
    /// From ids to hidden rows, `[tokens, hidden]`. `mix` is a layer between its projections, the first of which is `projected`
    /// wide: it gets the layer's name and the projected rows.
    pub(super) fn forward(
        &self,
        g: &mut Graph,
        tensors: &Tensors,
        ids: ValueId,
        projected: usize,
        mix: impl Fn(&mut Graph, &str, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<ValueId, GraphError> {
        let table = tensors.matrix(g, &[self.embedding], self.vocabulary, self.hidden);
        let mut h = g.node("backbone.embeddings", Embed, &[ids, table])?;
        for layer in 0..self.layers {
            h = self.block(g, tensors, &format!("backbone.layers.{layer}"), h, projected, &mix)?;
        }
        Ok(h)
    }

    /// h + out_proj(mix(in_proj(norm(h)))), where the first projection is `projected` wide.
    fn block(
        &self,
        g: &mut Graph,
        tensors: &Tensors,
        layer: &str,
        h: ValueId,
        projected: usize,
        mix: &impl Fn(&mut Graph, &str, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<ValueId, GraphError> {
        let norm = tensors.vector(g, &[&format!("{layer}.norm.weight")], self.hidden);
        let x = g.node(format!("{layer}.norm"), RmsNorm { eps: self.rms_eps }, &[h, norm])?;
        let x = self.project(g, tensors, &format!("{layer}.mixer.in_proj"), x, projected, self.hidden)?;
        let y = mix(g, layer, x)?;
        let y = self.project(g, tensors, &format!("{layer}.mixer.out_proj"), y, self.hidden, self.channels)?;
        g.node(format!("{layer}.residual"), Add, &[h, y])
    }

    fn project(
        &self,
        g: &mut Graph,
        tensors: &Tensors,
        name: &str,
        x: ValueId,
        rows: usize,
        columns: usize,
    ) -> Result<ValueId, GraphError> {
        let w = tensors.matrix(g, &[&format!("{name}.weight")], rows, columns);
        let y = linear(g, name, x, w)?;
        if !self.bias {
            return Ok(y);
        }
        let name = format!("{name}.bias");
        let bias = tensors.vector(g, &[&name], rows);
        g.node(name, AddBias, &[y, bias])
    }

    /// silu(conv(x)).
    pub(super) fn conv(
        &self,
        g: &mut Graph,
        tensors: &Tensors,
        layer: &str,
        x: ValueId,
        sequences: usize,
    ) -> Result<ValueId, GraphError> {
        let (name, channels) = (format!("{layer}.mixer.conv1d"), self.conv_channels);
        let w = tensors.vector(g, &[&format!("{name}.weight")], channels * self.taps);
        let bias = match self.conv_bias {
            true => tensors.vector(g, &[&format!("{name}.bias")], channels),
            false => g.constant("no bias", &[channels], &vec![0.0; channels]),
        };
        let desc = Desc::fixed(DType::F32, &[sequences, self.taps - 1, channels]);
        let window = g.state(layer, format!("{name}.window"), desc, None);
        let window = g.current(window);
        g.node(name, CausalConv { filters: 1, taps: self.taps, silu: true, residual: false }, &[x, w, bias, window])
    }

    /// From hidden rows to logits.
    pub(super) fn logits(&self, g: &mut Graph, tensors: &Tensors, hidden: ValueId) -> Result<ValueId, GraphError> {
        let norm = tensors.vector(g, &["backbone.norm_f.weight"], self.hidden);
        let x = g.node("backbone.norm_f", RmsNorm { eps: self.rms_eps }, &[hidden, norm])?;
        let w = tensors.matrix(g, &[if self.tied { self.embedding } else { "lm_head.weight" }], self.vocabulary, self.hidden);
        linear(g, "lm_head", x, w)
    }
}

impl Architecture for Mamba {
    fn family(&self) -> &'static str {
        "mamba"
    }

    fn vocabulary(&self) -> usize {
        self.config.backbone.vocabulary
    }

    fn sizes(&self) -> Vec<(&'static str, String)> {
        self.config.sizes()
    }

    fn chunk(&self) -> usize {
        8
    }

    fn forward(&self, g: &mut Graph, ids: ValueId, capacity: Capacity) -> Result<ValueId, GraphError> {
        let backbone = &self.config.backbone;
        let mix = |g: &mut Graph, layer: &str, xz| self.mix(g, layer, xz, capacity.sequences);
        backbone.forward(g, &self.tensors, ids, 2 * backbone.channels, mix)
    }

    fn logits(&self, g: &mut Graph, hidden: ValueId) -> Result<ValueId, GraphError> {
        self.config.backbone.logits(g, &self.tensors, hidden)
    }
}
