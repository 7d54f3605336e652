//! A scan in two passes: one of the states, which goes from mini-batch to mini-batch, and one of the outputs, which has all of them side by side. More is
//! moved so, but where heads are few a device has room for it; which is faster, measuring tells ([`Tuning::prefers`]).
//!
//! [`Tuning::prefers`]: crate::tuning::Tuning::prefers

use crate::caps::Caps;
use crate::graph::{Graph, Node, Source};
use crate::kernels::ttt_linear::TttLinear;
use crate::kernels::ttt_linear_outputs::TttLinearOutputs;
use crate::kernels::ttt_linear_states::TttLinearStates;
use crate::kernels::{Geometry, Io, Launch, Op};
use crate::tensor::Desc;
use crate::tuning::Size;

/// The two passes in the place of a scan.
#[derive(Debug, Clone)]
pub struct TwoPasses {
    /// Takes what the scan takes: (qk, v, lr, params, fast, open) → (steps, models, fast, open).
    states: Op,
    /// (qk, models, steps, params, open) → (out, open).
    outputs: Op,
    io: [Io; 2],
}

impl TwoPasses {
    /// Those of an op with these inputs, if it has any and its sequences have room for two mini-batches at least.
    pub fn of(op: &Op, inputs: &[&Desc]) -> Option<TwoPasses> {
        let (geometry, states, outputs): (Geometry, Op, Op) = match *op {
            Op::TttLinear(TttLinear { geometry, probe: false, front: None }) => {
                (geometry, TttLinearStates { geometry }.into(), TttLinearOutputs { geometry }.into())
            }
            _ => return None,
        };
        let [qk, _, _, params, fast, open] = inputs[..] else { return None };
        if qk.rows() < 2 * geometry.mini_batch * (fast.rows() / geometry.heads) {
            return None;
        }
        let first = Io::whole(&states, inputs).ok()?;
        let second = Io::whole(&outputs, &[qk, &first.outputs[1].desc, &first.outputs[0].desc, params, open]).ok()?;
        Some(TwoPasses { states, outputs, io: [first, second] })
    }

    /// The launches of both on a device with `caps`, with the names of their kernels; none if they can't run or are wrong there.
    pub fn launches(&self, caps: &Caps) -> Option<[(&'static str, Launch); 2]> {
        let launch = |op: &Op, io: &Io| {
            let most = caps.binding_bytes.min(caps.buffer_bytes);
            let fits = io.inputs.iter().chain(&io.outputs).all(|o| o.desc.bytes() as u64 <= most);
            let usable = caps.tuning.usable(op.kernel().variants(io, caps));
            usable.into_iter().find(|v| fits && v.rounds <= caps.loop_rounds).map(|v| (op.name(), v))
        };
        Some([launch(&self.states, &self.io[0])?, launch(&self.outputs, &self.io[1])?])
    }

    /// The name of both together in what was measured; none if they can't run or are wrong there.
    pub fn name(&self, caps: &Caps) -> Option<String> {
        let [(_, states), (_, outputs)] = self.launches(caps)?;
        let name = format!("{} then {}", states.name(), outputs.name());
        (!caps.tuning.wrong.contains_key(&name)).then_some(name)
    }

    /// Puts them in the place of node `at`, which they are of.
    pub(crate) fn replace(self, graph: &mut Graph, at: usize) {
        for value in &mut graph.values {
            if let Source::Node { node, .. } = &mut value.source
                && *node >= at
            {
                *node += 1;
            }
        }
        let Node { label, inputs, outputs, .. } = graph.nodes[at].clone();
        let mut kept = |output: usize| {
            let desc = self.io[0].outputs[output].desc.clone();
            graph.push(label.clone(), desc, Source::Node { node: at, output })
        };
        let (steps, models, open) = (kept(0), kept(1), kept(3));
        let states = Node { label, op: self.states, inputs: inputs.clone(), outputs: vec![steps, models, outputs[1], open] };
        graph.values[outputs[1].0].source = Source::Node { node: at, output: 2 };
        graph.values[outputs[2].0].source = Source::Node { node: at + 1, output: 1 };
        let node = &mut graph.nodes[at];
        (node.op, node.inputs) = (self.outputs, vec![inputs[0], models, steps, inputs[3], open]);
        node.outputs = vec![outputs[0], outputs[2]];
        graph.nodes.insert(at, states);
    }
}

/// A scan → its two passes, where they were faster.
pub(super) fn in_two_passes(graph: &mut Graph, caps: &Caps) {
    for at in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[at];
        let inputs: Vec<&Desc> = node.inputs.iter().map(|v| graph.desc(*v)).collect();
        if let Some(passes) = TwoPasses::of(&node.op, &inputs)
            && let Some(name) = passes.name(caps)
            && let Ok(io) = Io::whole(&node.op, &inputs)
            && caps.tuning.prefers(Size::of(&node.op, &io), &name)
        {
            passes.replace(graph, at);
        }
    }
}
