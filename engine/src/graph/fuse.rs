//! Rewrites a graph into one with fewer nodes that computes the same. Each rule names the pattern that it replaces; a
//! fused kernel's reference calls the references it stands for.

use super::{Graph, Node, Pack, Source, ValueId, Weight};
use crate::caps::Caps;
use crate::kernels::Op;
use crate::kernels::causal_conv::CausalConv;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::matmul::Matmul;
use crate::kernels::matvec::{Epilogue, Matvec, Prologue};
use crate::kernels::selective_scan::SelectiveScan;
use crate::kernels::ssd::Ssd;

mod few;
pub mod scans;

/// Applies every rule, in the order in which one makes room for the next, for a device with `caps`: a rule whose kernel takes a weight whole
/// is for weights that fit in one binding.
pub fn fuse(mut graph: Graph, caps: &Caps) -> Graph {
    drop_unused(&mut graph);
    pack_projections(&mut graph);
    norm_into_matvec(&mut graph);
    after_into_node(&mut graph);
    few::fuse(&mut graph, caps);
    scans::in_two_passes(&mut graph, caps);
    graph
}

/// How often a value is read, counting its column ranges, the graph's outputs and the states' newest versions.
fn uses(graph: &Graph, value: ValueId) -> usize {
    let inputs = graph.nodes.iter().flat_map(|n| &n.inputs).filter(|v| graph.base(**v) == value).count();
    let outputs = graph.outputs.iter().filter(|o| graph.base(o.1) == value).count();
    inputs + outputs + graph.states.iter().filter(|s| s.current == value).count()
}

/// The node that yields a value.
fn maker(graph: &Graph, value: ValueId) -> Option<usize> {
    match graph.values[value.0].source {
        Source::Node { node, .. } => Some(node),
        _ => None,
    }
}

/// Whether one of these nodes updates `value` in place, so that reading it before or after differs.
fn updated_within(graph: &Graph, mut nodes: impl Iterator<Item = usize>, value: ValueId) -> bool {
    nodes.any(|n| {
        let node = &graph.nodes[n];
        node.op.kernel().updates().iter().any(|(input, _)| graph.base(node.inputs[*input]) == graph.base(value))
    })
}

/// Removes a node whose outputs nobody reads any more.
fn remove(graph: &mut Graph, gone: usize) {
    graph.nodes.remove(gone);
    for value in &mut graph.values {
        if let Source::Node { node, .. } = &mut value.source
            && *node > gone
        {
            *node -= 1;
        }
    }
}

/// A node that nobody reads and that brings no state forward → nothing.
fn drop_unused(graph: &mut Graph) {
    for n in (0..graph.nodes.len()).rev() {
        if graph.nodes[n].outputs.iter().all(|v| uses(graph, *v) == 0) {
            remove(graph, n);
        }
    }
}

/// `product(x, w₁) … product(x, wₙ)` → one product with the weights stacked, and its columns.
fn pack_projections(graph: &mut Graph) {
    let plain = |node: &Node| {
        matches!(
            node.op,
            Op::Matmul(Matmul { residual: false }) | Op::Matvec(Matvec { prologue: Prologue::None, epilogue: Epilogue::None })
        )
    };
    // The tensors behind a plain product's weight.
    let tensors = |graph: &Graph, node: usize| -> Option<Vec<String>> {
        let node = &graph.nodes[node];
        match &graph.values[node.inputs.get(1)?.0].source {
            Source::Weight(Weight::Tensors { names, pack: Pack::Stacked }) if plain(node) => Some(names.clone()),
            _ => None,
        }
    };
    for first in 0.. {
        if first >= graph.nodes.len() {
            break;
        }
        let alike = |graph: &Graph, n: usize| {
            let (node, lead) = (&graph.nodes[n], &graph.nodes[first]);
            let dtype = |node: &Node| graph.desc(node.inputs[1]).dtype;
            node.op == lead.op && node.inputs[0] == lead.inputs[0] && dtype(node) == dtype(lead)
        };
        let members: Vec<usize> =
            (first..graph.nodes.len()).filter(|n| tensors(graph, *n).is_some() && alike(graph, *n)).collect();
        if members.first() != Some(&first) || members.len() < 2 {
            continue;
        }
        let names: Vec<String> = members.iter().filter_map(|n| tensors(graph, *n)).flatten().collect();
        let rows: Vec<usize> = members.iter().map(|n| graph.desc(graph.nodes[*n].inputs[1]).rows()).collect();
        let label = members.iter().map(|n| graph.nodes[*n].label.as_str()).collect::<Vec<_>>().join("|");
        let mut desc = graph.desc(graph.nodes[first].inputs[1]).clone();
        desc.shape[0] = rows.iter().sum();
        let wide = graph.desc(graph.nodes[first].inputs[0]).with_width(desc.rows());
        let weight = graph.weight(&names.iter().map(String::as_str).collect::<Vec<_>>(), Pack::Stacked, desc);
        let whole = graph.push(label.clone(), wide, Source::Node { node: first, output: 0 });
        let mut start = 0;
        for (member, rows) in members.iter().zip(rows) {
            become_columns(graph, graph.nodes[*member].outputs[0], whole, start);
            start += rows;
        }
        let lead = &mut graph.nodes[first];
        (lead.label, lead.inputs[1], lead.outputs) = (label, weight, vec![whole]);
        members[1..].iter().rev().for_each(|gone| remove(graph, *gone));
    }
}

