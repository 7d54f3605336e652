//! What the two state-space scans share: geometry, operands, the recurrence, and the cases.

use rayon::prelude::*;

use super::matmul::Columns;
use super::*;
use crate::vector::{exp_scaled, gate_silu, recur, softplus_sum};

/// The longest state of a channel.
pub(crate) const MAX_STATE: usize = 256;

/// The heads of a state-space layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateSpace {
    /// Heads of one sequence.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Groups of heads that share B and C; a divisor of the heads.
    pub groups: usize,
    /// Elements of a channel's state, 1 to 256.
    pub state: usize,
    /// The least and the largest time step.
    pub step_limit: [f32; 2],
}

/// A scan: a layer, how many rates of decay a head has, and whether a gate comes behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub(super) space: StateSpace,
    /// `state`, or 1 for all of its elements.
    pub(super) rates: usize,
    pub(super) gated: bool,
}

impl StateSpace {
    /// Channels of a row.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn check(&self) -> Result<(), OpError> {
        let refuse = |name, found: String, wanted: &str| Err(OpError::Attribute { name, found, wanted: wanted.into() });
        if self.heads == 0 || self.head_dim == 0 {
            return refuse("heads", format!("{} of {}", self.heads, self.head_dim), "at least 1 of at least 1");
        }
        if self.groups == 0 || !self.heads.is_multiple_of(self.groups) {
            return refuse("groups", self.groups.to_string(), &format!("a divisor of {} heads", self.heads));
        }
        if !(1..=MAX_STATE).contains(&self.state) {
            return refuse("state", self.state.to_string(), &format!("1 to {MAX_STATE}"));
        }
        let [least, most] = self.step_limit;
        if !(least >= 0.0 && least <= most && most.is_finite()) {
            return refuse("step_limit", format!("{least} to {most}"), "two finite numbers from 0 on, in order");
        }
        Ok(())
    }
}

impl Scan {
    /// Elements of the small vectors, end to end: log(−A), bias, D.
    pub(super) fn params_len(&self) -> usize {
        self.space.heads * (self.rates + 2)
    }

    /// Elements of a head's state.
    pub(super) fn state_len(&self) -> usize {
        self.space.head_dim * self.space.state
    }

