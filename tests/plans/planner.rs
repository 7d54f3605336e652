//! What the planner promises of every plan, found out by following the plan with names in place of numbers.

use std::collections::HashMap;

use fastweight::caps::Caps;
use fastweight::device::Device;
use fastweight::graph::ValueId;
use fastweight::kernels::Operand;
use fastweight::plan::{Place, Plan, PlanStep};

use super::made::{Made, Node};
use super::{GRAPHS, on_random_graphs};

/// What a buffer holds: some columns of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    value: ValueId,
    start: usize,
    width: usize,
    stride: usize,
}

/// A buffer of the device: states of one group share theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Buffer {
    Slot(usize),
    Weight(usize, usize),
    States(usize),
}

/// Follows a plan step by step.
struct Follower<'a> {
    made: &'a Made,
    plan: &'a Plan,
    held: HashMap<Place, Held>,
}

impl<'a> Follower<'a> {
    fn new(made: &'a Made, plan: &'a Plan) -> Result<Follower<'a>, String> {
        let mut follower = Follower { made, plan, held: HashMap::new() };
        for port in &plan.inputs {
            let (_, value, _) =
                made.inputs.iter().find(|i| i.0 == port.name).ok_or("an input of the plan is none of the graph")?;
            if follower.held.insert(port.place, follower.whole(*value)).is_some() {
                return Err(format!("{} shares its buffer with another input", port.name));
            }
        }
        for (state, (_, first)) in made.states.iter().enumerate() {
            follower.held.insert(Place::State { state, part: 0 }, follower.whole(*first));
        }
        for (weight, planned) in plan.weights.iter().enumerate() {
            let value = made.weights.get(&planned.label).ok_or_else(|| format!("{} is no weight of the graph", planned.label))?;
            follower.held.insert(Place::Weight { weight, part: 0 }, follower.whole(*value));
        }
        Ok(follower)
    }

    fn whole(&self, value: ValueId) -> Held {
        let desc = self.made.graph.desc(value);
        Held { value, start: 0, width: desc.width(), stride: desc.stride() }
    }

    fn at(&self, place: Place) -> Result<Held, String> {
        self.held.get(&place).copied().ok_or_else(|| format!("{place:?} holds nothing yet"))
    }

    /// Checks that `operand` at `place` is `value`.
    fn expect(&self, value: ValueId, operand: &Operand, place: Place) -> Result<(), String> {
        let ((base, start), held, width) = (self.made.range(value), self.at(place)?, self.made.graph.desc(value).width());
        let inside = held.start <= start && start + width <= held.start + held.width;
        let found = operand.offset + held.start == start && operand.stride == held.stride && operand.desc.width() == width;
        if held.value == base && inside && found {
            return Ok(());
        }
        Err(format!("reads columns {start}.. of {base:?} where {held:?} is, as {operand:?}"))
    }

    fn node(&mut self, node: &Node, step: &PlanStep) -> Result<(), String> {
        let updates = node.op.kernel().updates();
        let read = node.inputs.iter().enumerate().filter(|(i, _)| !updates.iter().any(|u| u.0 == *i));
        let (reads, writes) = step.places.split_at(step.io.inputs.len());
        for (((_, value), operand), place) in read.zip(&step.io.inputs).zip(reads) {
            self.expect(*value, operand, *place)?;
        }
        for (input, output) in updates {
            // What is updated must be there as the kernel writes it: whole rows from the start of the buffer.
            self.expect(node.inputs[input], &step.io.outputs[output], writes[output])?;
        }
        for (value, place) in node.outputs.iter().zip(writes) {
            self.held.insert(*place, self.whole(*value));
        }
        Ok(())
    }

    /// A copy that the planner put in.
    fn copy(&mut self, step: &PlanStep) -> Result<(), String> {
        let ([operand], [from, to]) = (&step.io.inputs[..], &step.places[..]) else { return Err("no copy".into()) };
        let held = self.at(*from)?;
        if operand.stride != held.stride {
            return Err(format!("copies {held:?} as {operand:?}"));
        }
        let width = operand.desc.width();
        self.held.insert(*to, Held { start: held.start + operand.offset, width, stride: width, ..held });
        Ok(())
    }

    fn buffer(&self, place: &Place) -> Buffer {
        match *place {
            Place::Slot(slot) => Buffer::Slot(slot),
            Place::Weight { weight, part } => Buffer::Weight(weight, part),
            Place::State { state, part } => Buffer::States(self.plan.states.states[state].parts[part].buffer),
        }
    }

    /// Checks that no buffer is read and written, no place written twice, and every operand inside its slot.
    fn bindings(&self, step: &PlanStep) -> Result<(), String> {
        let (reads, writes) = step.places.split_at(step.io.inputs.len());
        if reads.iter().any(|r| writes.iter().any(|w| self.buffer(r) == self.buffer(w))) {
            return Err(format!("reads and writes one buffer: {:?}", step.places));
        }
        if writes.iter().enumerate().any(|(i, w)| writes[..i].contains(w)) {
            return Err(format!("writes one place twice: {:?}", step.places));
        }
        for (operand, place) in step.io.inputs.iter().chain(&step.io.outputs).zip(&step.places) {
            let end = operand.offset + (operand.desc.rows() - 1) * operand.stride + operand.desc.width();
            if let Place::Slot(slot) = place
                && operand.desc.dtype.bytes_of(end) as u64 > self.plan.slots[*slot]
            {
                return Err(format!("{operand:?} ends beyond its slot of {} bytes", self.plan.slots[*slot]));
            }
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<(), String> {
        let plan = self.plan;
        let mut nodes = self.made.nodes.iter();
        for step in &plan.steps {
            self.bindings(step).map_err(|e| format!("{}: {e}", step.label))?;
            let done = match self.made.nodes.iter().any(|n| n.label == step.label) {
                true => {
                    let node = nodes.next().filter(|n| n.label == step.label).ok_or("nodes out of order")?;
                    self.node(node, step)
                }
                false => self.copy(step),
            };
            done.map_err(|e| format!("{}: {e}", step.label))?;
        }
        if let Some(node) = nodes.next() {
            return Err(format!("{} was left out", node.label));
        }
        for ((name, value), port) in self.made.outputs.iter().zip(&plan.outputs) {
            self.expect(*value, &port.operand, port.place).map_err(|e| format!("output {name}: {e}"))?;
        }
        for (state, (id, _)) in self.made.states.iter().enumerate() {
            let newest = self.whole(self.made.graph.current(*id));
            if self.at(Place::State { state, part: 0 })? != newest {
                return Err(format!("state {state} ends as {:?}", self.at(Place::State { state, part: 0 })));
            }
        }
        Ok(())
    }
}

#[test]
fn every_read_finds_its_value() {
    let (mut slots, mut values) = (0, 0);
    on_random_graphs(GRAPHS, |_, made| {
        for caps in [Caps::default(), Caps::unlimited()] {
            let plan = Plan::new(&made.graph, &caps).map_err(|e| e.to_string())?;
            Follower::new(made, &plan)?.follow().map_err(|e| format!("{e}\n{plan}"))?;
            slots += plan.slots.len();
            values += made.inputs.len() + made.nodes.len();
        }
        Ok(())
    });
    // The above would hold of a planner that gives every value a slot of its own.
    assert!(slots * 4 < values * 3, "{slots} slots for {values} values: slots are used again");
}

#[test]
fn the_same_graph_gives_the_same_plan() {
    on_random_graphs(GRAPHS, |_, made| {
        let plan = |graph| Plan::new(graph, Device::cpu().caps()).map_err(|e| e.to_string());
        // Each plan hashes its values with seeds of its own.
        match plan(&made.graph)? == plan(&made.graph.clone())? {
            true => Ok(()),
            false => Err("two plans of one graph differ".into()),
        }
    });
}
