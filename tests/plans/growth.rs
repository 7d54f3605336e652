//! The nodes that a random graph grows by: each kind of op, and the groups that fusion knows.

use fastweight::graph::ValueId;
use fastweight::kernels::add::Add;
use fastweight::kernels::append::Append;
use fastweight::kernels::attend::Heads;
use fastweight::kernels::attend_combine::AttendCombine;
use fastweight::kernels::attend_decode::AttendDecode;
use fastweight::kernels::causal_conv::CausalConv;
use fastweight::kernels::copy::Copy;
use fastweight::kernels::cross_entropy::CrossEntropy;
use fastweight::kernels::embed::Embed;
use fastweight::kernels::gelu_gate::GeluGate;
use fastweight::kernels::last_row::LastRow;
use fastweight::kernels::layer_norm::LayerNorm;
use fastweight::kernels::lr_gate::LrGate;
use fastweight::kernels::matmul::Matmul;
use fastweight::kernels::matvec::{Epilogue, Matvec, Prologue};
use fastweight::kernels::remember::Remember;
use fastweight::kernels::rms_norm::RmsNorm;
use fastweight::kernels::rope::{Positions, Rope};
use fastweight::kernels::swiglu::Swiglu;
use fastweight::kernels::ttt_linear::TttLinear;
use fastweight::kernels::{Geometry, Op};
use fastweight::step::HISTORY;
use fastweight::tensor::{Axis, DType, Desc};

use super::{CONTEXT, Item, Made, SEQUENCES, TAME, VOCABULARY, WIDTHS};

/// Of every norm: large enough that a row of small values does not blow its rounding up.
const EPS: f32 = 1e-2;

impl Made {
    /// A product of some value of this axis, perhaps with the norm or the residual that only fusion adds to a model.
    pub(super) fn product(&mut self, axis: Axis, width: usize, normed: bool, residual: bool) -> Item {
        let (x, few) = (self.any(axis), normed || self.dice.percent(50));
        self.product_of(&x, width, few, normed, residual)
    }

    /// A product by the kernel for `few` rows or the one for many; only the first takes a norm.
    fn product_of(&mut self, x: &Item, width: usize, few: bool, normed: bool, residual: bool) -> Item {
        let (axis, k) = (self.graph.desc(x.value).axis, self.width(x));
        let mut inputs = vec![x.value, self.matrix(width, k)];
        let mut size = x.size * 1.5;
        if normed {
            inputs.push(self.gains(k));
            size = 2.0;
        }
        if residual {
            let y = self.operand(axis, width);
            inputs.push(y.value);
            size += y.size;
        }
        let prologue = if normed { Prologue::Rms(RmsNorm { eps: EPS }) } else { Prologue::None };
        let epilogue = if residual { Epilogue::Residual } else { Epilogue::None };
        let op: Op = if few { Matvec { prologue, epilogue }.into() } else { Matmul { residual }.into() };
        self.give(op, &inputs, size)
    }

    fn layer_norm(&mut self, x: ValueId, gate: Option<ValueId>) -> Item {
        let width = self.graph.desc(x).width();
        let (gamma, beta) = (self.gains(width), self.weight(Desc::fixed(DType::F32, &[1, width]), 0.3));
        let mut inputs = vec![x, gamma, beta];
        inputs.extend(gate);
        self.give(LayerNorm { eps: EPS, gated: gate.is_some() }, &inputs, 2.5)
    }

    fn add(&mut self, x: &Item, y: &Item) {
        self.give(Add, &[x.value, y.value], x.size + y.size);
    }

    fn conv(&mut self, residual: bool) -> Item {
        let width = self.dice.pick(&[5, 8]);
        let x = self.operand(Axis::Tokens, width);
        let filters = if residual { 1 } else { self.dice.pick(&[1, 2]) };
        let silu = self.dice.percent(30);
        self.convolved(&x, filters, silu, residual)
    }

    fn convolved(&mut self, x: &Item, filters: usize, silu: bool, residual: bool) -> Item {
        let width = self.width(x);
        let taps = self.dice.pick(&[2, 4]);
        let w = self.weight(Desc::fixed(DType::F32, &[filters * width, taps]), 1.0 / taps as f32);
        let bias = self.weight(Desc::fixed(DType::F32, &[1, filters * width]), 0.3);
        let window = self.state("windows", Desc::fixed(DType::F32, &[SEQUENCES, taps - 1, width]), 1.0);
        let window = self.graph.current(window);
        let mut inputs = vec![x.value, w, bias, window];
        let mut size = x.size + 0.3;
        if residual {
            let y = self.operand(Axis::Tokens, width);
            inputs.push(y.value);
            size += y.size;
        }
        let y = self.give(CausalConv { filters, taps, silu, residual }, &inputs, size);
        self.read_late(window);
        y
    }

    /// Now and then, reads the old version of a state after its update.
    fn read_late(&mut self, old: ValueId) {
        if self.dice.percent(20) {
            let copy = self.node(Copy, &[old])[0];
            self.outputs.push((format!("o{}", self.outputs.len()), copy));
        }
    }

