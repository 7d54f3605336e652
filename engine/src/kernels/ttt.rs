//! What the two TTT layers share: geometry, the inner norm and its gradient, and the cases.

use rayon::prelude::*;

use super::matmul::Columns;
use super::*;
use crate::vector::{View, mean_and_variance, norm_gradient, normalise};

mod cases;
mod front;
mod tile;
mod work;

pub(super) use cases::{GIVEN, case_of, cases, given_case, most_tokens};
pub use front::Front;
pub(super) use tile::Tile;
pub use work::Passes;

/// Heads of a TTT layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Heads of one sequence.
    pub heads: usize,
    /// Width of a head: a multiple of 4 up to 128.
    pub head_dim: usize,
    /// Tokens that one mini-batch takes, 1 to 64.
    pub mini_batch: usize,
}

fn attribute<T>(name: &'static str, found: usize, wanted: &str) -> Result<T, OpError> {
    Err(OpError::Attribute { name, found: found.to_string(), wanted: wanted.into() })
}

/// Added to the variance of the inner norm; hard-coded in the published model.
const EPS: f32 = 1e-6;

/// The tokens of one head of one sequence in a run.
pub(super) struct Head<'a> {
    pub(super) q: HeadRows<'a>,
    pub(super) k: HeadRows<'a>,
    gamma: &'a [f32],
    beta: &'a [f32],
    token_index: &'a [f32],
    /// Heads of the layer, and which of them this is.
    heads: usize,
    head: usize,
    /// Tokens that the sequence took before this run.
    pub(super) position: usize,
    /// Its tokens in this run.
    pub(super) count: usize,
    /// The first of them among the run's rows.
    pub(super) first_row: usize,
    /// First channel of the head in a row of the output.
    pub(super) column: usize,
}

/// What the tokens of a head are learned by.
pub(super) struct Targets<'a> {
    pub(super) v: HeadRows<'a>,
    lr: In<'a>,
    head: usize,
    first_row: usize,
}

impl Targets<'_> {
    pub(super) fn lr(&self, t: usize) -> f32 {
        self.lr.row(self.first_row + t)[self.head]
    }
}

/// Tokens of one mini-batch in a run.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    /// The first of them among the head's tokens, and their number.
    pub(super) t: usize,
    pub(super) n: usize,
    /// Rows of the mini-batch that came before them.
    pub(super) start: usize,
}

impl Batch {
    /// Rows of the mini-batch with these.
    pub(super) fn end(&self) -> usize {
        self.start + self.n
    }
}

/// Rows of one head in a wider value.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    data: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> HeadRows<'a> {
    fn new(input: In<'a>, first_row: usize, column: usize, width: usize) -> HeadRows<'a> {
        let o = input.operand;
        HeadRows { data: &input.f32s()[o.offset + first_row * o.stride + column..], stride: o.stride, width }
    }

    pub(super) fn row(&self, t: usize) -> &'a [f32] {
        &self.data[t * self.stride..][..self.width]
    }

    pub(super) fn rows(&self, t: usize, n: usize) -> View<'a> {
        View::new(&self.data[t * self.stride..], n, self.width, self.stride)
    }
}

impl Head<'_> {
    /// The run's tokens by mini-batches.
    pub(super) fn mini_batches(&self, mini_batch: usize) -> impl Iterator<Item = Batch> + use<> {
        let (begun, count) = (self.position % mini_batch, self.count);
        let first = move |which: usize| (which * mini_batch).saturating_sub(begun);
        (0..(begun + count).div_ceil(mini_batch)).map(move |which| {
            let t = first(which);
            Batch { t, n: first(which + 1).min(count) - t, start: if which == 0 { begun } else { 0 } }
        })
    }

    /// The width of the head.
    pub(super) fn head_dim(&self) -> usize {
        self.k.width
    }

    /// tok_i = max(1 / (i + 1) + idx_i, 0).
    pub(super) fn token_factor(&self, i: usize) -> f32 {
        (1.0 / (i + 1) as f32 + self.token_index[i]).max(0.0)
    }
}

/// Sets every row of `rows` to `row`.
pub(super) fn rows_out(rows: &mut [f32], row: &[f32]) {
    rows.chunks_mut(row.len()).for_each(|r| r.copy_from_slice(row));
}

/// (mean, 1 / sqrt(var + eps)).
fn statistics(z: &[f32]) -> (f32, f32) {
    let (mean, variance) = mean_and_variance(z);
    (mean, (variance + EPS).sqrt().recip())
}

