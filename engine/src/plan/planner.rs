//! How a graph becomes a plan: nodes in order, values into slots by lifetime, in-place operands given room, divided operands
//! into one dispatch a part.

use std::collections::HashMap;
use std::sync::Arc;

use super::slots::Slots;
use super::{Place, Plan, PlanError, PlanStep, PlanWeight, Port, StateLayout, divide};
use crate::caps::Caps;
use crate::graph::{Graph, Source, ValueId};
use crate::kernels::{Io, Launch, Op, Operand, copy::Copy};
use crate::step::Part;
use crate::tuning::Size;

/// Lays out `graph` for a device with `caps`.
pub(super) fn plan(graph: &Graph, caps: &Caps) -> Result<Plan, PlanError> {
    Planner::new(graph, caps)?.run()
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

/// An operand of a node, where it lies, and whether the node is repeated for its parts.
struct Placed {
    operand: Operand,
    location: Location,
    divided: bool,
    /// The value that it is in messages.
    value: ValueId,
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
        // What a run puts out stays until the next one puts out the same: several runs of one submit may write side by side.
        let stays = self.last_use.get(&value) == Some(&usize::MAX);
        let slot = if stays { self.slots.own(needed) } else { self.slots.take(needed) };
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
        let kernel = node.op.kernel();
        let updates = kernel.updates();
        // Where the inputs lie for this node; an update may move the old version out of its way.
        let mut update_places = Vec::new();
        for (input, output) in &updates {
            let location = self.make_room(n, *input)?;
            update_places.push((*input, *output, location));
        }
        let mut operands = Vec::new();
        for (i, value) in node.inputs.iter().enumerate().filter(|(i, _)| !updates.iter().any(|u| u.0 == *i)) {
            let mut location = self.locate(self.graph.base(*value))?;
            let mut operand = self.operand(*value);
            let in_the_way = update_places.iter().any(|(_, _, updated)| self.share_buffer(location, *updated));
            let a_range = self.graph.base(*value) != *value && !kernel.strided(i);
            if in_the_way || a_range {
                location = self.copy_out(location, *value, &node.label)?;
                operand = Operand::whole(operand.desc);
                self.passing.extend(match location {
                    Location::Slot(slot) => Some(slot),
                    _ => None,
                });
            }
            operands.push(Placed { operand, location, divided: kernel.divisible().contains(&i), value: *value });
        }
        let inputs = operands.len();
        let mut made = Vec::new();
        for (output, value) in node.outputs.iter().enumerate() {
            let update = update_places.iter().find(|u| u.1 == output);
            let location = match update {
                Some((_, _, location)) => *location,
                None => Location::Slot(self.allocate(*value)?),
            };
            let divided = update.is_some_and(|u| kernel.divisible().contains(&u.0));
            // What is updated goes by the name that it had before.
            let named = update.map_or(*value, |u| node.inputs[u.0]);
            operands.push(Placed { operand: self.operand(*value), location, divided, value: named });
            made.push((*value, location));
        }
        self.places.extend(made);
        self.emit(node.label.clone(), node.op.clone(), operands, inputs)?;
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
        if value != base {
            // Some columns of a value: the rest of it must stay as it is.
            return self.copy_out(location, value, &node.label);
        }
        let others = node.inputs.iter().enumerate().any(|(i, v)| i != input && self.graph.base(*v) == base);
        let read_later = self.last_use.get(&base).is_some_and(|last| *last > n);
        let free = !others && !read_later;
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
        let places = vec![self.whole_place(location, "copy", value)?, place(slot, 0)];
        let io = Io { inputs: vec![self.operand(value)], outputs: vec![Operand::whole(desc)] };
        let launch = self.launch(&Copy.into(), &io, user)?;
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

    /// The place of an operand that a kernel takes whole, and so must lie in one part.
    fn whole_place(&self, location: Location, op: &'static str, value: ValueId) -> Result<Place, PlanError> {
        if self.parts(location) > 1 {
            let label = self.graph.values[value.0].label.clone();
            return Err(PlanError::Indivisible { label, op, had: self.caps.binding_bytes });
        }
        Ok(place(location, 0))
    }

    /// The best variant whose loops the device does not cut off, and which is right there.
    fn launch(&self, op: &Op, io: &Io, label: &str) -> Result<Launch, PlanError> {
        let (label, name, tuning) = (label.to_string(), op.name(), &self.caps.tuning);
        let mut variants = op.kernel().variants(io, self.caps);
        let needed = variants.iter().map(|v| v.rounds).min().unwrap_or(0);
        variants.retain(|v| v.rounds <= self.caps.loop_rounds);
        if variants.is_empty() {
            return Err(PlanError::TooLong { label, op: name, needed, had: self.caps.loop_rounds });
        }
        let found = |v: &Launch| tuning.wrong.get(&v.name()).map(|found| format!("{}: {found}", v.name()));
        let found: Vec<String> = variants.iter().filter_map(found).collect();
        tuning.choose(Size::of(op, io), variants).ok_or(PlanError::Wrong { label, op: name, found })
    }

    /// Adds the dispatches of a node, whose first `inputs` operands are read: one for each part of its divided operands.
    fn emit(&mut self, label: String, op: Op, operands: Vec<Placed>, inputs: usize) -> Result<(), PlanError> {
        let described = |operands: &[Placed]| operands.iter().map(|o| o.operand.clone()).collect();
        let io = Io { inputs: described(&operands[..inputs]), outputs: described(&operands[inputs..]) };
        if operands.len() > self.caps.storage_buffers as usize {
            return Err(PlanError::TooManyBuffers { label, needed: operands.len(), had: self.caps.storage_buffers });
        }
        let launch = self.launch(&op, &io, &label)?;
        let parts = match operands.iter().find(|o| o.divided) {
            None => vec![Part { first: 0, count: 0 }],
            Some(o) => match o.location {
                Location::Weight(weight) => self.weights[weight].parts.clone(),
                Location::State(state) => self.states.states[state].parts.iter().map(|p| p.rows).collect(),
                Location::Slot(_) => vec![Part { first: 0, count: o.operand.desc.rows() as u32 }],
            },
        };
        for (i, part) in parts.iter().enumerate() {
            let mut places = Vec::new();
            for o in &operands {
                places.push(if o.divided { place(o.location, i) } else { self.whole_place(o.location, op.name(), o.value)? });
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
