//! The TTT-MLP layer: each head's hidden state is a two-layer model that takes a gradient step on every token.

use super::matmul::Columns;
use super::ttt::{Batch, Front, Geometry, Head, Passes, Probe, Targets, Tile, inner_gradient, inner_norm, rows_out};
use super::*;
use crate::vector::{View, axpy, gelus, product, times_gelu_slope};

/// Per head, with the fast weights W1 `[hd, 4hd]`, b1, W2 `[4hd, hd]`, b2 as of the start of the current mini-batch:
///
///   z1 = k W1 + b1,  x2 = gelu(z1),  z2 = x2 W2 + b2
///   h2 = lr · ∇_z2 ½‖LN(z2) − (v − k)‖²,  h1 = (h2 W2ᵀ) ∘ gelu'(z1)
///   x̄2 = gelu(q W1 + b1 − tok_i Σ_{j ≤ i} (1 + q·k_j) h1_j)
///   out = q + LN(x̄2 W2 + b2 − tok_i Σ_{j ≤ i} (1 + x̄2·x2_j) h2_j)
///
/// and the last token of a mini-batch commits both layers as [`super::ttt_linear::TttLinear`] does its one.
///
/// Inputs and outputs as there (a probe is of this layer's z2), with fast `[sequences · heads, 8hd² + 5hd]` (W1, b1, W2, b2) and open
/// `[sequences · heads, mini_batch · 10hd]` (rows k, h1, x2, h2).
#[derive(Debug, Clone, PartialEq)]
pub struct TttMlp {
    /// Heads, their width and the mini-batch.
    pub geometry: Geometry,
    /// Whether there is one more output: the probe.
    pub probe: bool,
    /// What makes the operands inside, if they are not given.
    pub front: Option<Front>,
}

impl TttMlp {
    /// Elements of a head's fast weights.
    pub fn fast_len(g: &Geometry) -> usize {
        (8 * g.head_dim + 5) * g.head_dim
    }

    /// Elements of one open row.
    pub fn row_len(g: &Geometry) -> usize {
        10 * g.head_dim
    }

    /// Of the two halves of the fast weights a mini-batch reads W1 for k and for q, W2 for z2, h1 and the output; a row each of them once, but W2 twice
    /// where that is too large to stay in registers.
    pub fn passes(g: &Geometry, by_rows: bool) -> Passes {
        Passes::Streamed(match by_rows {
            true if g.head_dim <= 64 => 1.0,
            true => 0.5 * (1.0 + 2.0),
            false => 0.5 * (2.0 + 3.0),
        })
    }