/// z ← γ ∘ (z − mean) / s + β.
pub(super) fn inner_norm(head: &Head<'_>, z: &mut [f32]) {
    let (mean, scale) = statistics(z);
    normalise(z, mean, scale, head.gamma, head.beta);
}

/// g = rate · ∇_z ½‖LN(z) − (v − k)‖²; z becomes the normalised z.
pub(super) fn inner_gradient(head: &Head<'_>, z: &mut [f32], v: &[f32], k: &[f32], rate: f32, g: &mut [f32]) {
    let (mean, scale) = statistics(z);
    norm_gradient(z, (mean, scale, rate), (head.gamma, head.beta), (v, k), g);
}

/// ½‖LN(z) − (v − k)‖².
fn inner_loss(head: &Head<'_>, z: &[f32], v: &[f32], k: &[f32]) -> f32 {
    let (mean, scale) = statistics(z);
    let error = |i: usize| head.gamma[i] * (z[i] - mean) * scale + head.beta[i] - (v[i] - k[i]);
    0.5 * (0..z.len()).map(|i| error(i) * error(i)).sum::<f32>()
}

/// The probe of a layer `[tokens, 2 · heads]`: each token's inner loss with the fast weights as of the start of its mini-batch, all
/// heads, then with those that the run commits at its end, all heads; 0 where the run commits none.
pub(super) struct Probe<'a>(Columns<'a>);

impl Probe<'_> {
    /// For rows z = f(k; W), the tokens from `t` on; whether this run commits their mini-batch.
    pub(super) fn before(&self, head: &Head<'_>, targets: &Targets<'_>, t: usize, zs: &[f32], commits: bool) {
        self.write(head, targets, t, zs, head.head, commits);
        self.write(head, targets, t, zs, head.heads + head.head, false);
    }

    /// For the same tokens with the committed weights.
    pub(super) fn after(&self, head: &Head<'_>, targets: &Targets<'_>, t: usize, zs: &[f32]) {
        self.write(head, targets, t, zs, head.heads + head.head, true);
    }

    fn write(&self, head: &Head<'_>, targets: &Targets<'_>, t: usize, zs: &[f32], column: usize, known: bool) {
        for (t, z) in (t..).zip(zs.chunks(head.k.width)) {
            let loss = if known { inner_loss(head, z, targets.v.row(t), head.k.row(t)) } else { 0.0 };
            self.0.write(head.first_row + t, column, &[loss], false);
        }
    }
}

/// Fills the holes for q and k that are given.
pub(super) fn given(launch: Launch, qk: &Operand) -> Launch {
    launch.part("ttt_given").size("QK_STRIDE", qk.stride).size("QK_OFFSET", qk.offset)
}

/// Fills the holes for v and the learning rates that are given.
pub(super) fn given_targets(launch: Launch, v: &Operand, lr: &Operand) -> Launch {
    let launch = launch.part("ttt_targets").size("V_STRIDE", v.stride).size("V_OFFSET", v.offset);
    launch.size("LR_STRIDE", lr.stride).size("LR_OFFSET", lr.offset)
}

/// Calls `advance` for every head of the part that has tokens, side by side.
pub(super) fn over_heads(
    args: &mut Args<'_>,
    geometry: Geometry,
    front: Option<&Front>,
    advance: impl Fn(&Head<'_>, &Targets<'_>, &mut [f32], &mut [f32], &Columns<'_>, Option<&Probe<'_>>) + Sync,
) {
    let made = front.map(|front| front.operands(args, &geometry));
    let inputs = &made.as_ref().map_or_else(|| args.inputs.clone(), |made| made.inputs(&args.inputs));
    let (step, part) = (args.step, args.part);
    let [out, fast, open, probe @ ..] = &mut args.outputs[..] else { unreachable!("at least three outputs") };
    let (rows, width) = (step.head.rows as usize, out.width());
    let (fast_width, open_width) = (fast.width(), open.width());
    let out = Columns::new(out.rows(rows), width);
    // With a front, the fourth is the window.
    let probe = probe.first_mut().filter(|_| made.is_none()).map(|p| Probe(Columns::new(p.rows(rows), 2 * geometry.heads)));
    let states = fast.f32s().par_chunks_mut(fast_width).zip(open.f32s().par_chunks_mut(open_width));
    states.take(part.count as usize).enumerate().for_each(|(i, (fast, open))| {
        if let Some(head) = geometry.head(inputs[0], inputs[3], step, part.first as usize + i) {
            advance(&head, &geometry.targets(inputs[1], inputs[2], &head), fast, open, &out, probe.as_ref());
        }
    });
}

