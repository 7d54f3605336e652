//! Random graphs of real ops, with a record of what they are made of.

use std::collections::{HashMap, HashSet};

use fastweight::graph::{Graph, Pack, StateId, ValueId};
use fastweight::kernels::{Fill, Geometry, Op};
use fastweight::step::{Sequence, Step};
use fastweight::tensor::{Axis, DType, Desc};

use super::dice::Dice;

#[path = "growth.rs"]
mod growth;

/// Rows of the values whose rows are neither tokens nor sequences.
const ROWS: usize = 4;
/// Sequences that a run may have.
pub(super) const SEQUENCES: usize = 3;
/// Positions that a cache has room for: more than [`Made::steps`] reaches.
const CONTEXT: usize = 64;
/// Widths of values. Few, so that graphs share pipelines; 5 is no multiple of four.
const WIDTHS: [usize; 3] = [5, 8, 16];
const VOCABULARY: usize = 9;
/// Values up to about this size are worked on: what is larger goes through a norm, so that errors stay roundings.
const TAME: f32 = 6.0;

/// A node as it was added.
pub(super) struct Node {
    pub(super) label: String,
    pub(super) op: Op,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
}

/// A value that later nodes may take, and about how large its elements are.
#[derive(Clone)]
struct Item {
    value: ValueId,
    size: f32,
}

/// A random graph.
pub(super) struct Made {
    pub(super) graph: Graph,
    pub(super) nodes: Vec<Node>,
    /// What the host writes: name, value, numbers.
    pub(super) inputs: Vec<(String, ValueId, Fill)>,
    /// Each state, and its version before a run.
    pub(super) states: Vec<(StateId, ValueId)>,
    /// Weights by label.
    pub(super) weights: HashMap<String, ValueId>,
    pub(super) outputs: Vec<(String, ValueId)>,
    /// The value behind each column range, and the first column.
    pub(super) ranges: HashMap<ValueId, (ValueId, usize)>,
    /// Every version of a state.
    versions: HashSet<ValueId>,
    tensors: HashMap<String, (Desc, Fill)>,
    /// States that are updated by sums.
    kept: Vec<StateId>,
    /// Weights of the products, to be used again.
    matrices: Vec<ValueId>,
    /// The states of each TTT layer.
    layers: Vec<(Geometry, StateId, StateId)>,
    tokens: usize,
    /// Whether it may have caches, which are for the positions of [`Made::steps`] only.
    attends: bool,
    pool: Vec<Item>,
    dice: Dice,
}

impl Made {
    /// A graph with room for `tokens` tokens; the rest follows from the seed alone.
    pub(super) fn new(seed: u64, tokens: usize) -> Made {
        Made::with(seed, tokens, false)
    }

    /// The same, and it may attend to what it has read, at positions below [`CONTEXT`].
    pub(super) fn attending(seed: u64, tokens: usize) -> Made {
        Made::with(seed, tokens, true)
    }

    fn with(seed: u64, tokens: usize, attends: bool) -> Made {
        let mut made = Made {
            graph: Graph::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            states: Vec::new(),
            weights: HashMap::new(),
            outputs: Vec::new(),
            ranges: HashMap::new(),
            versions: HashSet::new(),
            tensors: HashMap::new(),
            kept: Vec::new(),
            matrices: Vec::new(),
            layers: Vec::new(),
            tokens,
            attends,
            pool: Vec::new(),
            dice: Dice::new(seed),
        };
        made.start();
        let size = 5 + made.dice.below(20);
        while made.nodes.len() < size {
            made.grow();
        }
        made.finish();
        made
    }

    /// What the host writes before each run.
    pub(super) fn words(&self) -> Vec<(String, Vec<u32>)> {
        self.inputs.iter().map(|(name, value, fill)| (name.clone(), fill.words(self.graph.desc(*value)))).collect()
    }

    /// The stored words of a tensor.
    pub(super) fn tensor(&self, name: &str) -> Vec<u32> {
        let (desc, fill) = &self.tensors[name];
        fill.words(desc)
    }

    /// The value that holds this one's numbers.
    pub(super) fn base(&self, value: ValueId) -> ValueId {
        self.range(value).0
    }

    /// The same, and the first of its columns.
    pub(super) fn range(&self, value: ValueId) -> (ValueId, usize) {
        self.ranges.get(&value).copied().unwrap_or((value, 0))
    }