    /// A TTT layer; `whole`, with its operands made of columns of one product, as a model has them.
    fn ttt(&mut self, whole: bool) {
        let (heads, head_dim, mini_batch) = self.dice.pick(&[(2, 4, 3), (1, 8, 5)]);
        let geometry = Geometry { heads, head_dim, mini_batch };
        let width = geometry.width();
        let (qk, v, z) = if whole {
            let filtered = self.dice.percent(60);
            let qk_width = if filtered { width } else { 2 * width };
            let p = self.product(Axis::Tokens, qk_width + width + heads, false, false);
            let qk = self.columns(&p, 0, qk_width);
            let qk = if filtered { self.convolved(&qk, 2, false, false) } else { qk };
            let qk = self.turned(&qk, head_dim, Positions::Periodic(mini_batch));
            (qk, self.columns(&p, qk_width, width), self.columns(&p, qk_width + width, heads))
        } else {
            (self.operand(Axis::Tokens, 2 * width), self.operand(Axis::Tokens, width), self.operand(Axis::Tokens, heads))
        };
        let bias = self.weight(Desc::fixed(DType::F32, &[1, heads]), 0.5);
        let lr = self.give(LrGate { scale: 0.1 }, &[z.value, bias], 0.1);
        let params = self.weight(Desc::fixed(DType::F32, &[1, geometry.params_len()]), 0.7);
        let known = self.layers.iter().find(|l| l.0 == geometry).map(|l| (l.1, l.2));
        let (fast, open) = known.filter(|_| self.dice.percent(50)).unwrap_or_else(|| {
            let group = format!("layer{}", self.states.len());
            let learned = self.weight(Desc::fixed(DType::F32, &[heads, TttLinear::fast_len(&geometry)]), 0.5);
            let (rows, row) = (SEQUENCES * heads, mini_batch * TttLinear::row_len(&geometry));
            let fast = Desc::fixed(DType::F32, &[rows, TttLinear::fast_len(&geometry)]);
            let fast = self.state_from(&group, fast, Some(learned));
            let open = self.state(&group, Desc::fixed(DType::F32, &[rows, row]), 0.0);
            self.layers.push((geometry, fast, open));
            (fast, open)
        });
        let (old_fast, old_open) = (self.graph.current(fast), self.graph.current(open));
        let op = TttLinear { geometry, probe: self.dice.percent(if whole { 0 } else { 30 }), front: None };
        self.give(op, &[qk.value, v.value, lr.value, params, old_fast, old_open], qk.size + 2.5);
        let probe = self.nodes.last().and_then(|node| node.outputs.get(3)).copied();
        let name = format!("o{}", self.outputs.len());
        self.outputs.extend(probe.map(|probe| (name, probe)));
        self.read_late(old_fast);
    }

    /// Some columns of a value.
    fn columns(&mut self, of: &Item, start: usize, width: usize) -> Item {
        let value = self.graph.columns(of.value, start, width);
        self.ranges.insert(value, (of.value, start));
        Item { value, size: of.size }
    }

    fn turned(&mut self, x: &Item, head_dim: usize, positions: Positions) -> Item {
        let rope = Rope { head_dim, positions, interleaved: self.dice.percent(50) };
        let label = format!("turns of {head_dim}, {positions:?}");
        let table = self.graph.constant(&label, &[rope.rows(), head_dim], &rope.table(&Rope::frequencies(head_dim, 100.0)));
        self.weights.insert(label, table);
        self.give(rope, &[x.value, table], 1.4 * x.size)
    }

    /// Attention over caches that the new keys and values go into first.
    fn attention(&mut self) {
        let heads = Heads { query: 2, kv: 1, head_dim: 4 };
        let p = self.product(Axis::Tokens, 16, false, false);
        let qk = self.columns(&p, 0, 12);
        let turned = self.turned(&qk, 4, Positions::Full);
        let (q, k, v) = (self.columns(&turned, 0, 8), self.columns(&turned, 8, 4), self.columns(&p, 12, 4));
        let cache = Desc::fixed(DType::F32, &[SEQUENCES, CONTEXT, 4]);
        let caches = [(); 2].map(|()| self.state("caches", cache.clone(), 1.0)).map(|cache| self.graph.current(cache));
        let kept = self.node(Append, &[k.value, v.value, caches[0], caches[1]]);
        self.read_late(caches[0]);
        let partial = self.node(AttendDecode { heads }, &[q.value, kept[0], kept[1]])[0];
        self.give(AttendCombine { heads: 2, head_dim: 4 }, &[partial], v.size + 1.0);
    }

