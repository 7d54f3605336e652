//! The computation as data: single-assignment values, and the nodes that make them from one another.

use std::fmt;
use std::sync::Arc;

use crate::kernels::{Op, OpError};
use crate::tensor::{DType, Desc};

pub mod fuse;

/// A value of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

/// A state of a graph, in order of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub(crate) usize);

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Written by the host before a run.
    Input,
    /// Loaded once, shared by all sessions.
    Weight(Weight),
    /// A state as it was before the run.
    State(StateId),
    /// An output of a node.
    Node {
        /// Which node.
        node: usize,
        /// Which of its outputs.
        output: usize,
    },
    /// Some columns of another value; costs nothing.
    Columns {
        /// The wider value.
        of: ValueId,
        /// The first column.
        start: usize,
    },
}

/// What a weight's buffer is filled with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Tensors of the checkpoint, by name. Several make a pack.
    Tensors {
        /// The tensors.
        names: Vec<String>,
        /// How a pack is laid out.
        pack: Pack,
    },
    /// Numbers that follow from the architecture, as the bits of floats.
    Constant(Arc<[u32]>),
}

/// How the tensors of a pack are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pack {
    /// One after the other: the rows of several projections of one input, or a layer's small vectors.
    Stacked,
    /// Side by side in each row: row r of the first, row r of the second, …
    Joined,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Element type and shape.
    pub desc: Desc,
    /// Where it comes from.
    pub source: Source,
    /// Its name in messages: the checkpoint's tensor names where there are any.
    pub label: String,
}

/// A node: a kernel with its inputs and outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The checkpoint's own name of what it computes.
    pub label: String,
    /// The kernel and its attributes.
    pub op: Op,
    /// What it takes.
    pub inputs: Vec<ValueId>,
    /// What it yields.
    pub outputs: Vec<ValueId>,
}

/// A state: what a session keeps between runs.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Its name in files and messages.
    pub name: String,
    /// States of one group share a buffer: one layer's state is one buffer.
    pub group: String,
    /// Element type and shape over all sequences; each sequence owns the same number of rows.
    pub desc: Desc,
    /// Whether it is `[sequences, context, …]`, each sequence's rows in use up to its position only.
    pub grows: bool,
    /// What a session starts with: zeros, or this weight (one copy of it a sequence).
    pub initial: Option<ValueId>,
    /// Its newest version.
    pub current: ValueId,
}

/// Why a graph can't be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{label}: {op}: {source} (inputs: {})", Descs(.inputs))]
pub struct GraphError {
    /// The node's label.
    pub label: String,
    /// The kernel.
    pub op: &'static str,
    /// Every input.
    pub inputs: Vec<Desc>,
    /// What the kernel refused.
    #[source]
    pub source: Box<OpError>,
}

struct Descs<'a>(&'a [Desc]);