    /// Whether an input, a weight, a state or a node is called this.
    pub(super) fn knows(&self, label: &str) -> bool {
        let states = (0..self.states.len()).map(|s| format!("s{s}"));
        let mut labels = self.inputs.iter().map(|i| i.0.clone()).chain(states).chain(self.nodes.iter().map(|n| n.label.clone()));
        self.weights.contains_key(label) || labels.any(|l| l == label)
    }

    /// Whether a node's work grows with the tokens, which a TTT layer's workgroups do not: they walk along them.
    pub(super) fn works_on_tokens(&self) -> bool {
        let tokens = |v: &ValueId| self.graph.desc(*v).axis == Axis::Tokens;
        let walks = |op: &Op| matches!(op, Op::TttLinear(_) | Op::CausalConv(_));
        self.nodes.iter().any(|n| !walks(&n.op) && n.outputs.iter().any(tokens))
    }

    /// Three runs, each going on from where the one before left its sequences.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        let mut positions: Vec<u32> = (0..SEQUENCES).map(|_| self.dice.below(20) as u32).collect();
        let mut run = || {
            let mut sequences = Vec::new();
            let mut left = self.tokens.min(12);
            for position in positions.iter_mut().take(1 + self.dice.below(SEQUENCES)) {
                // The first has tokens, so that every run has some; an idle sequence keeps its place.
                let least = usize::from(sequences.is_empty());
                let count = (least + self.dice.below(6)).min(left);
                left -= count;
                let learning = self.dice.pick(&[1.0, 0.5, 0.0]);
                sequences.push(Sequence { learning, ..Sequence::new(*position, count as u32) });
                *position += count as u32;
            }
            Step::new(sequences)
        };
        vec![run(), run(), run()]
    }

    fn start(&mut self) {
        for (name, desc) in [
            ("x", Desc::tokens(self.tokens, 8)),
            ("wide", Desc::tokens(self.tokens, 16)),
            ("each", Desc::sequences(SEQUENCES, 8)),
            ("table", Desc::fixed(DType::F32, &[ROWS, 8])),
        ] {
            let value = self.input(name, desc, |seed| Fill::uniform(seed, 1.0));
            self.pool.push(Item { value, size: 1.0 });
        }
        let ids = Desc::tokens(self.tokens, 1).of(DType::U32);
        self.input("ids", ids.clone(), |seed| Fill::Below { seed, n: VOCABULARY as u32 });
        // The last target is outside of some vocabularies.
        self.input("targets", ids, |seed| Fill::Below { seed, n: 6 });
        for width in [8, 5] {
            let weight = self.weight(Desc::fixed(DType::F32, &[ROWS, width]), 1.0);
            self.pool.push(Item { value: weight, size: 1.0 });
            let state = self.state("kept", Desc::fixed(DType::F32, &[ROWS, width]), 1.0);
            self.pool.push(Item { value: self.graph.current(state), size: 2.0 });
            self.kept.push(state);
        }
    }

    fn input(&mut self, name: &str, desc: Desc, fill: impl Fn(u32) -> Fill) -> ValueId {
        let value = self.graph.input(name, desc);
        let fill = fill(self.dice.below(1 << 20) as u32);
        self.inputs.push((name.into(), value, fill));
        value
    }

    fn given(&self, name: &str) -> ValueId {
        self.inputs.iter().find(|i| i.0 == name).expect("every graph has it").1
    }

    fn weight(&mut self, desc: Desc, amplitude: f32) -> ValueId {
        self.weight_around(desc, 0.0, amplitude)
    }

    /// Numbers around one, for a norm.
    fn gains(&mut self, width: usize) -> ValueId {
        self.weight_around(Desc::fixed(DType::F32, &[1, width]), 1.0, 0.3)
    }

    fn weight_around(&mut self, desc: Desc, base: f32, amplitude: f32) -> ValueId {
        let (name, seed) = (format!("w{}", self.tensors.len()), self.dice.below(1 << 20) as u32);
        self.tensors.insert(name.clone(), (desc.clone(), Fill::Uniform { seed, base, amplitude }));
        let weight = self.graph.weight(&[&name], Pack::Stacked, desc);
        self.weights.insert(name, weight);
        weight
    }

    /// A state that starts at zeros, or at a weight of `amplitude`.
    fn state(&mut self, group: &str, desc: Desc, amplitude: f32) -> StateId {
        let learned = amplitude > 0.0 && self.dice.percent(50);
        let initial = learned.then(|| self.weight(desc.clone(), amplitude));
        self.state_from(group, desc, initial)
    }

    fn state_from(&mut self, group: &str, desc: Desc, initial: Option<ValueId>) -> StateId {
        let state = self.graph.state(group, format!("s{}", self.states.len()), desc, initial);
        let first = self.graph.current(state);
        self.states.push((state, first));
        self.versions.insert(first);
        state
    }

    fn node(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Vec<ValueId> {
        let (label, op) = (format!("n{}", self.nodes.len()), op.into());
        let added = self.graph.nodes(label.clone(), op.clone(), inputs);
        let outputs = added.unwrap_or_else(|e| panic!("{e}\n{}", self.graph));
        for (input, output) in op.kernel().updates() {
            if self.versions.contains(&inputs[input]) {
                self.versions.insert(outputs[output]);
            }
        }
        self.nodes.push(Node { label, op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        outputs
    }

    /// Adds a node whose first output later nodes may take.
    fn give(&mut self, op: impl Into<Op>, inputs: &[ValueId], size: f32) -> Item {
        let item = Item { value: self.node(op, inputs)[0], size };
        if self.dice.percent(15) {
            self.outputs.push((format!("o{}", self.outputs.len()), item.value));
        }
        self.pool.push(item.clone());
        item
    }

    fn axis(&mut self) -> Axis {
        self.dice.pick(&[Axis::Tokens, Axis::Tokens, Axis::Tokens, Axis::Sequences, Axis::Fixed])
    }

    fn width(&self, item: &Item) -> usize {
        self.graph.desc(item.value).width()
    }

    /// A tame value of this axis.
    fn any(&mut self, axis: Axis) -> Item {
        let tame = |i: &&Item| i.size <= TAME && self.graph.desc(i.value).axis == axis;
        let items: Vec<Item> = self.pool.iter().filter(tame).cloned().collect();
        self.dice.pick(&items)
    }

    /// A tame value of this axis and width: one that is there, some columns of a wider one, or a product.
    fn operand(&mut self, axis: Axis, width: usize) -> Item {
        let fits = |i: &&Item, wider: bool| {
            let desc = self.graph.desc(i.value);
            i.size <= TAME && desc.axis == axis && if wider { desc.width() > width } else { desc.width() == width }
        };
        let same: Vec<Item> = self.pool.iter().filter(|i| fits(i, false)).cloned().collect();
        let wider: Vec<Item> = self.pool.iter().filter(|i| fits(i, true)).cloned().collect();
        if !wider.is_empty() && (same.is_empty() || self.dice.percent(25)) {
            let Item { value, size } = self.dice.pick(&wider);
            let rest = self.graph.desc(value).width() - width;
            let start = self.dice.pick(&[0, rest]);
            let columns = self.graph.columns(value, start, width);
            self.ranges.insert(columns, (value, start));
            return Item { value: columns, size };
        }
        if same.is_empty() { self.product(axis, width, false, false) } else { self.dice.pick(&same) }
    }

    /// A matrix for `k` columns and `n` rows: a weight, new or not, or a value that was computed.
    fn matrix(&mut self, n: usize, k: usize) -> ValueId {
        let of = |g: &Graph, v: &ValueId| (g.desc(*v).rows(), g.desc(*v).width());
        let known: Vec<_> = self.matrices.iter().filter(|m| of(&self.graph, m) == (n, k)).copied().collect();
        let computed: Vec<_> =
            self.pool.iter().filter(|i| i.size <= 2.0 && self.graph.desc(i.value).axis == Axis::Fixed).collect();
        let computed: Vec<_> = computed.iter().map(|i| i.value).filter(|v| of(&self.graph, v) == (n, k)).collect();
        if !computed.is_empty() && self.dice.percent(50) {
            return self.dice.pick(&computed);
        }
        if !known.is_empty() && self.dice.percent(20) {
            return self.dice.pick(&known);
        }
        let dtype = self.dice.pick(&[DType::F32, DType::F16, DType::BF16]);
        let weight = self.weight(Desc::fixed(dtype, &[n, k]), (k as f32).sqrt().recip());
        self.matrices.push(weight);
        weight
    }

    /// Names the last value as an output, and perhaps one of any kind.
    fn finish(&mut self) {
        let last = self.pool.last().expect("inputs at least").value;
        self.outputs.push((format!("o{}", self.outputs.len()), last));
        let (axis, width) = (self.axis(), self.dice.pick(&WIDTHS));
        let any = self.operand(axis, width).value;
        // A weight is no output; every other value may be one.
        let base = self.base(any);
        if axis != Axis::Fixed || self.versions.contains(&base) || self.nodes.iter().any(|n| n.outputs.contains(&base)) {
            self.outputs.push((format!("o{}", self.outputs.len()), any));
        }
        for (name, value) in &self.outputs {
            self.graph.output(name.clone(), *value);
        }
    }
}
