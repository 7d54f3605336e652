//! The TTT-Linear layer: each head's hidden state is a linear model that takes a gradient step on every token.

use super::matmul::Columns;
use super::ttt::{Batch, Front, Geometry, Head, Passes, Probe, Targets, Tile, inner_gradient, inner_norm, rows_out};
use super::*;
use crate::vector::{View, axpy, product};

/// Per head, with the fast weights W `[hd, hd]` and b `[hd]` as of the start of the current mini-batch:
///
///   z = k W + b,  h = lr · ∇_z ½‖LN(z) − (v − k)‖²
///   out = q + LN(q W + b − tok_i Σ_{j ≤ i} (1 + q·k_j) h_j),  tok_i = max(1/(i+1) + idx_i, 0)
///
/// over the rows (k_j, h_j) of the mini-batch; its last token also commits W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j.
/// (arXiv 2407.04620, dual form; the rows of an open mini-batch are state, so that any split of the tokens is the same.)
///
/// Inputs: qk `[tokens, 2 · heads · hd]` (all q, then all k), v `[tokens, heads · hd]`, lr `[tokens, heads]`,
/// params (γ, β `[heads, hd]` each, idx `[mini_batch]`, end to end), fast `[sequences · heads, (hd + 1) · hd]` (W, then b; updated),
/// open `[sequences · heads, mini_batch · 2 · hd]` (rows k, h; updated). Outputs: out `[tokens, heads · hd]`, fast, open, and, if asked
/// for, the probe `[tokens, 2 · heads]`: the inner loss ½‖LN(k W + b) − (v − k)‖² of each token, for all heads with the fast weights as of
/// the start of its mini-batch, then for all heads with those that the end of it committed. Tokens whose mini-batch the run does not
/// commit have 0.
#[derive(Debug, Clone, PartialEq)]
pub struct TttLinear {
    /// Heads, their width and the mini-batch.
    pub geometry: Geometry,
    /// Whether there is one more output: the probe.
    pub probe: bool,
    /// What makes the operands inside, if they are not given.
    pub front: Option<Front>,
}

impl TttLinear {
    /// Elements of a head's fast weights.
    pub fn fast_len(g: &Geometry) -> usize {
        (g.head_dim + 1) * g.head_dim
    }

    /// Elements of one open row.
    pub fn row_len(g: &Geometry) -> usize {
        2 * g.head_dim
    }

    /// Mini-batches have the fast weights in registers, rows read them for k and q together.
    pub fn passes(by_rows: bool) -> Passes {
        if by_rows { Passes::Streamed(1.0) } else { Passes::Held }
    }

    /// Rounds of loops for a row where the form goes row by row, and for a commit.
    fn row_rounds(&self) -> (usize, usize) {
        let Geometry { head_dim: hd, mini_batch: b, .. } = self.geometry;
        // Two sums over the filters' rows.
        let filters = self.front.as_ref().and_then(|front| front.taps).map_or(0, |taps| 2 * taps);
        let lanes = 256 / hd;
        let scores = looped(b.div_ceil(16), looped(hd.div_ceil(16), 0) + looped(4, 0));
        let a_row = looped(hd.div_ceil(lanes), 0) + looped(lanes, 0) + scores + looped(b, 0);
        (a_row + filters, looped(hd.div_ceil(4 * lanes), looped(b, 0) + looped(4, 0)) + looped(b, 0))
    }

    /// The rows that the dual form works on at a time, and the open ones that there is room for.
    pub(super) fn tile(geometry: &Geometry, caps: &Caps) -> (Tile, usize) {
        let open = geometry.mini_batch.next_multiple_of(16);
        // Rows of q and k in sixteens, of z, and scores.
        let row = (2 * 16 * Self::shares(geometry.head_dim).1 + geometry.head_dim + open) * 4;
        (Tile::new(caps, |_| row), open)
    }

    /// Invocations that share a column of W in the dual form, and sixteens of elements in a row that they do.
    fn shares(head_dim: usize) -> (usize, usize) {
        let sixteens = head_dim.div_ceil(16);
        let shares = (256 / head_dim).min(sixteens).min(4);
        (shares, sixteens.next_multiple_of(shares))
    }

    /// Rounds of loops for so many rows of a mini-batch, and for a commit.
    pub(super) fn chunk_rounds(geometry: &Geometry, chunk: usize) -> (usize, usize) {
        let &Geometry { head_dim: hd, mini_batch: b, .. } = geometry;
        let (shares, row) = Self::shares(hd);
        let of_tile = looped((chunk * 4 * row).div_ceil(256), 0);
        let products = looped(chunk / 4, 0) + looped(shares, looped(chunk / 4, 0));
        let a_chunk = of_tile
            + looped((chunk * b).div_ceil(256), looped(hd / 4, 0))
            + looped(2, products)
            + looped((chunk * hd).div_ceil(256), 0)
            + looped(b.div_ceil(shares), 0);
        (a_chunk, looped(b.div_ceil(chunk) + 1, of_tile + looped(chunk, 0)))
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
        let (mut zs, mut scores) = (vec![0.0; mini_batch * hd], vec![0.0; mini_batch * mini_batch]);
        for batch in head.mini_batches(mini_batch) {
            let zs = &mut zs[..batch.n * hd];
            keys_through(head, batch, fast, zs);
            if let Some(probe) = probe {
                probe.before(head, targets, batch.t, zs, batch.end() == mini_batch);
            }
            learn(head, targets, batch, zs, open);
            see(head, batch, fast, open, zs, &mut scores, out);
            if batch.end() == mini_batch {
                commit(head, fast, open, mini_batch);
                if let Some(probe) = probe {
                    keys_through(head, batch, fast, zs);
                    probe.after(head, targets, batch.t, zs);
                }
            }
        }
    }
}