    /// One head over the tokens of one sequence.
    fn advance(
        &self,
        head: &Head<'_>,
        targets: &Targets<'_>,
        fast: &mut [f32],
        open: &mut [f32],
        out: &Columns<'_>,
        probe: Option<&Probe<'_>>,
    ) {
        let Geometry { head_dim: hd, mini_batch, .. } = self.geometry;
        let (wide, row) = (4 * hd, Self::row_len(&self.geometry));
        let (w1, rest) = fast.split_at_mut(hd * wide);
        let (b1, rest) = rest.split_at_mut(wide);
        let (w2, b2) = rest.split_at_mut(wide * hd);
        let (mut hidden, mut steps) = (vec![0.0; mini_batch * wide], vec![0.0; mini_batch * wide]);
        let (mut zs, mut scores) = (vec![0.0; mini_batch * hd], vec![0.0; mini_batch * mini_batch]);
        for batch in head.mini_batches(mini_batch) {
            let (Batch { t, n, start }, end) = (batch, batch.end());
            let (first, second) = (View::new(w1, hd, wide, wide), View::new(w2, wide, hd, hd));
            let (hidden, zs) = (&mut hidden[..n * wide], &mut zs[..n * hd]);

            rows_out(hidden, b1);
            product(1.0, head.k.rows(t, n), first, hidden, wide);
            for (i, z1) in hidden.chunks(wide).enumerate() {
                let (k, rest) = open[(start + i) * row..][..row].split_at_mut(hd);
                k.copy_from_slice(head.k.row(t + i));
                let x2 = &mut rest[wide..2 * wide];
                x2.copy_from_slice(z1);
                gelus(x2);
            }
            rows_out(zs, b2);
            product(1.0, View::new(&open[start * row + hd + wide..], n, wide, row), second, zs, hd);
            if let Some(probe) = probe {
                probe.before(head, targets, t, zs, end == mini_batch);
            }
            for (i, z2) in zs.chunks_mut(hd).enumerate() {
                let h2 = &mut open[(start + i) * row + hd + 2 * wide..][..hd];
                inner_gradient(head, z2, targets.v.row(t + i), head.k.row(t + i), targets.lr(t + i), h2);
            }
            let steps = &mut steps[..n * wide];
            steps.fill(0.0);
            product(1.0, View::new(&open[start * row + hd + 2 * wide..], n, hd, row), second.t(), steps, wide);
            for (i, (h1, z1)) in steps.chunks_mut(wide).zip(hidden.chunks(wide)).enumerate() {
                times_gelu_slope(h1, z1);
                open[(start + i) * row + hd..][..wide].copy_from_slice(h1);
            }

            // q and then x̄2 against the rows that each token has seen: scores (1 + a·b_j) tok_i, zero for what is to come.
            let mut seen = |a: View<'_>, b: View<'_>, steps: View<'_>, z: &mut [f32], width: usize| {
                let scores = &mut scores[..n * end];
                scores.fill(0.0);
                product(1.0, a, b.t(), scores, end);
                for (i, scores) in scores.chunks_mut(end).enumerate() {
                    let (seen, unseen) = scores.split_at_mut(start + i + 1);
                    seen.iter_mut().for_each(|s| *s = (1.0 + *s) * head.token_factor(start + i));
                    unseen.fill(0.0);
                }
                product(-1.0, View::new(scores, n, end, end), steps, z, width);
            };
            let part = |offset: usize, width: usize| View::new(&open[offset..], end, width, row);
            let (k, h1, x2, h2) = (part(0, hd), part(hd, wide), part(hd + wide, wide), part(hd + 2 * wide, hd));
            rows_out(hidden, b1);
            product(1.0, head.q.rows(t, n), first, hidden, wide);
            seen(head.q.rows(t, n), k, h1, hidden, wide);
            gelus(hidden);
            rows_out(zs, b2);
            product(1.0, View::new(hidden, n, wide, wide), second, zs, hd);
            seen(View::new(hidden, n, wide, wide), x2, h2, zs, hd);
            for (i, z) in zs.chunks_mut(hd).enumerate() {
                inner_norm(head, z);
                axpy(1.0, head.q.row(t + i), z);
                out.write(head.first_row + t + i, head.column, z, false);
            }

            if end == mini_batch {
                let factor = -head.token_factor(mini_batch - 1);
                product(factor, k.t(), h1, w1, wide);
                product(factor, x2.t(), h2, w2, hd);
                for row in open.chunks(row) {
                    axpy(factor, &row[hd..hd + wide], b1);
                    axpy(factor, &row[hd + 2 * wide..], b2);
                }
                if let Some(probe) = probe {
                    rows_out(hidden, b1);
                    product(1.0, head.k.rows(t, n), View::new(w1, hd, wide, wide), hidden, wide);
                    gelus(hidden);
                    rows_out(zs, b2);
                    product(1.0, View::new(hidden, n, wide, wide), View::new(w2, wide, hd, hd), zs, hd);
                    probe.after(head, targets, t, zs);
                }
            }
        }
    }
}

