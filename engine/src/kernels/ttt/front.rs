//! What makes the operands of a TTT layer, inside of its kernel: the kernels between the projections and the layer.

use super::super::causal_conv::{CausalConv, MAX_TAPS};
use super::super::lr_gate::LrGate;
use super::super::rope::{Positions, Rope};
use super::super::*;
use super::Geometry;

/// A TTT layer's operands as columns p of one projection of its input: q and k by two filters of one value (or as they are), turned by the
/// position in the mini-batch; v as it is; and the learning rates by their gate. For few tokens a sequence.
///
/// The layer then takes p `[tokens, …]`, params with the gate's bias `[heads]` and the filters' weights `[2 · width, taps]` and biases
/// `[2 · width]` behind the rest, the table of the rotation `[mini_batch, head_dim]`, the states, and if there are filters their window
/// `[sequences, taps − 1, width]` (updated).
#[derive(Debug, Clone, PartialEq)]
pub struct Front {
    /// The first column of the value that is filtered, or of all q and then all k.
    pub qk: usize,
    /// The first column of v.
    pub v: usize,
    /// The first column of the gate's logits.
    pub lr: usize,
    /// Rows that the filters see, if there are any.
    pub taps: Option<usize>,
    /// Whether the rotation's pair n is (2n, 2n + 1), or else (n, n + head_dim / 2).
    pub interleaved: bool,
    /// The gate.
    pub gate: LrGate,
}

/// Operands that were made, and where v lies.
pub(in super::super) struct Operands {
    qk: (Operand, Vec<u32>),
    lr: (Operand, Vec<u32>),
    v: Operand,
}

impl Operands {
    /// The inputs of a layer that has its operands given: qk, v, lr, params.
    pub(in super::super) fn inputs<'a>(&'a self, inputs: &[In<'a>]) -> Vec<In<'a>> {
        let made = |(operand, words): &'a (Operand, Vec<u32>)| In { operand, words };
        vec![made(&self.qk), In { operand: &self.v, words: inputs[0].words }, made(&self.lr), inputs[1]]
    }
}

impl Front {
    /// The filters of q and k.
    fn conv(&self) -> Option<CausalConv> {
        self.taps.map(|taps| CausalConv { filters: 2, taps, silu: false, residual: false })
    }

    fn rope(&self, geometry: &Geometry) -> Rope {
        let positions = Positions::Periodic(geometry.mini_batch);
        Rope { head_dim: geometry.head_dim, positions, interleaved: self.interleaved }
    }

    /// Columns of q and k.
    fn qk_width(&self, geometry: &Geometry) -> usize {
        if self.taps.is_some() { geometry.width() } else { 2 * geometry.width() }
    }

    /// Elements of the small vectors.
    pub fn params_len(&self, geometry: &Geometry) -> usize {
        geometry.params_len() + geometry.heads + self.taps.map_or(0, |taps| 2 * geometry.width() * (taps + 1))
    }

    /// Checks p, params, table and window.
    pub(in super::super) fn expect(&self, geometry: &Geometry, inputs: &[&Desc]) -> Result<(), OpError> {
        expect_inputs(inputs, if self.taps.is_some() { 6 } else { 5 })?;
        let (p, width) = (inputs[0], geometry.width());
        let ends = [(self.qk, self.qk_width(geometry)), (self.v, width), (self.lr, geometry.heads)].map(|(start, n)| start + n);
        let end = ends.into_iter().fold(0, usize::max);
        if p.axis != Axis::Tokens || p.dtype != DType::F32 || p.width() < end {
            return Err(OpError::input(inputs, 0, format!("f32 with a row a token of at least {end}")));
        }
        expect_weight(inputs, 1, self.params_len(geometry))?;
        expect_weight(inputs, 2, geometry.mini_batch * geometry.head_dim)?;
        let Some(taps) = self.taps else { return Ok(()) };
        if !(2..=MAX_TAPS).contains(&taps) {
            return Err(OpError::Attribute { name: "taps", found: taps.to_string(), wanted: "2 to 16".into() });
        }
        let (window, sequences) = (inputs[5], inputs[3].rows() / geometry.heads);
        let fits = window.dtype == DType::F32 && window.axis == Axis::Fixed && window.len() == sequences * (taps - 1) * width;
        if !fits || window.rows() != sequences {
            return Err(OpError::input(inputs, 5, format!("f32[{sequences}, {}, {width}]", taps - 1)));
        }
        Ok(())
    }