/// Makes `value`, and every column range of it, a column range of `whole` from `start` on.
fn become_columns(graph: &mut Graph, value: ValueId, whole: ValueId, start: usize) {
    for v in &mut graph.values {
        if let Source::Columns { of, start: offset } = &mut v.source
            && *of == value
        {
            (*of, *offset) = (whole, *offset + start);
        }
    }
    graph.values[value.0].source = Source::Columns { of: whole, start };
}

/// `matvec(rms_norm(x), w)` → `matvec` with the norm in front.
fn norm_into_matvec(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let Op::Matvec(Matvec { prologue: Prologue::None, epilogue: Epilogue::None }) = node.op
            && let Some(before) = maker(graph, node.inputs[0])
            && let Op::RmsNorm(norm) = graph.nodes[before].op.clone()
            && uses(graph, node.inputs[0]) == 1
            && !updated_within(graph, before..at, graph.nodes[before].inputs[0])
        {
            let inputs = vec![graph.nodes[before].inputs[0], node.inputs[1], graph.nodes[before].inputs[1]];
            graph.nodes[at].op = Matvec { prologue: Prologue::Rms(norm), epilogue: Epilogue::None }.into();
            graph.nodes[at].inputs = inputs;
            remove(graph, before);
        } else {
            at += 1;
        }
    }
}

/// `after(r, f(x, …))` → `f` that takes r as well: `add` into the products and the convolution of one filter, which then add to r in
/// place; `gelu_gate` into `layer_norm`, and `swiglu` into the scans, which then gate what they yield.
fn after_into_node(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let Some(&value) = node.inputs.get(1)
            && let Some(before) = maker(graph, value)
            && graph.nodes[before].outputs[0] == value
            && uses(graph, value) == 1
            && let Some(op) = with_after(&graph.nodes[before].op, &node.op)
            && movable(graph, before, at, &[])
        {
            // The whole node moves to where the later one was: its other input may be made after the node's own place.
            let mut moved = graph.nodes[before].clone();
            moved.op = op;
            moved.inputs.push(node.inputs[0]);
            moved.outputs[0] = node.outputs[0];
            for (output, value) in moved.outputs.iter().enumerate() {
                graph.values[value.0].source = Source::Node { node: at, output };
            }
            graph.nodes[at] = moved;
            remove(graph, before);
        } else {
            at += 1;
        }
    }
}

/// Whether node `from` may run at the place of node `to` instead: nothing in between reads its outputs, or updates what it reads,
/// or reads what it updates. The nodes `with` go there too.
fn movable(graph: &Graph, from: usize, to: usize, with: &[usize]) -> bool {
    let node = &graph.nodes[from];
    let between = (from + 1..to).filter(|n| !with.contains(n));
    let reads = |n: usize, v: ValueId| graph.nodes[n].inputs.iter().any(|i| graph.base(*i) == v);
    let read_between = |v: ValueId| between.clone().any(|n| reads(n, v));
    let updated = node.op.kernel().updates();
    !node.outputs.iter().any(|v| read_between(*v))
        && !node.inputs.iter().any(|v| updated_within(graph, between.clone(), *v))
        && !updated.iter().any(|(input, _)| read_between(graph.base(node.inputs[*input])))
}

/// `op` with the work of `after` in it, if it can have that.
fn with_after(op: &Op, after: &Op) -> Option<Op> {
    match (op, after) {
        (Op::Matmul(Matmul { residual: false }), Op::Add(_)) => Some(Matmul { residual: true }.into()),
        (Op::Matvec(Matvec { prologue, epilogue: Epilogue::None }), Op::Add(_)) => {
            Some(Matvec { prologue: prologue.clone(), epilogue: Epilogue::Residual }.into())
        }
        (Op::CausalConv(conv @ CausalConv { filters: 1, residual: false, .. }), Op::Add(_)) => {
            Some(CausalConv { residual: true, ..conv.clone() }.into())
        }
        (Op::LayerNorm(LayerNorm { eps, gated: false }), Op::GeluGate(_)) => Some(LayerNorm { eps: *eps, gated: true }.into()),
        (Op::SelectiveScan(scan @ SelectiveScan { gated: false, .. }), Op::Swiglu(_)) => {
            Some(SelectiveScan { gated: true, ..scan.clone() }.into())
        }
        (Op::Ssd(scan @ Ssd { gated: false, .. }), Op::Swiglu(_)) => Some(Ssd { gated: true, ..scan.clone() }.into()),
        _ => None,
    }
}
