//! Parts of a forward pass that several families share.

use super::linear;
use super::tensors::Tensors;
use crate::graph::{Graph, GraphError, ValueId};
use crate::kernels::add::Add;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::swiglu::Swiglu;

/// The sizes of a gated feed-forward block with its norm.
#[derive(Clone, Copy)]
pub(super) struct FeedForward {
    /// Width of the residual stream.
    pub(super) hidden: usize,
    /// Width between the projections.
    pub(super) intermediate: usize,
    /// Epsilon of the norm.
    pub(super) eps: f32,
}

/// h + down(silu(gate(n)) ∘ up(n)), n = norm(h), with the projections under `{layer}.mlp`.
pub(super) fn feed_forward(
    g: &mut Graph,
    tensors: &Tensors,
    layer: &str,
    norm: &str,
    h: ValueId,
    sizes: FeedForward,
) -> Result<ValueId, GraphError> {
    let FeedForward { hidden, intermediate, eps } = sizes;
    let weight = tensors.vector(g, &[&format!("{layer}.{norm}.weight")], hidden);
    let n = g.node(format!("{layer}.{norm}"), RmsNorm { eps }, &[h, weight])?;
    let project = |g: &mut Graph, part: &str, x, rows, columns| {
        let name = format!("{layer}.mlp.{part}_proj");
        let w = tensors.matrix(g, &[&format!("{name}.weight")], rows, columns);
        linear(g, &name, x, w)
    };
    let gate = project(g, "gate", n, intermediate, hidden)?;
    let up = project(g, "up", n, intermediate, hidden)?;
    let y = g.node(format!("{layer}.mlp.act"), Swiglu, &[gate, up])?;
    let y = project(g, "down", y, hidden, intermediate)?;
    g.node(format!("{layer}.ffn_residual"), Add, &[h, y])
}

/// The last norm and the output matrix, which is the embedding if `tied`.
pub(super) fn logits(
    g: &mut Graph,
    tensors: &Tensors,
    hidden: ValueId,
    eps: f32,
    tied: bool,
    vocabulary: usize,
) -> Result<ValueId, GraphError> {
    let width = g.desc(hidden).width();
    let norm = tensors.vector(g, &["model.norm.weight"], width);
    let x = g.node("model.norm", RmsNorm { eps }, &[hidden, norm])?;
    let name = if tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
    let w = tensors.matrix(g, &[name], vocabulary, width);
    linear(g, "lm_head", x, w)
}
