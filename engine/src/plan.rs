//! A graph laid out for a device: order, buffers and launches, as immutable data that can be printed and tested anywhere.

use std::fmt;
use std::sync::Arc;

use crate::caps::Caps;
use crate::graph::{Graph, Weight};
use crate::kernels::{Cost, Io, Launch, Op, Operand};
use crate::step::{Part, Step};
use crate::tensor::Desc;

mod planner;
mod slots;
mod states;

pub use states::{StateLayout, StatePart, StatePlace};

/// Why a graph can't be planned for a device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A value that would not fit in one binding or buffer of the device.
    #[error("{label} needs {needed} bytes in one buffer, the device binds at most {had}")]
    TooLarge {
        /// The value.
        label: String,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that the device allows.
        had: u64,
    },
    /// A kernel with more buffers than the device binds at a time.
    #[error("{label} binds {needed} storage buffers, the device allows {had}")]
    TooManyBuffers {
        /// The node.
        label: String,
        /// Buffers that it binds.
        needed: usize,
        /// Buffers that the device allows.
        had: u32,
    },
    /// A kernel whose loops the driver would end before they are done.
    #[error("{label}: {op} goes through {needed} rounds of loops for so many tokens, the device ends them after {had}")]
    TooLong {
        /// The node.
        label: String,
        /// The kernel.
        op: &'static str,
        /// Rounds that the fastest variant may need.
        needed: u64,
        /// Rounds that the device allows.
        had: u64,
    },
    /// A kernel all of whose variants give wrong results on the device.
    #[error("{label}: {op} has no variant that is right on this device: {}", found.join("; "))]
    Wrong {
        /// The node.
        label: String,
        /// The kernel.
        op: &'static str,
        /// Each variant and what was found of it.
        found: Vec<String>,
    },
    /// A weight or state in several parts where the kernel wants it whole.
    #[error("{label} is over the device's limit of {had} bytes a binding, and {op} takes it whole")]
    Indivisible {
        /// The value.
        label: String,
        /// The kernel.
        op: &'static str,
        /// Bytes that the device allows.
        had: u64,
    },
}

/// Where an operand lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A buffer of the plan.
    Slot(usize),
    /// A part of a weight.
    Weight {
        /// Position in [`Plan::weights`].
        weight: usize,
        /// Position in its parts.
        part: usize,
    },
    /// A part of a state.
    State {
        /// Position in [`StateLayout::states`].
        state: usize,
        /// Position in its parts.
        part: usize,
    },
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanStep {
    /// The node's label.
    pub label: String,
    /// The kernel and its attributes.
    pub op: Op,
    /// Operands in binding order.
    pub io: Io,
    /// Where they lie, in the same order.
    pub places: Vec<Place>,
    /// How the kernel is launched.
    pub launch: Launch,
    /// The part of a divided weight or state that this dispatch is for.
    pub part: Part,
}

/// A weight that the plan reads.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanWeight {
    /// Its name in messages.
    pub label: String,
    /// What fills it.
    pub weight: Weight,
    /// Element type and shape.
    pub desc: Desc,
    /// Whole rows of it, each in a buffer of its own.
    pub parts: Vec<Part>,
}

/// A value that the host writes or reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// The name that the graph gave it.
    pub name: String,
    /// Element type, shape and place in its buffer.
    pub operand: Operand,
    /// The buffer.
    pub place: Place,
}

/// A graph laid out for a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the device allows.
    pub caps: Caps,
    /// Dispatches in order.
    pub steps: Vec<PlanStep>,
    /// Bytes of each buffer of the plan.
    pub slots: Vec<u64>,
    /// Weights that the steps read.
    pub weights: Vec<PlanWeight>,
    /// Where the states lie; the same for every plan of the same states and limits.
    pub states: Arc<StateLayout>,
    /// What the host writes before a run.
    pub inputs: Vec<Port>,
    /// What the host may read after one.
    pub outputs: Vec<Port>,
}

/// Divides `rows` so that no part is over `limit` bytes, or `None` if a row is.
fn divide(rows: usize, row_bytes: usize, limit: u64) -> Option<Vec<Part>> {
    let most = usize::try_from(limit / row_bytes as u64).unwrap_or(usize::MAX).min(rows);
    (most > 0).then(|| {
        (0..rows).step_by(most).map(|first| Part { first: first as u32, count: most.min(rows - first) as u32 }).collect()
    })
}

impl Plan {
    /// Lays out `graph` for a device with `caps`.
    pub fn new(graph: &Graph, caps: &Caps) -> Result<Plan, PlanError> {
        planner::plan(graph, caps)
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| p.name == name)
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }

    /// Bytes of the plan's own buffers.
    pub fn slot_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Bytes of the weights that it reads.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(|w| w.desc.bytes() as u64).sum()
    }

    /// The work of a run at full capacity.
    pub fn cost(&self) -> Cost {
        self.steps.iter().map(|s| s.op.kernel().cost(&s.io)).fold(Cost::default(), |a, b| Cost {
            operations: a.operations + b.operations,
            least: a.least + b.least,
            moved: a.moved + b.moved,
        })
    }

    /// Workgroups of each dispatch for this run; a dispatch of none is left out when it is encoded.
    pub fn grids(&self, step: &Step) -> Vec<[u32; 2]> {
        self.steps.iter().map(|s| s.launch.grid.folded(step, s.part, self.caps.workgroups_axis)).collect()
    }
}

impl fmt::Display for Plan {
    /// One line a dispatch, then the buffers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |place: &Place| match place {
            Place::Slot(slot) => format!("slot{slot}"),
            Place::Weight { weight, part } => format!("weight{weight}.{part}"),
            Place::State { state, part } => format!("{}.{part}", self.states.states[*state].name),
        };
        for (i, step) in self.steps.iter().enumerate() {
            let places: Vec<_> = step.places.iter().map(name).collect();
            let grid: Vec<_> = step.launch.grid.0.iter().map(|e| format!("{:?}/{}", e.count, e.per)).collect();
            writeln!(f, "{i:4}  {:<40} {} [{}]  # {}", step.launch.name(), places.join(" "), grid.join(" x "), step.label)?;
        }
        writeln!(
            f,
            "{} dispatches, {} slots of {} bytes in all: {:?}",
            self.steps.len(),
            self.slots.len(),
            self.slot_bytes(),
            self.slots
        )?;
        writeln!(
            f,
            "{} weights of {} bytes, {} states of {} bytes",
            self.weights.len(),
            self.weight_bytes(),
            self.states.states.len(),
            self.states.bytes()
        )
    }
}