impl Kernel for TttMlp {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        self.geometry.infer(inputs, Self::fast_len(&self.geometry), Self::row_len(&self.geometry), self.probe, self.front.as_ref())
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        Geometry::updates(self.front.as_ref())
    }

    fn divisible(&self) -> Vec<usize> {
        let first = Geometry::first_state(self.front.as_ref());
        vec![first, first + 1]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0 || (self.front.is_none() && input <= 2)
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let Geometry { head_dim: hd, mini_batch: b, .. } = self.geometry;
        let (wide, fours) = (4 * hd, hd / 4);
        // Rows of q, of k or scores, of what is hidden, and of z.
        let Tile { chunk, pad } = Tile::new(caps, |pad| (fours + pad + (fours + pad).max(16 + pad) + hd + pad + fours) * 16);
        let commit = 2 * looped((fours * hd).div_ceil(256), looped(b, 0)) + 2 * looped(b, 0);
        // Blocks of hidden rows, groups of four of narrow ones, and blocks of scores that an invocation has.
        let (hidden, narrow) = ((chunk / 4 * hd).div_ceil(256), (chunk * fours).div_ceil(256));
        let scores = |inner: usize| looped((chunk * b.div_ceil(4)).div_ceil(64), looped(inner.div_ceil(4), 0) + looped(4, 0));
        let second_layer = looped(hd.div_ceil(4), 0) + looped(narrow, looped(4, 0));
        let of_open = looped(b.div_ceil(4), 0);
        let a_chunk = 2 * looped(narrow, 0)
            + 2 * looped(hidden, looped(fours, 0))
            + looped(hidden, of_open + looped(fours, 0))
            + 2 * second_layer
            + of_open
            + scores(fours)
            + scores(hd);
        let columns = wide.div_ceil(256);
        let scores_of_row = |width: usize| looped(b.div_ceil(16), looped(width.div_ceil(16), 0) + looped(4, 0));
        let a_row = scores_of_row(hd)
            + looped(columns, looped(hd, 0) + looped(b, 0))
            + looped(wide.div_ceil(64), 0)
            + looped(wide.div_ceil(64), looped(16, 0))
            + 4 * looped(16, 0)
            + scores_of_row(wide)
            + looped(b, 0);
        let launch = |file, chunk, a_chunk| {
            let of_model = |items: usize| looped(items.div_ceil(256), looped(hd, 0));
            let a_model = of_model(chunk * hd) + of_model(chunk * fours);
            let launch = self.geometry.launch(file, io, chunk, self.probe.then_some("ttt_mlp_model"), self.front.as_ref());
            let launch = launch.part("ttt_mlp_commit").part("gelu").part("gelu_slope");
            launch.rounds(self.geometry.rounds(io, chunk, a_chunk, commit, self.probe.then_some(a_model)))
        };
        // Two sums over the filters' rows.
        let filters = self.front.as_ref().and_then(|front| front.taps).map_or(0, |taps| 2 * taps);
        let rows = launch("ttt_mlp_rows", 1, a_row + filters).part("state_scalar");
        if self.front.is_some() {
            return vec![rows];
        }
        let dual = launch("ttt_mlp", chunk, a_chunk).part("state_fours").part("block_product").constant("PAD", pad);
        self.geometry.prefer_rows(io, dual, rows)
    }

    fn reference(&self, args: &mut Args<'_>) {
        super::ttt::over_heads(args, self.geometry, self.front.as_ref(), |head, targets, fast, open, out, probe| {
            self.advance(head, targets, fast, open, out, probe)
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let hd = self.geometry.head_dim as f64;
        // k W1, x2 W2, h2 W2ᵀ, q W1, x̄2 W2 and two rank-b updates; the sums over rows for half of the mini-batch.
        let operations = 56.0 * hd * hd + 10.0 * hd * self.geometry.mini_batch as f64;
        self.geometry.cost(io, operations, |by_rows| Self::passes(&self.geometry, by_rows), self.probe.then_some(16.0 * hd * hd), self.front.as_ref())
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    super::ttt::cases(|geometry, probe, front| (TttMlp { geometry, probe, front }.into(), TttMlp::fast_len(&geometry), TttMlp::row_len(&geometry)))
}