    pub(super) fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, if self.gated { 6 } else { 5 })?;
        self.space.check()?;
        let StateSpace { heads, groups, state, .. } = self.space;
        let x = inputs[0];
        if x.axis != Axis::Tokens {
            return Err(OpError::input(inputs, 0, "one row a token"));
        }
        expect_rows(inputs, 0, x, self.space.width())?;
        expect_rows(inputs, 1, x, heads)?;
        expect_rows(inputs, 2, x, 2 * groups * state)?;
        expect_weight(inputs, 3, self.params_len())?;
        let s = inputs[4];
        let fits = s.dtype == DType::F32 && s.axis == Axis::Fixed && s.width() == self.state_len();
        if !fits || !s.rows().is_multiple_of(heads) {
            return Err(OpError::input(inputs, 4, format!("f32[sequences * {heads}, {}]", self.state_len())));
        }
        if self.gated {
            expect_rows(inputs, 5, x, self.space.width())?;
        }
        Ok(vec![x.with_width(self.space.width()), s.clone()])
    }

    /// Whether the shaders take an input at any stride and offset: the rows that come by token do.
    pub(super) fn strided(input: usize) -> bool {
        matches!(input, 0 | 1 | 2 | 5)
    }

    fn launch(&self, file: &'static str, io: &Io, grid: Grid) -> Launch {
        let StateSpace { heads, head_dim, groups, state, step_limit } = self.space;
        let (x, dt, bc) = (&io.inputs[0], &io.inputs[1], &io.inputs[2]);
        let launch = Launch::new(file, grid).part("scan");
        let launch = match io.inputs.get(4) {
            None => launch.bind(&["x", "dt", "bc", "params", "y", "state"]).part("gate_none"),
            Some(gate) => launch
                .bind(&["x", "dt", "bc", "params", "gate", "y", "state"])
                .part("gate_silu")
                .part("silu")
                .size("GATE_STRIDE", gate.stride)
                .size("GATE_OFFSET", gate.offset),
        };
        launch
            .size("HEADS", heads)
            .size("HEAD_DIM", head_dim)
            .size("GROUPS", groups)
            .size("STATE", state)
            .size("RATES", self.rates)
            .set("STEP_MIN", step_limit[0])
            .set("STEP_MAX", step_limit[1])
            .size("X_STRIDE", x.stride)
            .size("X_OFFSET", x.offset)
            .size("DT_STRIDE", dt.stride)
            .size("DT_OFFSET", dt.offset)
            .size("BC_STRIDE", bc.stride)
            .size("BC_OFFSET", bc.offset)
    }

    /// Token by token, with barriers every `tile` of them.
    pub(super) fn by_tokens(&self, io: &Io, tile: usize) -> Launch {
        let StateSpace { head_dim, state, .. } = self.space;
        // Few lanes leave fewer shares to add; more than 16 elements a lane would not stay in registers.
        let lanes = state.div_ceil(4).next_power_of_two().clamp(4, 16);
        let channels = 256 / lanes;
        let heads = (channels / head_dim).max(1);
        let grid = Grid(vec![Extent::fixed(head_dim, channels as u32), Extent::new(Live::Part, heads as u32)]);
        let launch = self.launch("selective_scan", io, grid);
        let elements = state.div_ceil(lanes);
        let rounds = io.inputs[0].desc.rows() * (elements + lanes + 4);
        launch.constant("LANES", lanes).constant("ELEMENTS", elements).constant("TILE", tile).rounds(rounds)
    }

    /// In chunks of tokens, as matrix products; for heads with one rate.
    pub(super) fn by_chunks(&self, io: &Io) -> Launch {
        /// Channels of a head that a workgroup takes.
        const BLOCK: u32 = 64;
        let grid = Grid(vec![Extent::fixed(self.space.head_dim, BLOCK), Extent::new(Live::Part, 1)]);
        let rounds = (io.inputs[0].desc.rows() / 16 + 1) * (self.space.state.div_ceil(16) * 40 + 140);
        self.launch("ssd", io, grid).rounds(rounds)
    }

    /// Whether a run has few tokens a sequence.
    pub(super) fn few(&self, io: &Io) -> bool {
        io.inputs[0].desc.rows() / (io.outputs[1].desc.rows() / self.space.heads) < 4
    }

    /// The recurrence, token by token, blocks of heads side by side.
    pub(super) fn reference(&self, args: &mut Args<'_>) {
        /// Channels that a thread takes at a time: their states and a row of their inputs stay in its cache.
        const BLOCK: usize = 64;
        let (heads, len, block) = (self.space.heads, self.state_len(), (BLOCK / self.space.head_dim).max(1));
        let (inputs, step, part) =
            (&args.inputs, args.step, args.part.first as usize..(args.part.first + args.part.count) as usize);
        let [y, state] = &mut args.outputs[..] else { unreachable!("two outputs") };
        let width = y.width();
        let y = Columns::new(y.rows(step.head.rows as usize), width);
        for (sequence, record) in step.sequences.iter().enumerate() {
            // The sequence's heads that are of this part.
            let own = part.start.max(sequence * heads)..part.end.min((sequence + 1) * heads);
            if own.is_empty() || record.count == 0 {
                continue;
            }
            let states = &mut state.f32s()[(own.start - part.start) * len..(own.end - part.start) * len];
            states.par_chunks_mut(block * len).enumerate().for_each(|(i, states)| {
                self.advance(inputs, record, own.start - sequence * heads + i * block, states, &y);
            });
        }
    }

    /// The heads from `first` on that have these states, over the tokens of one sequence.
    fn advance(&self, inputs: &[In<'_>], record: &Sequence, first: usize, states: &mut [f32], y: &Columns<'_>) {
        let StateSpace { heads, head_dim, groups, state: n, step_limit: [least, most] } = self.space;
        let ([x, dt, bc, params], gate) = (inputs.first_chunk().expect("four inputs are only read"), inputs.get(4));
        let (a_log, params) = params.f32s().split_at(heads * self.rates);
        let (bias, skip) = params.split_at(heads);
        let (column, channels, count) = (first * head_dim, states.len() / n, states.len() / self.state_len());
        let mut rates = vec![0.0; count * self.rates];
        exp_scaled(1.0, &a_log[first * self.rates..][..rates.len()], &mut rates);
        let (mut decays, mut deltas, mut sums) = ([0.0; MAX_STATE], vec![0.0; count], vec![0.0; channels]);
        for t in record.first_row as usize..(record.first_row + record.count) as usize {
            softplus_sum(&dt.row(t)[first..][..count], &bias[first..], &mut deltas);
            let x = &x.row(t)[column..][..channels];
            let (b, c) = bc.row(t).split_at(groups * n);
            let of_heads = states.chunks_mut(self.state_len()).zip(rates.chunks(self.rates));
            let of_heads = of_heads.zip(x.chunks(head_dim).zip(sums.chunks_mut(head_dim)));
            for (head, ((s, rates), (x, sums))) in (first..).zip(of_heads) {
                let delta = deltas[head - first].clamp(least, most);
                exp_scaled(-delta, rates, &mut decays[..self.rates]);
                if self.rates == 1 {
                    let decay = decays[0];
                    decays[..n].fill(decay);
                }
                let group = head / (heads / groups) * n;
                let (b, c) = (&b[group..][..n], &c[group..][..n]);
                for ((s, x), sum) in s.chunks_mut(n).zip(x).zip(sums) {
                    *sum = recur(&decays[..n], delta * x, b, c, s) + skip[head] * x;
                }
            }
            if let Some(gate) = gate {
                gate_silu(&mut sums, &gate.row(t)[column..]);
            }
            y.write(t, column, &sums, false);
        }
    }

    pub(super) fn cost(&self, io: &Io) -> Cost {
        let tokens = io.inputs[0].desc.rows() as f64;
        let (elements, rates) = (self.space.heads * self.state_len(), self.space.heads * self.rates);
        // A multiply for the exponent and one for Δ x; s ← d s + b and s·c.
        Cost::streaming(io, tokens * (2 * rates + 5 * elements) as f64).and_read(&io.outputs[1])
    }
}