impl Geometry {
    /// The width of the model's rows.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of the small vectors, end to end: γ, β, idx.
    pub fn params_len(&self) -> usize {
        2 * self.width() + self.mini_batch
    }

    /// Position of the first state among the inputs.
    pub(super) fn first_state(front: Option<&Front>) -> usize {
        if front.is_some() { 3 } else { 4 }
    }

    /// Pairs (input, output) of the states.
    pub(super) fn updates(front: Option<&Front>) -> Vec<(usize, usize)> {
        let first = Self::first_state(front);
        let states = if front.is_some_and(|front| front.taps.is_some()) { 3 } else { 2 };
        (0..states).map(|i| (first + i, 1 + i)).collect()
    }

    /// Checks the attributes.
    pub(super) fn check(&self) -> Result<(), OpError> {
        if !self.head_dim.is_multiple_of(4) || !(4..=128).contains(&self.head_dim) {
            return attribute("head_dim", self.head_dim, "a multiple of 4 up to 128");
        }
        if !(1..=64).contains(&self.mini_batch) {
            return attribute("mini_batch", self.mini_batch, "1 to 64");
        }
        if self.heads == 0 {
            return attribute("heads", 0, "at least 1");
        }
        Ok(())
    }

    pub(super) fn infer(
        &self,
        inputs: &[&Desc],
        fast: usize,
        row: usize,
        probe: bool,
        front: Option<&Front>,
    ) -> Result<Vec<Desc>, OpError> {
        self.check()?;
        if probe && front.is_some() {
            return attribute("probe", 1, "none where the operands are made inside");
        }
        let first = Self::first_state(front);
        expect_inputs(inputs, if front.is_some_and(|front| front.taps.is_none()) { 5 } else { 6 })?;
        let qk = inputs[0];
        if qk.axis != Axis::Tokens {
            return Err(OpError::input(inputs, 0, "one row a token"));
        }
        if front.is_none() {
            expect_rows(inputs, 0, qk, 2 * self.width())?;
            expect_rows(inputs, 1, qk, self.width())?;
            expect_rows(inputs, 2, qk, self.heads)?;
            expect_weight(inputs, 3, self.params_len())?;
        }
        let (states, open) = (inputs[first].rows(), self.mini_batch * row);
        for (input, width) in [(first, fast), (first + 1, open)] {
            let d = inputs[input];
            let fits = d.dtype == DType::F32 && d.axis == Axis::Fixed && d.width() == width && d.rows() == states;
            if !fits || !states.is_multiple_of(self.heads) {
                return Err(OpError::input(inputs, input, format!("f32[sequences * {}, {width}]", self.heads)));
            }
        }
        let mut outputs = vec![qk.with_width(self.width()), inputs[first].clone(), inputs[first + 1].clone()];
        outputs.extend(probe.then(|| qk.with_width(2 * self.heads)));
        if let Some(front) = front {
            front.expect(self, inputs)?;
            outputs.extend(inputs.get(5).map(|window| (*window).clone()));
        }
        Ok(outputs)
    }

    /// The tokens of state row `index`, if its sequence has any in this run.
    pub(super) fn head<'a>(&self, qk: In<'a>, params: In<'a>, step: &Step, index: usize) -> Option<Head<'a>> {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let record = step.sequences.get(sequence).filter(|s| s.count > 0)?;
        let first_row = record.first_row as usize;
        let (hd, column) = (self.head_dim, head * self.head_dim);
        let (gamma, rest) = params.f32s().split_at(self.width());
        let (beta, token_index) = rest.split_at(self.width());
        Some(Head {
            q: HeadRows::new(qk, first_row, column, hd),
            k: HeadRows::new(qk, first_row, self.width() + column, hd),
            gamma: &gamma[column..][..hd],
            beta: &beta[column..][..hd],
            token_index,
            heads: self.heads,
            head,
            position: record.position as usize,
            count: record.count as usize,
            first_row,
            column,
        })
    }

