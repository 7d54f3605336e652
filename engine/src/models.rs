//! Model families: each a forward pass in the order of its paper, as unfused nodes of a graph.

use crate::graph::{Graph, GraphError, ValueId};
use crate::kernels::{matmul::Matmul, matvec::Matvec};
use crate::load::{Checkpoint, LoadError};
use crate::quote::shown;
use crate::tensor::{DType, Desc};

mod blocks;
mod config;
pub mod llama;
pub mod mamba;
pub mod mamba2;
mod tensors;
pub mod ttt;

/// Families that [`open`] knows, by the `model_type` of their config.
pub const SUPPORTED: &str = "llama, mamba, mamba2, ttt, ttt_linear, ttt_mlp";

/// How many sequences and tokens a graph has room for, and what it tells besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Sequences side by side.
    pub sequences: usize,
    /// Tokens of all of them in one run.
    pub tokens: usize,
    /// Positions of each sequence, for states that grow with them.
    pub context: usize,
    /// Element type of such states: f32 or f16.
    pub cache: DType,
    /// Whether each layer that learns tells how well, as an output `probe.{layer}`: the inner loss of every token for each head before
    /// its mini-batch, then for each head after it, `[tokens, 2 · heads]`. Families that don't learn have none.
    pub probe: bool,
}

/// What a model learns while it reads: in every layer, each head has these matrices, end to end a row of the layer's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastShape {
    /// Layers, all of which learn.
    pub layers: usize,
    /// Heads of each.
    pub heads: usize,
    /// Name, rows and columns of each matrix; a vector has one row.
    pub matrices: Vec<(&'static str, usize, usize)>,
}

impl FastShape {
    /// Elements of one head's row.
    pub fn row(&self) -> usize {
        self.matrices.iter().map(|(_, rows, columns)| rows * columns).sum()
    }
}

/// A model: an architecture with its sizes, for one checkpoint.
pub trait Architecture: Send + Sync {
    /// The family's name.
    fn family(&self) -> &'static str;

    /// Size of the vocabulary.
    fn vocabulary(&self) -> usize;

    /// Name and value of every size, for people and for the fingerprint of a session's state.
    fn sizes(&self) -> Vec<(&'static str, String)>;

    /// Tokens that a run should hold at least for the fast path: the mini-batch of a TTT model.
    fn chunk(&self) -> usize;

    /// Positions that the model was trained for, if its state grows with them; none where its size is fixed.
    fn context(&self) -> Option<usize> {
        None
    }

    /// What it learns while it reads; none for a family whose state is no model.
    fn fast(&self) -> Option<FastShape> {
        None
    }

    /// Whether it learns while it reads, so that the scale of the inner learning rate matters.
    fn learns(&self) -> bool {
        self.fast().is_some()
    }

    /// From ids `[tokens]` to the last hidden rows `[tokens, width]`, normalised for the output matrix.
    fn forward(&self, g: &mut Graph, ids: ValueId, capacity: Capacity) -> Result<ValueId, GraphError>;

    /// From hidden rows to logits `[…, vocabulary]`.
    fn logits(&self, g: &mut Graph, hidden: ValueId) -> Result<ValueId, GraphError>;
}

/// Recognises the family of a checkpoint and reads its sizes.
pub fn open(checkpoint: &Checkpoint, config: Option<&serde_json::Value>) -> Result<Box<dyn Architecture>, LoadError> {
    let found = config.and_then(|c| c.get("model_type")).filter(|t| !t.is_null());
    // The original Mamba checkpoints name no family; their tensors tell it.
    let has = |tensor: &str| checkpoint.tensors.contains_key(&format!("backbone.layers.0.mixer.{tensor}"));
    match found.map(|t| t.as_str().unwrap_or_default()) {
        Some("llama") => Ok(Box::new(llama::Llama::open(checkpoint, config)?)),
        Some("mamba") => Ok(Box::new(mamba::Mamba::open(checkpoint, config)?)),
        Some("mamba2") => Ok(Box::new(mamba2::Mamba2::open(checkpoint, config)?)),
        None if llama::recognises(checkpoint) => Ok(Box::new(llama::Llama::open(checkpoint, config)?)),
        None if has("x_proj.weight") => Ok(Box::new(mamba::Mamba::open(checkpoint, config)?)),
        None if has("dt_bias") => Ok(Box::new(mamba2::Mamba2::open(checkpoint, config)?)),
        None | Some("ttt" | "ttt_linear" | "ttt_mlp") => Ok(Box::new(ttt::Ttt::open(checkpoint, config)?)),
        Some(_) => {
            let found = found.map(|t| shown(t.as_str().map_or_else(|| t.to_string(), str::to_string))).unwrap_or_default();
            let file = checkpoint.name().into();
            Err(LoadError::UnknownArchitecture { file, found, supported: SUPPORTED.into() })
        }
    }
}

/// y = x wᵀ: the kernel for few rows or the one for many, by the room in x.
fn linear(g: &mut Graph, label: &str, x: ValueId, w: ValueId) -> Result<ValueId, GraphError> {
    /// Rows up to which streaming the weight once a row beats tiles.
    const FEW: usize = 2;
    if g.desc(x).rows() <= FEW {
        g.node(label, Matvec::plain(false), &[x, w])
    } else {
        g.node(label, Matmul { residual: false }, &[x, w])
    }
}

/// A description of ids for the embedding.
pub fn ids_desc(capacity: Capacity) -> Desc {
    Desc::tokens(capacity.tokens, 1).of(DType::U32)
}
