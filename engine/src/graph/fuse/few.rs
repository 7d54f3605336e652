//! Rules for runs of few tokens a sequence, as in decoding, where every dispatch costs more than what it computes.

use super::{maker, movable, remove, updated_within, uses};
use crate::caps::Caps;
use crate::graph::{Graph, Pack, Source, ValueId, Weight};
use crate::kernels::attend_append::AttendAppend;
use crate::kernels::attend_decode::AttendDecode;
use crate::kernels::causal_conv::CausalConv;
use crate::kernels::matvec::{Epilogue, Matvec, Prologue};
use crate::kernels::norm_conv::NormConv;
use crate::kernels::rope::{Positions, Rope};
use crate::kernels::ttt_linear::TttLinear;
use crate::kernels::ttt_mlp::TttMlp;
use crate::kernels::{Front, Geometry, Op};
use crate::tensor::{DType, Desc};

pub(super) fn fuse(graph: &mut Graph, caps: &Caps) {
    norm_into_conv(graph);
    layer_norm_into_matvec(graph);
    swiglu_into_matvec(graph, caps);
    operands_into_ttt(graph);
    append_into_attend(graph);
}

/// Tokens of a sequence from which on a kernel that takes them one after the other no longer pays.
const MANY: usize = 4;

/// A node in place of several.
struct Fused {
    op: Op,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// The nodes that go into it, besides the one that it takes the place of.
    gone: Vec<usize>,
}

/// Puts a fused node in the place of node `at`, which comes behind those that go into it.
fn replace(graph: &mut Graph, at: usize, Fused { op, inputs, outputs, mut gone }: Fused) {
    for (output, value) in outputs.iter().enumerate() {
        graph.values[value.0].source = Source::Node { node: at, output };
    }
    let node = &mut graph.nodes[at];
    (node.op, node.inputs, node.outputs) = (op, inputs, outputs);
    gone.sort_unstable();
    gone.iter().rev().for_each(|gone| remove(graph, *gone));
}

/// The value that this one is columns of, and the first of them.
fn columns(graph: &Graph, value: ValueId) -> (ValueId, usize) {
    match graph.values[value.0].source {
        Source::Columns { of, start } => (of, start),
        _ => (value, 0),
    }
}

/// `x + conv(rms_norm(x))` → one kernel.
fn norm_into_conv(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let Op::CausalConv(CausalConv { filters: 1, taps, silu: false, residual: true }) = node.op
            && let [normed, w, bias, window, x] = node.inputs[..]
            && let Some(before) = maker(graph, normed)
            && let Op::RmsNorm(norm) = graph.nodes[before].op.clone()
            && graph.nodes[before].inputs[0] == x
            && uses(graph, normed) == 1
            && !updated_within(graph, before..at, x)
            && graph.desc(x).rows() < MANY * graph.desc(window).rows()
        {
            let (inputs, outputs) = (vec![x, graph.nodes[before].inputs[1], w, bias, window], node.outputs.clone());
            replace(graph, at, Fused { op: NormConv { norm, taps }.into(), inputs, outputs, gone: vec![before] });
        } else {
            at += 1;
        }
    }
}

/// `matvec(layer_norm(x), w)` → `matvec` with the norm, and its gate, in front.
fn layer_norm_into_matvec(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let Op::Matvec(Matvec { prologue: Prologue::None, epilogue }) = node.op
            && let Some(before) = maker(graph, node.inputs[0])
            && let Op::LayerNorm(norm) = graph.nodes[before].op.clone()
            && uses(graph, node.inputs[0]) == 1
            && graph.desc(node.inputs[0]).width() <= Prologue::MOST
            && movable(graph, before, at, &[])
        {
            let norm_inputs = &graph.nodes[before].inputs;
            let inputs = [&[norm_inputs[0], node.inputs[1]], &norm_inputs[1..], &node.inputs[2..]].concat();
            let (op, outputs) = (Matvec { prologue: Prologue::Layer(norm), epilogue }.into(), node.outputs.clone());
            replace(graph, at, Fused { op, inputs, outputs, gone: vec![before] });
        } else {
            at += 1;
        }
    }
}

/// `swiglu(y[..n], y[n..])` of a product y → that product with the gate behind it.
fn swiglu_into_matvec(graph: &mut Graph, caps: &Caps) {
    let most = caps.binding_bytes.min(caps.buffer_bytes);
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let (Op::Swiglu(_), &[gate, up]) = (&node.op, &node.inputs[..])
            && let ((whole, 0), (same, n)) = (columns(graph, gate), columns(graph, up))
            && whole == same
            && graph.desc(whole).width() == 2 * n
            && graph.desc(gate).width() == n
            && uses(graph, whole) == 2
            && let Some(before) = maker(graph, whole)
            && let Op::Matvec(Matvec { prologue, epilogue: Epilogue::None }) = graph.nodes[before].op.clone()
            && graph.desc(graph.nodes[before].inputs[1]).bytes() as u64 <= most
            && movable(graph, before, at, &[])
        {
            let (inputs, outputs) = (graph.nodes[before].inputs.clone(), node.outputs.clone());
            graph.nodes[at].label = graph.nodes[before].label.clone();
            let op = Matvec { prologue, epilogue: Epilogue::Swiglu }.into();
            replace(graph, at, Fused { op, inputs, outputs, gone: vec![before] });
        } else {
            at += 1;
        }
    }
}

/// Makes a TTT layer with a front.
type Layer = fn(Geometry, Front) -> Op;