    /// Adds a node, or a few that fusion knows.
    pub(super) fn grow(&mut self) {
        let axis = self.axis();
        let width = self.dice.pick(&WIDTHS);
        match self.dice.below(30) {
            0 | 1 => {
                let (x, y) = (self.operand(axis, width), self.operand(axis, width));
                self.add(&x, &y);
            }
            2 => {
                let x = self.operand(axis, width);
                self.give(Copy, &[x.value], x.size);
            }
            3 | 4 => {
                let (gate, x) = (self.operand(axis, width), self.operand(axis, width));
                let op: Op = if self.dice.percent(50) { Swiglu.into() } else { GeluGate.into() };
                self.give(op, &[gate.value, x.value], gate.size * x.size);
            }
            5 => {
                // A norm takes values of any size.
                let of_axis: Vec<_> = self.pool.iter().filter(|i| self.graph.desc(i.value).axis == axis).cloned().collect();
                let x = self.dice.pick(&of_axis);
                let gains = self.gains(self.width(&x));
                self.give(RmsNorm { eps: EPS }, &[x.value, gains], 2.0);
            }
            6 => {
                let x = self.operand(axis, width);
                let gate = self.dice.percent(40).then(|| self.operand(axis, width).value);
                self.layer_norm(x.value, gate);
            }
            7 | 8 => {
                let (normed, residual) = (self.dice.percent(30), self.dice.percent(40));
                self.product(axis, width, normed, residual);
            }
            9 => {
                let residual = self.dice.percent(30);
                self.conv(residual);
            }
            10 => {
                let width = self.dice.pick(&[8, 16]);
                let x = self.operand(Axis::Tokens, width);
                self.turned(&x, 4, Positions::Periodic(5));
            }
            11 => {
                let x = self.any(Axis::Tokens);
                self.give(LastRow { sequences: SEQUENCES }, &[x.value], x.size);
            }
            12 => {
                let (ids, dtype) = (self.given("ids"), self.dice.pick(&[DType::F32, DType::F16, DType::BF16]));
                let table = self.weight(Desc::fixed(dtype, &[VOCABULARY, width]), 1.0);
                self.give(Embed, &[ids, table], 1.0);
            }
            13 => {
                let (logits, targets) = (self.operand(Axis::Tokens, width), self.given("targets"));
                self.give(CrossEntropy, &[logits.value, targets], 2.0 * logits.size + 3.0);
            }
            14 | 15 => self.ttt(false),
            20 | 21 => self.ttt(true),
            22 if self.attends => self.attention(),
            16 => {
                let (x, few) = (self.any(axis), self.dice.percent(50));
                for _ in 0..2 + self.dice.below(2) {
                    let width = self.dice.pick(&WIDTHS);
                    let y = self.product_of(&x, width, few, false, false);
                    // What nobody reads is left out: these are read.
                    self.outputs.push((format!("o{}", self.outputs.len()), y.value));
                }
            }
            17 => {
                let x = self.operand(axis, width);
                let gains = self.gains(width);
                let normed = self.give(RmsNorm { eps: EPS }, &[x.value, gains], 2.0);
                let few = self.dice.percent(70);
                self.product_of(&normed, width, few, false, false);
            }
            18 => {
                let (x, gate) = (self.operand(axis, width), self.operand(axis, width));
                let normed = self.layer_norm(x.value, None);
                self.give(GeluGate, &[gate.value, normed.value], gate.size * normed.size);
            }
            19 => {
                // A state that is updated while its neighbours in the buffer are read.
                let state = self.dice.pick(&self.kept.clone());
                let x = Item { value: self.graph.current(state), size: TAME };
                let y = self.operand(Axis::Fixed, self.width(&x));
                self.add(&x, &y);
            }
            22 | 23 | 26..=28 => {
                let width = self.dice.pick(&[5, 8]);
                let x = self.operand(Axis::Tokens, width);
                let gains = self.gains(width);
                let normed = self.give(RmsNorm { eps: EPS }, &[x.value, gains], 2.0);
                let y = self.convolved(&normed, 1, false, false);
                self.add(&x, &y);
            }
            24 => {
                let normed = self.dice.percent(50);
                let x = self.any(axis);
                let both = self.product_of(&x, 2 * width, true, normed, false);
                let (gate, up) = (self.columns(&both, 0, width), self.columns(&both, width, width));
                self.give(Swiglu, &[gate.value, up.value], gate.size * up.size);
            }
            25 => {
                let x = self.operand(axis, width);
                let gate = self.dice.percent(40).then(|| self.operand(axis, width).value);
                let normed = self.layer_norm(x.value, gate);
                self.product_of(&normed, width, true, false, false);
            }
            _ => {
                let y = if self.dice.percent(30) { self.conv(false) } else { self.product(axis, width, false, false) };
                let desc = self.graph.desc(y.value).clone();
                let x = self.operand(desc.axis, desc.width());
                self.add(&x, &y);
            }
        }
        if self.dice.percent(3) {
            let (ids, ring) = (self.given("ids"), self.state("ring", Desc::fixed(DType::U32, &[SEQUENCES, HISTORY]), 0.0));
            self.node(Remember, &[ids, self.graph.current(ring)]);
        }
    }
}