/// zs ← k W + b for the rows of a mini-batch.
pub(super) fn keys_through(head: &Head<'_>, Batch { t, n, .. }: Batch, fast: &[f32], zs: &mut [f32]) {
    through(head.k.rows(t, n), head.head_dim(), fast, zs);
}

/// zs ← x W + b, for rows of a head.
fn through(x: View<'_>, hd: usize, fast: &[f32], zs: &mut [f32]) {
    let (w, b) = fast.split_at(hd * hd);
    rows_out(zs, b);
    product(1.0, x, View::new(w, hd, hd, hd), zs, hd);
}

/// Puts k and h of the rows among the open ones, from z = k W + b, which is used up.
pub(super) fn learn(head: &Head<'_>, targets: &Targets<'_>, Batch { t, start, .. }: Batch, zs: &mut [f32], open: &mut [f32]) {
    let hd = head.head_dim();
    for (i, z) in zs.chunks_mut(hd).enumerate() {
        let (k, h) = open[(start + i) * 2 * hd..][..2 * hd].split_at_mut(hd);
        k.copy_from_slice(head.k.row(t + i));
        inner_gradient(head, z, targets.v.row(t + i), k, targets.lr(t + i), h);
    }
}

/// The keys and steps of the first `end` open rows.
fn open_rows(open: &[f32], end: usize, hd: usize) -> (View<'_>, View<'_>) {
    (View::new(open, end, hd, 2 * hd), View::new(&open[hd..], end, hd, 2 * hd))
}

/// Writes the outputs of the rows, with W and b as of the start of their mini-batch and its open rows. `zs` has room for the rows, `scores` for all pairs.
pub(super) fn see(
    head: &Head<'_>,
    batch: Batch,
    fast: &[f32],
    open: &[f32],
    zs: &mut [f32],
    scores: &mut [f32],
    out: &Columns<'_>,
) {
    let (Batch { t, n, start }, end, hd) = (batch, batch.end(), head.head_dim());
    through(head.q.rows(t, n), hd, fast, zs);
    let scores = &mut scores[..n * end];
    scores.fill(0.0);
    let (keys, steps) = open_rows(open, end, hd);
    product(1.0, head.q.rows(t, n), keys.t(), scores, end);
    for (i, scores) in scores.chunks_mut(end).enumerate() {
        let (seen, unseen) = scores.split_at_mut(start + i + 1);
        seen.iter_mut().for_each(|s| *s = (1.0 + *s) * head.token_factor(start + i));
        unseen.fill(0.0);
    }
    product(-1.0, View::new(scores, n, end, end), steps, zs, hd);
    for (i, z) in zs.chunks_mut(hd).enumerate() {
        inner_norm(head, z);
        axpy(1.0, head.q.row(t + i), z);
        out.write(head.first_row + t + i, head.column, z, false);
    }
}

/// The end of a mini-batch: W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j.
pub(super) fn commit(head: &Head<'_>, fast: &mut [f32], open: &[f32], mini_batch: usize) {
    let (hd, factor) = (head.head_dim(), -head.token_factor(mini_batch - 1));
    let (w, b) = fast.split_at_mut(hd * hd);
    let (keys, steps) = open_rows(open, mini_batch, hd);
    product(factor, keys.t(), steps, w, hd);
    for row in open.chunks(2 * hd) {
        axpy(factor, &row[hd..], b);
    }
}

impl Kernel for TttLinear {
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
        let hd = self.geometry.head_dim;
        let launch = |file, chunk: usize, a_chunk, commit| {
            let a_model = self.probe.then_some(looped((chunk * hd).div_ceil(256), looped(hd, 0)));
            let launch = self.geometry.launch(file, io, chunk, self.probe.then_some("ttt_linear_model"), self.front.as_ref());
            launch.part("state_scalar").rounds(self.geometry.rounds(io, chunk, a_chunk, commit, a_model))
        };
        let (a_row, commit) = self.row_rounds();
        let rows = launch("ttt_linear_rows", 1, a_row, commit).part("ttt_linear_commit");
        if self.front.is_some() {
            return vec![rows];
        }
        let (tile, open) = Self::tile(&self.geometry, caps);
        let (a_chunk, commit) = Self::chunk_rounds(&self.geometry, tile.chunk);
        let dual = launch("ttt_linear", tile.chunk, a_chunk, commit);
        let dual = dual.part("ttt_linear_held").part("ttt_linear_step").part("ttt_linear_scores").constant("OPEN", open);
        self.geometry.prefer_rows(io, dual, rows)
    }

    fn reference(&self, args: &mut Args<'_>) {
        super::ttt::over_heads(args, self.geometry, self.front.as_ref(), |head, targets, fast, open, out, probe| {
            self.advance(head, targets, fast, open, out, probe)
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let hd = self.geometry.head_dim as f64;
        // k W, q W, the rank-b update; q·k and the sum over rows for half of the mini-batch.
        let operations = 6.0 * hd * hd + 2.0 * hd * self.geometry.mini_batch as f64;
        self.geometry.cost(io, operations, Self::passes, self.probe.then_some(2.0 * hd * hd), self.front.as_ref())
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    super::ttt::cases(|geometry, probe, front| (TttLinear { geometry, probe, front }.into(), TttLinear::fast_len(&geometry), TttLinear::row_len(&geometry)))
}
