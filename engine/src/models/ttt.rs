//! TTT language models (arXiv 2407.04620): every layer learns on what it reads, with a linear or a two-layer inner model.

use crate::graph::{Graph, GraphError, Pack, ValueId};
use crate::kernels::Geometry;
use crate::kernels::causal_conv::CausalConv;
use crate::kernels::embed::Embed;
use crate::kernels::gelu_gate::GeluGate;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::lr_gate::LrGate;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::rope::{Positions, Rope};
use crate::kernels::ttt_linear::TttLinear;
use crate::kernels::ttt_mlp::TttMlp;
use crate::kernels::{Op, add::Add};
use crate::load::{Checkpoint, LoadError};
use crate::models::tensors::Tensors;
use crate::models::{Architecture, Capacity, FastShape, blocks, linear};
use crate::tensor::{DType, Desc};

mod config;

pub use config::{Config, Inner};

/// The epsilon of the LayerNorm before the output projection, hard-coded in the published model.
const POST_NORM_EPS: f32 = 1e-6;

/// A TTT language model.
pub struct Ttt {
    config: Config,
    tensors: Tensors,
}

impl Ttt {
    /// Reads the sizes from the tensors and the config, and checks every tensor's shape.
    pub fn open(checkpoint: &Checkpoint, json: Option<&serde_json::Value>) -> Result<Ttt, LoadError> {
        let config = Config::read(checkpoint, json)?;
        config.check_tensors(checkpoint)?;
        Ok(Ttt { config, tensors: Tensors::new(checkpoint) })
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// h + conv(norm(h)).
    fn pre_conv(&self, g: &mut Graph, layer: &str, h: ValueId, sequences: usize) -> Result<ValueId, GraphError> {
        let c = &self.config;
        let norm = self.tensors.vector(g, &[&format!("{layer}.conv.norm.weight")], c.hidden);
        let x = g.node(format!("{layer}.conv.norm"), RmsNorm { eps: c.rms_eps }, &[h, norm])?;
        let name = format!("{layer}.conv.conv");
        let w = self.tensors.vector(g, &[&format!("{name}.weight")], c.hidden * c.taps);
        let bias = self.tensors.vector(g, &[&format!("{name}.bias")], c.hidden);
        let window = self.window(g, layer, &name, sequences);
        let y = g.node(name, CausalConv { filters: 1, taps: c.taps, silu: false, residual: false }, &[x, w, bias, window])?;
        g.node(format!("{layer}.conv.residual"), Add, &[h, y])
    }

    fn mlp(&self) -> blocks::FeedForward {
        let c = &self.config;
        blocks::FeedForward { hidden: c.hidden, intermediate: c.intermediate, eps: c.rms_eps }
    }

    fn window(&self, g: &mut Graph, layer: &str, name: &str, sequences: usize) -> ValueId {
        let desc = Desc::fixed(DType::F32, &[sequences, self.config.taps - 1, self.config.hidden]);
        let state = g.state(layer, format!("{name}.window"), desc, None);
        g.current(state)
    }

    /// h + TTT(norm(h)), and the probe of the inner model if there is one.
    fn ttt(&self, g: &mut Graph, layer: &str, h: ValueId, capacity: Capacity) -> Result<(ValueId, Option<ValueId>), GraphError> {
        let (c, Capacity { sequences, probe, .. }) = (&self.config, capacity);
        let block = format!("{layer}.seq_modeling_block");
        let name = |part: &str| format!("{block}.{part}");
        let norm = self.tensors.vector(g, &[&format!("{layer}.seq_norm.weight")], c.hidden);
        let x = g.node(format!("{layer}.seq_norm"), RmsNorm { eps: c.rms_eps }, &[h, norm])?;

        // Projections of the normalised input.
        let (q_proj, k_proj) = (name("q_proj.weight"), name("k_proj.weight"));
        let qk = if c.share_qk {
            let w = self.tensors.matrix(g, &[&q_proj], c.hidden, c.hidden);
            linear(g, &name("q_proj"), x, w)?
        } else {
            let w = self.tensors.matrix(g, &[&q_proj, &k_proj], 2 * c.hidden, c.hidden);
            linear(g, &name("q_proj|k_proj"), x, w)?
        };
        let w = self.tensors.matrix(g, &[&name("v_proj.weight")], c.hidden, c.hidden);
        let v = linear(g, &name("v_proj"), x, w)?;
        let w = self.tensors.matrix(g, &[&name("learnable_ttt_lr_weight")], c.heads, c.hidden);
        let z = linear(g, &name("learnable_ttt_lr"), x, w)?;
        let gate = match c.use_gate {
            true => {
                let w = self.tensors.matrix(g, &[&name("g_proj.weight")], c.hidden, c.hidden);
                Some(linear(g, &name("g_proj"), x, w)?)
            }
            false => None,
        };

        // Queries and keys: two convolutions of one projection, or two projections; then the rotation.
        let qk = match c.share_qk {
            true => {
                let w = self.tensors.vector(g, &[&name("conv_q.weight"), &name("conv_k.weight")], 2 * c.hidden * c.taps);
                let bias = self.tensors.vector(g, &[&name("conv_q.bias"), &name("conv_k.bias")], 2 * c.hidden);
                let window = self.window(g, layer, &name("conv_qk"), sequences);
                g.node(
                    name("conv_q|conv_k"),
                    CausalConv { filters: 2, taps: c.taps, silu: false, residual: false },
                    &[qk, w, bias, window],
                )?
            }
            false => qk,
        };
        let rope = Rope { head_dim: c.head_dim(), positions: Positions::Periodic(c.mini_batch), interleaved: true };
        let table = rope.table(&Rope::frequencies(c.head_dim(), c.rope_theta));
        let table = g.constant("rope", &[c.mini_batch, c.head_dim()], &table);
        let qk = g.node(name("rope"), rope, &[qk, table])?;
        let bias = self.tensors.vector(g, &[&name("learnable_ttt_lr_bias")], c.heads);
        let lr = g.node(name("learnable_ttt_lr_bias"), LrGate { scale: c.base_lr / c.head_dim() as f32 }, &[z, bias])?;

        // The inner model, as a state that starts at its learned weights.
        let geometry = Geometry { heads: c.heads, head_dim: c.head_dim(), mini_batch: c.mini_batch };
        let (op, fast_len, row_len, learned): (Op, usize, usize, &[&str]) = match c.inner {
            Inner::Linear => (
                TttLinear { geometry, probe, front: None }.into(),
                TttLinear::fast_len(&geometry),
                TttLinear::row_len(&geometry),
                &["W1", "b1"],
            ),
            Inner::Mlp => (
                TttMlp { geometry, probe, front: None }.into(),
                TttMlp::fast_len(&geometry),
                TttMlp::row_len(&geometry),
                &["W1", "b1", "W2", "b2"],
            ),
        };
        let learned: Vec<String> = learned.iter().map(|n| name(n)).collect();
        let learned: Vec<&str> = learned.iter().map(String::as_str).collect();
        let start = g.weight(&learned, Pack::Joined, Desc::fixed(DType::F32, &[c.heads, fast_len]));
        let rows = sequences * c.heads;
        let fast = g.state(layer, name("fast"), Desc::fixed(DType::F32, &[rows, fast_len]), Some(start));
        let open = g.state(layer, name("open"), Desc::fixed(DType::F32, &[rows, c.mini_batch * row_len]), None);
        let params = [name("ttt_norm_weight"), name("ttt_norm_bias"), name("learnable_token_idx")];
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        let params = self.tensors.vector(g, &params, geometry.params_len());
        let (fast, open) = (g.current(fast), g.current(open));
        let outputs = g.nodes(name("ttt"), op, &[qk, v, lr, params, fast, open])?;
        let (y, probe) = (outputs[0], outputs.get(3).copied());

        let gamma = self.tensors.vector(g, &[&name("post_norm.weight")], c.hidden);
        let beta = self.tensors.vector(g, &[&name("post_norm.bias")], c.hidden);
        let mut y = g.node(name("post_norm"), LayerNorm { eps: POST_NORM_EPS, gated: false }, &[y, gamma, beta])?;
        if let Some(gate) = gate {
            y = g.node(name("gate"), GeluGate, &[gate, y])?;
        }
        let w = self.tensors.matrix(g, &[&name("o_proj.weight")], c.hidden, c.hidden);
        let y = linear(g, &name("o_proj"), y, w)?;
        Ok((g.node(format!("{layer}.seq_residual"), Add, &[h, y])?, probe))
    }
}

impl Architecture for Ttt {
    fn family(&self) -> &'static str {
        "ttt"
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn sizes(&self) -> Vec<(&'static str, String)> {
        self.config.sizes()
    }