/// Cases of either scan. Of each layer: the runs, one after the other, with the tokens of each sequence; and how large dt is.
pub(super) fn cases(scan: impl Fn(Scan) -> Op, layers: &[(Scan, &[&[u32]], f32)]) -> Vec<Case> {
    let case = |&(layer, runs, dt): &(Scan, &[&[u32]], f32)| {
        let StateSpace { heads, head_dim, groups, state, .. } = layer.space;
        let (sequences, width) = (runs[0].len(), layer.space.width());
        let rows = runs.iter().map(|run| run.iter().sum::<u32>()).max().unwrap_or(0) as usize;
        let activation =
            |seed, width, amplitude| CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(seed, amplitude));
        let mut inputs = vec![
            activation(1, width, 1.0),
            activation(2, heads, dt),
            activation(3, 2 * groups * state, 1.0),
            CaseInput::weight(Desc::fixed(DType::F32, &[layer.params_len()]), Fill::uniform(4, 1.5)),
            CaseInput::state(Desc::fixed(DType::F32, &[sequences * heads, layer.state_len()]), Fill::uniform(5, 1.0)),
        ];
        if layer.gated {
            inputs.push(activation(6, width, 4.0));
        }
        let steps = runs.iter().map(|run| Step::new(run.iter().map(|&n| Sequence::new(0, n)).collect())).collect();
        let name =
            format!("{heads} heads of {head_dim}, {groups} groups, state {state}, {runs:?}, dt ±{dt}, gated {}", layer.gated);
        let case = Case::new(name, scan(layer), rows, inputs).steps(steps).bound(5e-5);
        if rows * width * state > 100_000 { case.thorough() } else { case }
    };
    layers.iter().map(case).collect()
}