    /// Fills the holes for the operands.
    pub(in super::super) fn launch(&self, launch: Launch, geometry: &Geometry, p: &Operand) -> Launch {
        let launch = launch.bind(&["p", "params", "table", "out", "fast", "open"]).part("ttt_projected");
        let launch = match self.taps {
            Some(taps) => launch.bind(&["window"]).part("ttt_filtered").constant("TAPS", taps),
            None => launch.part("ttt_unfiltered"),
        };
        launch
            .size("P_STRIDE", p.stride)
            .size("P_OFFSET", p.offset)
            .size("QK_COLUMN", self.qk)
            .size("V_COLUMN", self.v)
            .size("LR_COLUMN", self.lr)
            .size("DISTANCE", self.rope(geometry).distance())
            .set("SCALE", self.gate.scale)
    }

    /// Makes the operands, and moves the window of the heads of the part at hand on.
    pub(in super::super) fn operands(&self, args: &mut Args<'_>, geometry: &Geometry) -> Operands {
        let (step, part) = (args.step, args.part);
        let [p, params, table] = args.inputs[..] else { unreachable!("three inputs are only read") };
        let (rows, width, heads) = (p.operand.desc.clone(), geometry.width(), geometry.heads);
        let columns = |start: usize, width: usize| Operand {
            desc: rows.with_width(width),
            stride: p.operand.stride,
            offset: p.operand.offset + start,
        };
        let made = |width: usize| {
            let operand = Operand::whole(rows.with_width(width));
            let words = vec![0u32; step.head.rows as usize * width];
            (operand, words)
        };
        // A run of a kernel that this one stands for. What is of a part is done by each part, for nothing but its own heads.
        let run = |op: &dyn Kernel, inputs: Vec<In<'_>>, outputs: Vec<Out<'_>>| {
            op.reference(&mut Args { step, part, inputs, outputs });
        };
        let bias = geometry.params_len();
        let small = Operand::whole(Desc::fixed(DType::F32, &[1, params.words.len()]));
        let vector = |start: usize, len: usize| In { operand: &small, words: &params.words[start..start + len] };

        let mut raw = (columns(self.qk, 2 * width), Vec::new());
        if let Some(conv) = self.conv() {
            raw = made(2 * width);
            let window = &mut args.outputs[3];
            let mut moved = window.words.to_vec();
            let x = columns(self.qk, width);
            let weights = 2 * width * conv.taps;
            let inputs = vec![
                In { operand: &x, words: p.words },
                vector(bias + heads, weights),
                vector(bias + heads + weights, 2 * width),
            ];
            let (operand, words) = &mut raw;
            let outputs = vec![Out { operand, words }, Out { operand: window.operand, words: &mut moved }];
            run(&conv, inputs, outputs);
            for index in part.first as usize..(part.first + part.count) as usize {
                for row in 0..conv.taps - 1 {
                    let at = (index / heads * (conv.taps - 1) + row) * width + index % heads * geometry.head_dim;
                    let head = at..at + geometry.head_dim;
                    window.words[head.clone()].copy_from_slice(&moved[head]);
                }
            }
        }
        let words = if self.taps.is_some() { &raw.1[..] } else { p.words };
        let mut qk = made(2 * width);
        let inputs = vec![In { operand: &raw.0, words }, table];
        run(&self.rope(geometry), inputs, vec![Out { operand: &qk.0, words: &mut qk.1 }]);
        let (mut lr, z) = (made(heads), columns(self.lr, heads));
        let inputs = vec![In { operand: &z, words: p.words }, vector(bias, heads)];
        run(&self.gate, inputs, vec![Out { operand: &lr.0, words: &mut lr.1 }]);
        Operands { qk, lr, v: columns(self.v, width) }
    }

    /// Adds the work of making the operands to that of a layer, of which all of p was counted.
    pub(in super::super) fn cost(&self, mut cost: Cost, geometry: &Geometry, io: &Io) -> Cost {
        let (p, width) = (&io.inputs[0].desc, geometry.width());
        let unread = p.width() - self.qk_width(geometry) - width - geometry.heads;
        let bytes = (p.rows() * unread * 4) as f64;
        (cost.least, cost.moved) = (cost.least - bytes, cost.moved - bytes);
        cost.operations += (p.rows() * (2 * width * (2 * self.taps.unwrap_or(0) + 3) + 4 * geometry.heads)) as f64;
        if let Some(window) = io.outputs.get(3) { cost.and_read(window) } else { cost }
    }
}