    fn chunk(&self) -> usize {
        self.config.mini_batch
    }

    fn fast(&self) -> Option<FastShape> {
        let c = &self.config;
        let hd = c.head_dim();
        let matrices = match c.inner {
            Inner::Linear => vec![("W1", hd, hd), ("b1", 1, hd)],
            Inner::Mlp => vec![("W1", hd, 4 * hd), ("b1", 1, 4 * hd), ("W2", 4 * hd, hd), ("b2", 1, hd)],
        };
        Some(FastShape { layers: c.layers, heads: c.heads, matrices })
    }

    fn forward(&self, g: &mut Graph, ids: ValueId, capacity: Capacity) -> Result<ValueId, GraphError> {
        let c = &self.config;
        let table = self.tensors.matrix(g, &["model.embed_tokens.weight"], c.vocabulary, c.hidden);
        let mut h = g.node("model.embed_tokens", Embed, &[ids, table])?;
        for i in 0..c.layers {
            let layer = format!("model.layers.{i}");
            if c.pre_conv {
                h = self.pre_conv(g, &layer, h, capacity.sequences)?;
            }
            let (learned, probe) = self.ttt(g, &layer, h, capacity)?;
            h = learned;
            if let Some(probe) = probe {
                g.output(format!("probe.{i}"), probe);
            }
            h = blocks::feed_forward(g, &self.tensors, &layer, "ffn_norm", h, self.mlp())?;
        }
        Ok(h)
    }

    fn logits(&self, g: &mut Graph, hidden: ValueId) -> Result<ValueId, GraphError> {
        blocks::logits(g, &self.tensors, hidden, self.config.rms_eps, self.config.tied, self.config.vocabulary)
    }
}