    /// What a head's tokens are learned by.
    pub(super) fn targets<'a>(&self, v: In<'a>, lr: In<'a>, head: &Head<'_>) -> Targets<'a> {
        let &Head { first_row, column, head, .. } = head;
        Targets { v: HeadRows::new(v, first_row, column, self.head_dim), lr, head, first_row }
    }

    /// What every kernel of these heads is made with.
    pub(super) fn sized(&self, launch: Launch, chunk: usize) -> Launch {
        let launch = launch.part("ttt_head").constant("CHUNK", chunk).constant("HD", self.head_dim);
        launch.size("HEADS", self.heads).size("MINI_BATCH", self.mini_batch)
    }

    /// One workgroup a head and sequence.
    /// `chunk` rows are worked on at a time. A probe evaluates the inner model, which is the part `probe`.
    pub(super) fn launch(
        &self,
        file: &'static str,
        io: &Io,
        chunk: usize,
        probe: Option<&'static str>,
        front: Option<&Front>,
    ) -> Launch {
        let launch = self.sized(Launch::new(file, Grid(vec![Extent::new(Live::Part, 1)])), chunk);
        let launch = launch.part("ttt_gradient").part("ttt_output");
        let launch = match front {
            Some(front) => front.launch(launch, self, &io.inputs[0]),
            None => {
                let launch = launch.bind(&["qk", "v", "lr", "params", "out", "fast", "open"]);
                given_targets(given(launch, &io.inputs[0]), &io.inputs[1], &io.inputs[2])
            }
        };
        match probe {
            Some(model) => launch.bind(&["probe"]).part("probe_store").part(model),
            None => launch.part("probe_none"),
        }
    }

    /// Whether a run with room for so many tokens of so many sequences goes row by row.
    pub(crate) fn few(&self, tokens: usize, sequences: usize) -> bool {
        tokens / sequences < 4 || self.mini_batch < 4
    }

    /// Row by row where a run has few tokens a sequence, else by mini-batches.
    pub(super) fn prefer_rows(&self, io: &Io, dual: Launch, rows: Launch) -> Vec<Launch> {
        let sequences = io.outputs[1].desc.rows() / self.heads;
        if self.few(io.inputs[0].desc.rows(), sequences) { vec![rows, dual] } else { vec![dual, rows] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_slope_of_the_inner_loss() {
        const N: usize = 8;
        let numbers =
            |seed, base| -> Vec<f32> { (0..N).map(|i| Fill::Uniform { seed, base, amplitude: 0.8 }.value(i)).collect() };
        let (z, v, k, gamma, beta) = (numbers(1, 0.0), numbers(2, 0.0), numbers(3, 0.0), numbers(4, 1.0), numbers(5, 0.0));
        let loss = |z: &[f64]| -> f64 {
            let mean = z.iter().sum::<f64>() / N as f64;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / N as f64;
            let scale = (variance + 1e-6).sqrt().recip();
            let error = |i: usize| f64::from(gamma[i]) * (z[i] - mean) * scale + f64::from(beta[i]) - f64::from(v[i] - k[i]);
            (0..N).map(|i| 0.5 * error(i).powi(2)).sum()
        };
        let empty = Operand::whole(Desc::tokens(1, 1));
        let input = In { operand: &empty, words: &[0] };
        let rows = HeadRows::new(input, 0, 0, 1);
        let head = Head {
            q: rows,
            k: rows,
            gamma: &gamma,
            beta: &beta,
            token_index: &[],
            heads: 1,
            head: 0,
            position: 0,
            count: 0,
            first_row: 0,
            column: 0,
        };
        let mut g = vec![0.0; N];
        inner_gradient(&head, &mut z.clone(), &v, &k, 1.0, &mut g);
        for i in 0..N {
            let mut moved: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
            moved[i] += 1e-5;
            let up = loss(&moved);
            moved[i] -= 2e-5;
            let slope = (up - loss(&moved)) / 2e-5;
            assert!((slope - f64::from(g[i])).abs() < 1e-5, "element {i}: slope {slope}, gradient {}", g[i]);
        }
    }

    /// The tanh form of GELU in f64.
    fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
    }

    /// x W + b, with W and then b at the front of `fast`; and what comes behind them.
    fn affine<'a>(x: &[f64], fast: &'a [f32], width: usize) -> (Vec<f64>, &'a [f32]) {
        let (w, rest) = fast.split_at(x.len() * width);
        let (b, rest) = rest.split_at(width);
        let sum = |c: usize| (0..x.len()).map(|i| x[i] * f64::from(w[i * width + c])).sum::<f64>();
        ((0..width).map(|c| sum(c) + f64::from(b[c])).collect(), rest)
    }

    #[test]
    fn probe_is_the_inner_loss_before_and_after_the_commit() {
        use super::super::{ttt_linear::TttLinear, ttt_mlp::TttMlp};
        let geometry = Geometry { heads: 2, head_dim: 8, mini_batch: 4 };
        let (hd, width) = (geometry.head_dim, geometry.width());
        type Model = fn(&[f64], &[f32]) -> Vec<f64>;
        let linear: Model = |k, fast| affine(k, fast, k.len()).0;
        let mlp: Model = |k, fast| {
            let (z1, rest) = affine(k, fast, 4 * k.len());
            affine(&z1.into_iter().map(gelu).collect::<Vec<_>>(), rest, k.len()).0
        };
        let sizes = |op: Op, fast: fn(&Geometry) -> usize, row: fn(&Geometry) -> usize| (op, fast(&geometry), row(&geometry));
        let linear =
            (sizes(TttLinear { geometry, probe: true, front: None }.into(), TttLinear::fast_len, TttLinear::row_len), linear);
        let mlp = (sizes(TttMlp { geometry, probe: true, front: None }.into(), TttMlp::fast_len, TttMlp::row_len), mlp);
        // Position, tokens, and how many of these the run commits: whole mini-batches and parts, with and without a rest behind.
        for (position, count, committed) in [(0, 4, 4), (2, 2, 2), (1, 5, 3), (7, 1, 1), (0, 3, 0)] {
            for ((op, fast_len, row_len), model) in [&linear, &mlp] {
                let made = |desc: Desc, seed, base, amplitude| {
                    let words = Fill::Uniform { seed, base, amplitude }.words(&desc);
                    (Operand::whole(desc), words)
                };
                let tokens = |width| Desc::tokens(count, width);
                let states = |width| Desc::fixed(DType::F32, &[geometry.heads, width]);
                let inputs = [
                    made(tokens(2 * width), 1, 0.0, 1.0),
                    made(tokens(width), 2, 0.0, 1.0),
                    made(tokens(geometry.heads), 3, 0.2, 0.1),
                    made(Desc::fixed(DType::F32, &[geometry.params_len()]), 4, 0.5, 0.5),
                ];
                let mut outputs = [
                    made(tokens(width), 0, 0.0, 9.0),
                    made(states(*fast_len), 5, 0.0, 0.5),
                    made(states(geometry.mini_batch * row_len), 6, 0.0, 0.3),
                    made(tokens(2 * geometry.heads), 0, 0.0, 9.0),
                ];
                let start = outputs[1].1.clone();
                let step = Step::new(vec![Sequence::new(position, count as u32)]);
                op.kernel().reference(&mut Args {
                    step: &step,
                    part: crate::step::Part { first: 0, count: geometry.heads as u32 },
                    inputs: inputs.iter().map(|(operand, words)| In { operand, words }).collect(),
                    outputs: outputs.iter_mut().map(|(operand, words)| Out { operand, words }).collect(),
                });
                let [qk, v, _, params] = inputs.each_ref().map(|(_, words)| bytemuck::cast_slice::<u32, f32>(words));
                let [_, fast, _, probe] = outputs.each_ref().map(|(_, words)| bytemuck::cast_slice::<u32, f32>(words));
                for (t, head) in (0..count).flat_map(|t| (0..geometry.heads).map(move |head| (t, head))) {
                    let f64s = |of: &[f32]| -> Vec<f64> { of[head * hd..][..hd].iter().map(|x| f64::from(*x)).collect() };
                    let (k, v) = (f64s(&qk[(2 * t + 1) * width..]), f64s(&v[t * width..]));
                    let (gamma, beta) = (f64s(params), f64s(&params[width..]));
                    let loss = |fast: &[f32]| {
                        let z = model(&k, &fast[head * fast_len..][..*fast_len]);
                        let mean = z.iter().sum::<f64>() / hd as f64;
                        let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / hd as f64;
                        let normed = |i: usize| gamma[i] * (z[i] - mean) / (variance + 1e-6).sqrt() + beta[i];
                        (0..hd).map(|i| 0.5 * (normed(i) - (v[i] - k[i])).powi(2)).sum::<f64>()
                    };
                    let known = t < committed;
                    let wanted = if known { [loss(bytemuck::cast_slice(&start)), loss(fast)] } else { [0.0; 2] };
                    let row = &probe[t * 2 * geometry.heads..];
                    for (found, wanted) in [row[head], row[geometry.heads + head]].into_iter().zip(wanted) {
                        let error = (f64::from(found) - wanted).abs();
                        assert!(error <= 1e-5 * wanted, "{op:?}, {count} from {position}, token {t}: {found}, wanted {wanted}");
                    }
                    assert!(!known || wanted[0] != wanted[1], "the commit changes the loss");
                }
            }
        }
    }
}