/// The geometry of a TTT layer with given operands and no probe, and how to make that layer with a front.
fn ttt_layer(op: &Op) -> Option<(Geometry, Layer)> {
    match *op {
        Op::TttLinear(TttLinear { geometry, probe: false, front: None }) => {
            Some((geometry, |geometry, front| TttLinear { geometry, probe: false, front: Some(front) }.into()))
        }
        Op::TttMlp(TttMlp { geometry, probe: false, front: None }) => {
            Some((geometry, |geometry, front| TttMlp { geometry, probe: false, front: Some(front) }.into()))
        }
        _ => None,
    }
}

/// The layer of `rope(conv(a))` or `rope(qk)`, v and `lr_gate(z)`, with a or qk, v and z columns of one value → the layer of that value.
fn operands_into_ttt(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        if let Some(fused) = ttt_with_front(graph, at) {
            replace(graph, at, fused);
        } else {
            at += 1;
        }
    }
}

/// The layer at node `at` with a front.
fn ttt_with_front(graph: &mut Graph, at: usize) -> Option<Fused> {
    let (geometry, layer) = ttt_layer(&graph.nodes[at].op)?;
    let [qk, v, lr, params, fast, open] = graph.nodes[at].inputs[..] else { return None };
    let sequences = graph.desc(fast).rows() / geometry.heads;
    let (rope, gate) = (maker(graph, qk)?, maker(graph, lr)?);
    let (Op::Rope(Rope { head_dim, positions, interleaved }), Op::LrGate(lr_gate)) =
        (graph.nodes[rope].op.clone(), graph.nodes[gate].op.clone())
    else {
        return None;
    };
    let fits = head_dim == geometry.head_dim && positions == Positions::Periodic(geometry.mini_batch);
    if !fits || uses(graph, qk) != 1 || uses(graph, lr) != 1 || graph.desc(qk).rows() >= MANY * sequences {
        return None;
    }
    let ([raw, table], [z, bias]) =
        (graph.nodes[rope].inputs[..].try_into().ok()?, graph.nodes[gate].inputs[..].try_into().ok()?);
    let mut small = vec![params, bias];
    let (mut gone, mut outputs) = (vec![rope, gate], graph.nodes[at].outputs.clone());
    // With filters: what they take, and their window.
    let (mut filtered, mut window, mut filter_taps) = (raw, None, None);
    if let Some(conv) = maker(graph, raw)
        && let Op::CausalConv(CausalConv { filters: 2, taps, silu: false, residual: false }) = graph.nodes[conv].op
        && uses(graph, raw) == 1
    {
        let [x, w, filter_bias, old] = graph.nodes[conv].inputs[..] else { return None };
        (filtered, window, filter_taps) = (x, Some(old), Some(taps));
        small.extend([w, filter_bias]);
        outputs.push(graph.nodes[conv].outputs[1]);
        gone.push(conv);
    }
    let ((p, qk_start), (of_v, v_start), (of_z, z_start)) = (columns(graph, filtered), columns(graph, v), columns(graph, z));
    if p != of_v || p != of_z || !gone.iter().all(|n| movable(graph, *n, at, &gone)) {
        return None;
    }
    let params = stacked(graph, &small)?;
    let front = Front { qk: qk_start, v: v_start, lr: z_start, taps: filter_taps, interleaved, gate: lr_gate };
    let mut inputs = vec![p, params, table, fast, open];
    inputs.extend(window);
    Some(Fused { op: layer(geometry, front), inputs, outputs, gone })
}

/// The tensors of several small weights, end to end in one.
fn stacked(graph: &mut Graph, weights: &[ValueId]) -> Option<ValueId> {
    let (mut all, mut len) = (Vec::new(), 0);
    for weight in weights {
        let value = &graph.values[weight.0];
        match &value.source {
            Source::Weight(Weight::Tensors { names, pack: Pack::Stacked }) if value.desc.dtype == DType::F32 => {
                all.extend(names.clone())
            }
            _ => return None,
        }
        len += value.desc.len();
    }
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    Some(graph.weight(&names, Pack::Stacked, Desc::fixed(DType::F32, &[1, len])))
}

/// `attend(rope(qk)[..q], append(rope(qk)[q..], v, caches))` with qk and v columns of one value → one kernel of that value.
fn append_into_attend(graph: &mut Graph) {
    let mut at = 0;
    while at < graph.nodes.len() {
        let node = &graph.nodes[at];
        if let Op::AttendDecode(AttendDecode { heads }) = node.op
            && let [q, k_cache, v_cache] = node.inputs[..]
            && let Some(append) = maker(graph, k_cache)
            && let (Op::Append(_), &[k, v, k_old, v_old]) = (&graph.nodes[append].op, &graph.nodes[append].inputs[..])
            && graph.nodes[append].outputs == [k_cache, v_cache]
            && let ((turned, 0), (same, k_start)) = (columns(graph, q), columns(graph, k))
            && turned == same
            && k_start == graph.desc(q).width()
            && graph.desc(turned).width() == k_start + graph.desc(k).width()
            && uses(graph, turned) == 2
            && let Some(turn) = maker(graph, turned)
            && let Op::Rope(rope) = graph.nodes[turn].op.clone()
            && (rope.head_dim, rope.positions) == (heads.head_dim, Positions::Full)
            && let ((p, qk), (of_v, v)) = (columns(graph, graph.nodes[turn].inputs[0]), columns(graph, v))
            && p == of_v
            && [append, turn].iter().all(|n| movable(graph, *n, at, &[append, turn]))
        {
            let inputs = vec![p, graph.nodes[turn].inputs[1], k_old, v_old];
            let outputs = vec![node.outputs[0], k_cache, v_cache];
            let op = AttendAppend { heads, rope, qk, v }.into();
            replace(graph, at, Fused { op, inputs, outputs, gone: vec![append, turn] });
        } else {
            at += 1;
        }
    }
}
