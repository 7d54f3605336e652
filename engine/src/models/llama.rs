//! Transformers of the Llama architecture (arXiv 2302.13971): causal attention over a cache of keys and values, rotated by position,
//! grouped-query where the checkpoint is; and the TTT authors' own Transformer baseline, which is the same function.

use crate::graph::{Graph, GraphError, StateId, ValueId};
use crate::kernels::add::Add;
use crate::kernels::append::Append;
use crate::kernels::attend::{Attend, Heads};
use crate::kernels::attend_combine::AttendCombine;
use crate::kernels::attend_decode::AttendDecode;
use crate::kernels::embed::Embed;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::rope::{Positions, Rope};
use crate::load::{Checkpoint, LoadError};
use crate::models::tensors::Tensors;
use crate::models::{Architecture, Capacity, blocks, linear};
use crate::tensor::Desc;

mod config;

pub(super) use config::recognises;
pub use config::{Config, Scaling};

/// A Transformer language model.
pub struct Llama {
    config: Config,
    tensors: Tensors,
    rope: Rope,
    /// The rotation's table, the same for every graph.
    table: Vec<f32>,
}

impl Llama {
    /// Reads the sizes from the tensors and the config, and checks every tensor's shape.
    pub fn open(checkpoint: &Checkpoint, json: Option<&serde_json::Value>) -> Result<Llama, LoadError> {
        let config = Config::read(checkpoint, json)?;
        config.check_tensors(checkpoint)?;
        let Config { head_dim, interleaved, .. } = config;
        let rope = Rope { head_dim, positions: Positions::Full, interleaved };
        let table = rope.table(&config.frequencies());
        Ok(Llama { config, tensors: Tensors::new(checkpoint), rope, table })
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// h + attention(norm(h)).
    fn attention(
        &self,
        g: &mut Graph,
        layer: &str,
        h: ValueId,
        table: ValueId,
        capacity: Capacity,
    ) -> Result<ValueId, GraphError> {
        let (c, names) = (&self.config, self.config.names);
        let name = |part: &str| format!("{layer}.{}.{part}", names.attention);
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let norm = self.tensors.vector(g, &[&format!("{layer}.{}.weight", names.attention_norm)], c.hidden);
        let x = g.node(format!("{layer}.{}", names.attention_norm), RmsNorm { eps: c.rms_eps }, &[h, norm])?;

        let (q_proj, k_proj) = (name("q_proj.weight"), name("k_proj.weight"));
        let w = self.tensors.matrix(g, &[&q_proj, &k_proj], q_width + kv_width, c.hidden);
        let qk = linear(g, &name("q_proj|k_proj"), x, w)?;
        let w = self.tensors.matrix(g, &[&name("v_proj.weight")], kv_width, c.hidden);
        let v = linear(g, &name("v_proj"), x, w)?;
        let qk = g.node(name("rope"), self.rope.clone(), &[qk, table])?;
        let (q, k) = (g.columns(qk, 0, q_width), g.columns(qk, q_width, kv_width));

        let (k_cache, v_cache) =
            (self.cache(g, layer, &name("k_cache"), capacity), self.cache(g, layer, &name("v_cache"), capacity));
        let caches = [g.current(k_cache), g.current(v_cache)];
        let caches = g.nodes(name("cache"), Append, &[k, v, caches[0], caches[1]])?;
        let heads = Heads { query: c.heads, kv: c.kv_heads, head_dim: c.head_dim };
        let y = if capacity.tokens <= capacity.sequences {
            let partial = g.node(name("attend"), AttendDecode { heads }, &[q, caches[0], caches[1]])?;
            g.node(name("combine"), AttendCombine { heads: c.heads, head_dim: c.head_dim }, &[partial])?
        } else {
            g.node(name("attend"), Attend { heads }, &[q, caches[0], caches[1]])?
        };
        let w = self.tensors.matrix(g, &[&name("o_proj.weight")], c.hidden, q_width);
        let y = linear(g, &name("o_proj"), y, w)?;
        g.node(format!("{layer}.attention_residual"), Add, &[h, y])
    }

    fn cache(&self, g: &mut Graph, layer: &str, name: &str, capacity: Capacity) -> StateId {
        let width = self.config.kv_heads * self.config.head_dim;
        g.cache(layer, name, Desc::fixed(capacity.cache, &[capacity.sequences, capacity.context, width]))
    }
}

impl Architecture for Llama {
    fn family(&self) -> &'static str {
        "llama"
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn sizes(&self) -> Vec<(&'static str, String)> {
        self.config.sizes()
    }

    fn chunk(&self) -> usize {
        1
    }

    fn context(&self) -> Option<usize> {
        Some(self.config.context)
    }

    fn forward(&self, g: &mut Graph, ids: ValueId, capacity: Capacity) -> Result<ValueId, GraphError> {
        let c = &self.config;
        let table = self.tensors.matrix(g, &["model.embed_tokens.weight"], c.vocabulary, c.hidden);
        let mut h = g.node("model.embed_tokens", Embed, &[ids, table])?;
        let table = g.constant("rope", &[self.rope.rows(), c.head_dim], &self.table);
        let sizes = blocks::FeedForward { hidden: c.hidden, intermediate: c.intermediate, eps: c.rms_eps };
        for layer in 0..c.layers {
            let layer = format!("model.layers.{layer}");
            h = self.attention(g, &layer, h, table, capacity)?;
            h = blocks::feed_forward(g, &self.tensors, &layer, c.names.feed_forward_norm, h, sizes)?;
        }
        Ok(h)
    }

    fn logits(&self, g: &mut Graph, hidden: ValueId) -> Result<ValueId, GraphError> {
        let c = &self.config;
        blocks::logits(g, &self.tensors, hidden, c.rms_eps, c.tied, c.vocabulary)
    }
}
