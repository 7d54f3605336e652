//! Mamba-2 language models (arXiv 2405.21060): heads with one rate of decay each, and a norm behind the gate.

use crate::graph::{Graph, GraphError, ValueId};
use crate::kernels::group_rms_norm::GroupRmsNorm;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::ssd::Ssd;
use crate::kernels::swiglu::Swiglu;
use crate::load::{Checkpoint, LoadError};
use crate::models::tensors::Tensors;
use crate::models::{Architecture, Capacity};
use crate::tensor::{DType, Desc};

mod config;

pub use config::Config;

/// A Mamba-2 language model.
pub struct Mamba2 {
    config: Config,
    tensors: Tensors,
}

impl Mamba2 {
    /// Reads the sizes from the tensors and the config, and checks every tensor's shape.
    pub fn open(checkpoint: &Checkpoint, json: Option<&serde_json::Value>) -> Result<Mamba2, LoadError> {
        Ok(Mamba2 { config: Config::read(checkpoint, json)?, tensors: Tensors::new(checkpoint) })
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layer between its projections: from z, x, B, C and dt to norm(y ∘ silu(z)).
    fn mix(&self, g: &mut Graph, layer: &str, projected: ValueId, sequences: usize) -> Result<ValueId, GraphError> {
        let Config { backbone, space } = &self.config;
        let (channels, conv_channels, heads) = (backbone.channels, backbone.conv_channels, space.heads);
        let name = |part: &str| format!("{layer}.mixer.{part}");
        let z = g.columns(projected, 0, channels);
        let x_bc = g.columns(projected, channels, conv_channels);
        let dt = g.columns(projected, channels + conv_channels, heads);
        let x_bc = backbone.conv(g, &self.tensors, layer, x_bc, sequences)?;
        let (x, bc) = (g.columns(x_bc, 0, channels), g.columns(x_bc, channels, conv_channels - channels));
        let params = [name("A_log"), name("dt_bias"), name("D")];
        let params = self.tensors.vector(g, &params.each_ref().map(String::as_str), 3 * heads);
        let desc = Desc::fixed(DType::F32, &[sequences * heads, space.head_dim * space.state]);
        let states = g.state(layer, name("state"), desc, None);
        let states = g.current(states);
        let y = g.node(name("scan"), Ssd { space: *space, gated: false }, &[x, dt, bc, params, states])?;
        let y = g.node(name("act"), Swiglu, &[z, y])?;
        let norm = self.tensors.vector(g, &[&name("norm.weight")], channels);
        // A norm of whole rows can go into the projection behind it.
        match space.groups {
            1 => g.node(name("norm"), RmsNorm { eps: backbone.rms_eps }, &[y, norm]),
            groups => g.node(name("norm"), GroupRmsNorm { groups, eps: backbone.rms_eps }, &[y, norm]),
        }
    }
}

impl Architecture for Mamba2 {
    fn family(&self) -> &'static str {
        "mamba2"
    }

    fn vocabulary(&self) -> usize {
        self.config.backbone.vocabulary
    }

    fn sizes(&self) -> Vec<(&'static str, String)> {
        self.config.sizes()
    }

    fn chunk(&self) -> usize {
        16
    }

    fn forward(&self, g: &mut Graph, ids: ValueId, capacity: Capacity) -> Result<ValueId, GraphError> {
        let mix = |g: &mut Graph, layer: &str, projected| self.mix(g, layer, projected, capacity.sequences);
        self.config.backbone.forward(g, &self.tensors, ids, self.config.projected(), mix)
    }

    fn logits(&self, g: &mut Graph, hidden: ValueId) -> Result<ValueId, GraphError> {
        self.config.backbone.logits(g, &self.tensors, hidden)
    }
}
