//! A graph laid out for a device: order, buffers and launches, as immutable data that can be printed and tested anywhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::caps::Caps;
use crate::graph::{Graph, Source, ValueId, Weight};
use crate::kernels::{Cost, Io, Launch, Op, Operand, copy::Copy};
use crate::step::{Part, Step};
use crate::tensor::Desc;

mod slots;
mod states;

use slots::Slots;
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
        Planner::new(graph, caps)?.run()
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

struct Planner<'a> {
    graph: &'a Graph,
    caps: &'a Caps,
    steps: Vec<PlanStep>,
    slots: Slots,
    weights: Vec<PlanWeight>,
    weight_index: HashMap<ValueId, usize>,
    states: StateLayout,
    /// Where the numbers of each base value lie, once they do.
    places: HashMap<ValueId, Location>,
    /// The last node that reads each base value; `usize::MAX` for outputs.
    last_use: HashMap<ValueId, usize>,
    /// Slots that only the node at hand reads.
    passing: Vec<usize>,
}

/// Where a whole value lies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Location {
    Slot(usize),
    Weight(usize),
    State(usize),
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, caps: &'a Caps) -> Result<Planner<'a>, PlanError> {
        let states = StateLayout::new(graph, caps)?;
        let mut last_use = HashMap::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                last_use.insert(graph.base(*input), n);
            }
        }
        for (_, value) in &graph.outputs {
            last_use.insert(graph.base(*value), usize::MAX);
        }
        Ok(Planner {
            graph,
            caps,
            steps: Vec::new(),
            slots: Slots::default(),
            weights: Vec::new(),
            weight_index: HashMap::new(),
            states,
            places: HashMap::new(),
            last_use,
            passing: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Plan, PlanError> {
        let graph = self.graph;
        let mut inputs = Vec::new();
        for (i, value) in graph.values.iter().enumerate() {
            let id = ValueId(i);
            match &value.source {
                Source::Input => {
                    let slot = self.allocate(id)?;
                    inputs.push(Port {
                        name: value.label.clone(),
                        operand: Operand::whole(value.desc.clone()),
                        place: Place::Slot(slot),
                    });
                }
                Source::State(state) => {
                    self.places.insert(id, Location::State(state.0));
                }
                _ => {}
            }
        }
        for state in &graph.states {
            if let Some(initial) = state.initial {
                self.weight(initial)?;
            }
        }
        for n in 0..graph.nodes.len() {
            self.node(n)?;
        }
        let mut outputs = Vec::new();
        for (name, value) in &graph.outputs {
            let place = match self.locate(graph.base(*value))? {
                Location::Slot(slot) => Place::Slot(slot),
                Location::Weight(weight) => Place::Weight { weight, part: 0 },
                Location::State(state) => Place::State { state, part: 0 },
            };
            outputs.push(Port { name: name.clone(), operand: self.operand(*value), place });
        }
        let Planner { caps, steps, slots, weights, states, .. } = self;
        Ok(Plan { caps: caps.clone(), steps, slots: slots.bytes, weights, states: Arc::new(states), inputs, outputs })
    }

    /// An operand's description, and where its rows lie in the buffer of its base.
    fn operand(&self, value: ValueId) -> Operand {
        let v = &self.graph.values[value.0];
        match v.source {
            Source::Columns { of, start } => {
                Operand { desc: v.desc.clone(), stride: self.graph.desc(of).stride(), offset: start }
            }
            _ => Operand::whole(v.desc.clone()),
        }
    }

    fn allocate(&mut self, value: ValueId) -> Result<usize, PlanError> {
        let v = &self.graph.values[value.0];
        let (needed, had) = ((v.desc.bytes() as u64).next_multiple_of(4), self.caps.binding_bytes.min(self.caps.buffer_bytes));
        if needed > had {
            return Err(PlanError::TooLarge { label: v.label.clone(), needed, had });
        }
        let slot = self.slots.take(needed);
        self.places.insert(value, Location::Slot(slot));
        Ok(slot)
    }

    fn weight(&mut self, value: ValueId) -> Result<usize, PlanError> {
        if let Some(index) = self.weight_index.get(&value) {
            return Ok(*index);
        }
        let v = &self.graph.values[value.0];
        let Source::Weight(weight) = &v.source else { unreachable!("only weights are asked for") };
        let had = self.caps.binding_bytes.min(self.caps.buffer_bytes);
        let row_bytes = v.desc.row_bytes();
        let parts = divide(v.desc.rows(), row_bytes, had).ok_or_else(|| PlanError::TooLarge {
            label: v.label.clone(),
            needed: row_bytes as u64,
            had,
        })?;
        self.weights.push(PlanWeight { label: v.label.clone(), weight: weight.clone(), desc: v.desc.clone(), parts });
        self.weight_index.insert(value, self.weights.len() - 1);
        Ok(self.weights.len() - 1)
    }

    fn locate(&mut self, base: ValueId) -> Result<Location, PlanError> {
        if let Some(location) = self.places.get(&base) {
            return Ok(*location);
        }
        Ok(Location::Weight(self.weight(base)?))
    }

    fn node(&mut self, n: usize) -> Result<(), PlanError> {
        let node = &self.graph.nodes[n];
        let updates = node.op.kernel().updates();
        // Where the inputs lie for this node; an update may move the old version out of its way.
        let mut update_places = Vec::new();
        for (input, output) in &updates {
            let location = self.make_room(n, *input)?;
            update_places.push((*output, location));
        }
        let mut outputs = Vec::new();
        for (output, value) in node.outputs.iter().enumerate() {
            let location = match update_places.iter().find(|u| u.0 == output) {
                Some((_, location)) => *location,
                None => Location::Slot(self.allocate(*value)?),
            };
            outputs.push(location);
        }
        let read = |i: &usize| !updates.iter().any(|u| u.0 == *i);
        let mut operands = Vec::new();
        for i in (0..node.inputs.len()).filter(read) {
            let mut location = self.locate(self.graph.base(node.inputs[i]))?;
            if update_places.iter().any(|(_, updated)| self.share_buffer(location, *updated)) {
                location = self.copy_out(location, node.inputs[i], &node.label)?;
                self.passing.extend(match location {
                    Location::Slot(slot) => Some(slot),
                    _ => None,
                });
            }
            operands.push((node.inputs[i], location, node.op.kernel().divisible().contains(&i)));
        }
        let inputs = operands.len();
        for (output, value) in node.outputs.iter().enumerate() {
            let divided = updates.iter().any(|u| u.1 == output && node.op.kernel().divisible().contains(&u.0));
            operands.push((*value, outputs[output], divided));
        }
        for (value, location) in node.outputs.iter().zip(outputs) {
            self.places.insert(*value, location);
        }
        self.emit(node.label.clone(), node.op.clone(), &operands, inputs)?;
        self.release(n);
        Ok(())
    }

    /// The place of an input that node `n` updates. Where the old version is read by others, later or in the same node, it
    /// is copied first: a state stays in its buffer and the readers get the copy, anything else is updated in the copy.
    fn make_room(&mut self, n: usize, input: usize) -> Result<Location, PlanError> {
        let node = &self.graph.nodes[n];
        let value = node.inputs[input];
        let base = self.graph.base(value);
        let location = self.locate(base)?;
        let others = node.inputs.iter().enumerate().any(|(i, v)| i != input && self.graph.base(*v) == base);
        let read_later = self.last_use.get(&base).is_some_and(|last| *last > n);
        let free = value == base && !others && !read_later;
        match location {
            Location::State(_) if free => Ok(location),
            Location::Slot(_) if free && !matches!(self.graph.values[base.0].source, Source::Input) => Ok(location),
            _ => {
                let slot = self.copy_out(location, value, &node.label)?;
                if let Location::State(_) = location {
                    self.places.insert(base, slot);
                    return Ok(location);
                }
                Ok(slot)
            }
        }
    }

    /// Whether binding one to be read and the other to be written would use one buffer both ways in a dispatch.
    fn share_buffer(&self, read: Location, written: Location) -> bool {
        let buffers = |state: usize| self.states.states[state].parts.iter().map(|p| p.buffer);
        match (read, written) {
            (Location::State(a), Location::State(b)) => buffers(a).any(|a| buffers(b).any(|b| a == b)),
            _ => false,
        }
    }

    /// Copies a value into a slot of its own, for the node called `user`.
    fn copy_out(&mut self, location: Location, value: ValueId, user: &str) -> Result<Location, PlanError> {
        let desc = self.graph.desc(value).clone();
        let label = format!("{} for {user}", self.graph.values[self.graph.base(value).0].label);
        let slot = Location::Slot(self.slots.take((desc.bytes() as u64).next_multiple_of(4)));
        let places = vec![self.part_place(location, 0, "copy", value)?, place(slot, 0)];
        let io = Io { inputs: vec![self.operand(value)], outputs: vec![Operand::whole(desc)] };
        let launch = self.launch(&Copy.into(), &io);
        self.steps.push(PlanStep { label, op: Copy.into(), io, places, launch, part: Part { first: 0, count: 0 } });
        Ok(slot)
    }

    fn parts(&self, location: Location) -> usize {
        match location {
            Location::Slot(_) => 1,
            Location::Weight(weight) => self.weights[weight].parts.len(),
            Location::State(state) => self.states.states[state].parts.len(),
        }
    }

    /// The place of part `part` of an operand; an operand that is not divided must lie in one.
    fn part_place(&self, location: Location, part: usize, op: &'static str, value: ValueId) -> Result<Place, PlanError> {
        if part == 0 && self.parts(location) > 1 {
            let label = self.graph.values[value.0].label.clone();
            return Err(PlanError::Indivisible { label, op, had: self.caps.binding_bytes });
        }
        Ok(place(location, part))
    }

    fn launch(&self, op: &Op, io: &Io) -> Launch {
        op.kernel().variants(io, self.caps).swap_remove(0)
    }

    /// Adds the dispatches of a node: one for each part of its divided operands.
    fn emit(&mut self, label: String, op: Op, operands: &[(ValueId, Location, bool)], inputs: usize) -> Result<(), PlanError> {
        let io = Io {
            inputs: operands[..inputs].iter().map(|o| self.operand(o.0)).collect(),
            outputs: operands[inputs..].iter().map(|o| Operand::whole(self.graph.desc(o.0).clone())).collect(),
        };
        if operands.len() > self.caps.storage_buffers as usize {
            return Err(PlanError::TooManyBuffers { label, needed: operands.len(), had: self.caps.storage_buffers });
        }
        let launch = self.launch(&op, &io);
        let divided = operands.iter().find(|o| o.2);
        let parts = match divided.map(|o| (o.0, o.1)) {
            None => vec![Part { first: 0, count: 0 }],
            Some((_, Location::Weight(weight))) => self.weights[weight].parts.clone(),
            Some((_, Location::State(state))) => self.states.states[state].parts.iter().map(|p| p.rows).collect(),
            Some((value, Location::Slot(_))) => vec![Part { first: 0, count: self.graph.desc(value).rows() as u32 }],
        };
        for (i, part) in parts.iter().enumerate() {
            let mut places = Vec::new();
            for (value, location, divided) in operands {
                places.push(if *divided { place(*location, i) } else { self.part_place(*location, 0, op.name(), *value)? });
            }
            self.steps.push(PlanStep {
                label: label.clone(),
                op: op.clone(),
                io: io.clone(),
                places,
                launch: launch.clone(),
                part: *part,
            });
        }
        Ok(())
    }

    /// Gives back the slots of values that nobody reads after node `n`.
    fn release(&mut self, n: usize) {
        for slot in std::mem::take(&mut self.passing) {
            self.slots.give_back(slot);
        }
        let node = &self.graph.nodes[n];
        let values: Vec<ValueId> = node.inputs.iter().map(|v| self.graph.base(*v)).chain(node.outputs.iter().copied()).collect();
        let live: Vec<Location> = self
            .places
            .iter()
            .filter(|(v, _)| self.last_use.get(v).is_some_and(|last| *last > n))
            .map(|(_, location)| *location)
            .collect();
        for value in values {
            if let Some(Location::Slot(slot)) = self.places.get(&value)
                && !live.contains(&Location::Slot(*slot))
            {
                self.slots.give_back(*slot);
            }
        }
    }
}

fn place(location: Location, part: usize) -> Place {
    match location {
        Location::Slot(slot) => Place::Slot(slot),
        Location::Weight(weight) => Place::Weight { weight, part },
        Location::State(state) => Place::State { state, part },
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