impl fmt::Display for Descs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, desc) in self.0.iter().enumerate() {
            write!(f, "{}{desc}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A computation under construction, then ready to be planned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    pub(crate) values: Vec<Value>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) states: Vec<State>,
    pub(crate) outputs: Vec<(String, ValueId)>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    pub(crate) fn push(&mut self, label: impl Into<String>, desc: Desc, source: Source) -> ValueId {
        debug_assert!(!desc.is_empty(), "a value has at least one element");
        self.values.push(Value { desc, source, label: label.into() });
        ValueId(self.values.len() - 1)
    }

    /// What the host writes before each run, found again by its name.
    pub fn input(&mut self, name: impl Into<String>, desc: Desc) -> ValueId {
        self.push(name, desc, Source::Input)
    }

    /// Tensors of the checkpoint in one buffer. `desc` describes the buffer.
    pub fn weight(&mut self, names: &[&str], pack: Pack, desc: Desc) -> ValueId {
        let label = names.join("|");
        let names = names.iter().map(|n| n.to_string()).collect();
        self.shared_weight(label, desc, Weight::Tensors { names, pack })
    }

    /// Numbers that follow from the architecture.
    pub fn constant(&mut self, label: impl Into<String>, shape: &[usize], data: &[f32]) -> ValueId {
        let words: Arc<[u32]> = data.iter().map(|x| x.to_bits()).collect();
        self.shared_weight(label.into(), Desc::fixed(DType::F32, shape), Weight::Constant(words))
    }

    /// A weight with the same filling and shape is one value.
    fn shared_weight(&mut self, label: String, desc: Desc, weight: Weight) -> ValueId {
        let same = |v: &Value| v.desc == desc && matches!(&v.source, Source::Weight(w) if *w == weight);
        match self.values.iter().position(same) {
            Some(i) => ValueId(i),
            None => self.push(label, desc, Source::Weight(weight)),
        }
    }

    /// What a session keeps between runs, `[sequences · rows, …]`.
    pub fn state(&mut self, group: &str, name: impl Into<String>, desc: Desc, initial: Option<ValueId>) -> StateId {
        let (name, id) = (name.into(), StateId(self.states.len()));
        let current = self.push(name.clone(), desc.clone(), Source::State(id));
        self.states.push(State { name, group: group.into(), desc, grows: false, initial, current });
        id
    }

    /// A state that grows with the position, `[sequences, context, …]`.
    pub fn cache(&mut self, group: &str, name: impl Into<String>, desc: Desc) -> StateId {
        let id = self.state(group, name, desc, None);
        self.states[id.0].grows = true;
        id
    }

    /// The newest version of a state.
    pub fn current(&self, state: StateId) -> ValueId {
        self.states[state.0].current
    }

    /// `width` columns of a value from `start` on.
    pub fn columns(&mut self, of: ValueId, start: usize, width: usize) -> ValueId {
        let (of, start) = match self.values[of.0].source {
            Source::Columns { of: base, start: offset } => (base, offset + start),
            _ => (of, start),
        };
        let (label, desc) = (self.values[of.0].label.clone(), self.values[of.0].desc.with_width(width));
        assert!(start + width <= self.values[of.0].desc.width(), "columns of {label} end beyond it");
        self.push(label, desc, Source::Columns { of, start })
    }

    /// Adds a node and returns its outputs. An output that updates a state becomes that state's newest version.
    pub fn nodes(&mut self, label: impl Into<String>, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>, GraphError> {
        let (label, op) = (label.into(), op.into());
        let descs: Vec<&Desc> = inputs.iter().map(|v| &self.values[v.0].desc).collect();
        let outputs = op.kernel().infer(&descs).map_err(|source| GraphError {
            label: label.clone(),
            op: op.name(),
            inputs: descs.into_iter().cloned().collect(),
            source: Box::new(source),
        })?;
        let node = self.nodes.len();
        let outputs: Vec<ValueId> = outputs
            .into_iter()
            .enumerate()
            .map(|(output, desc)| self.push(label.clone(), desc, Source::Node { node, output }))
            .collect();
        for (input, output) in op.kernel().updates() {
            if let Some(state) = self.states.iter_mut().find(|s| s.current == inputs[input]) {
                state.current = outputs[output];
            }
        }
        self.nodes.push(Node { label, op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Adds a node and returns its first output.
    pub fn node(&mut self, label: impl Into<String>, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        Ok(self.nodes(label, op, inputs)?[0])
    }

    /// Names a value that the host may read after a run.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push((name.into(), value));
    }

    /// Element type and shape of a value.
    pub fn desc(&self, value: ValueId) -> &Desc {
        &self.values[value.0].desc
    }

    /// The value that holds this one's numbers: itself, or the wider value of a column range.
    pub(crate) fn base(&self, value: ValueId) -> ValueId {
        match self.values[value.0].source {
            Source::Columns { of, .. } => of,
            _ => value,
        }
    }
}

impl fmt::Display for Graph {
    /// One line a node: outputs, kernel, inputs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |v: &ValueId| {
            let value = &self.values[v.0];
            match &value.source {
                Source::Columns { of, start } => format!("%{}[{start}..{}]", of.0, start + value.desc.width()),
                Source::Weight(_) => value.label.clone(),
                Source::Input | Source::State(_) => format!("{}:{}", value.label, value.desc),
                Source::Node { .. } => format!("%{}", v.0),
            }
        };
        for node in &self.nodes {
            let outputs: Vec<_> = node.outputs.iter().map(|v| format!("%{}:{}", v.0, self.desc(*v))).collect();
            let inputs: Vec<_> = node.inputs.iter().map(name).collect();
            writeln!(f, "{} = {}({})  # {} {:?}", outputs.join(", "), node.op.name(), inputs.join(", "), node.label, node.op)?;
        }
        for (name, value) in &self.outputs {
            writeln!(f, "output {name} = %{}", value.0)?;
        }
        Ok(())
    }
}
