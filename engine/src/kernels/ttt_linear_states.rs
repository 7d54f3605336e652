//! The state pass of TTT-Linear: what each token teaches. It walks the mini-batches one after the other; the outputs, which need only what it leaves,
//! are another pass, of all mini-batches side by side ([`super::ttt_linear_outputs`]). Where heads are few that can be faster than [`TttLinear`].

use rayon::prelude::*;

use super::matmul::Columns;
use super::ttt::{GIVEN, Geometry, Head, given, given_case, given_targets};
use super::ttt_linear::{TttLinear, commit, keys_through, learn};
use super::*;

/// Per head, with the fast weights W `[hd, hd]` and b `[hd]` as of the start of each mini-batch:
///
///   z = k W + b,  h = lr · ∇_z ½‖LN(z) − (v − k)‖²
///
/// and at its end W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j, as in [`TttLinear`].
///
/// Inputs: those of [`TttLinear`] with its operands given. Outputs: h `[tokens, heads · hd]`, models `[slots · heads, (hd + 1) · hd]` (W, b as of
/// the start of each mini-batch of the run; see [`Slots`]), fast, and open as it is: what lies in one buffer with the fast weights is bound to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct TttLinearStates {
    /// Heads, their width and the mini-batch.
    pub geometry: Geometry,
}

/// Where the two passes have the mini-batches of a run: each sequence from a slot of its own on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Tokens of a mini-batch.
    pub mini_batch: usize,
}

impl Slots {
    /// The most that a run of so many tokens has: a sequence of n tokens has at most n / mini_batch + 2 mini-batches.
    pub fn most(&self, tokens: usize, sequences: usize) -> usize {
        tokens / self.mini_batch + 2 * sequences
    }

    /// The first of a sequence whose tokens begin at a row of the run.
    pub fn first(&self, sequence: usize, first_row: usize) -> usize {
        first_row / self.mini_batch + 2 * sequence
    }
}

/// The models of a run of so many tokens and sequences.
pub(super) fn models(geometry: &Geometry, tokens: usize, sequences: usize) -> Desc {
    let slots = Slots { mini_batch: geometry.mini_batch }.most(tokens, sequences);
    Desc::fixed(DType::F32, &[slots * geometry.heads, TttLinear::fast_len(geometry)])
}

/// The row of the model of a head's first mini-batch.
pub(super) fn first_model(geometry: &Geometry, head: &Head<'_>, index: usize) -> usize {
    let slots = Slots { mini_batch: geometry.mini_batch };
    slots.first(index / geometry.heads, head.first_row) * geometry.heads + index % geometry.heads
}

impl Kernel for TttLinearStates {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        let whole = TttLinear { geometry: self.geometry, probe: false, front: None };
        let [out, fast, open] = whole.infer(inputs)?.try_into().expect("a layer without a probe has three outputs");
        let models = models(&self.geometry, out.rows(), fast.rows() / self.geometry.heads);
        Ok(vec![out, models, fast, open])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(4, 2), (5, 3)]
    }

    fn strided(&self, input: usize) -> bool {
        input <= 2
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let (tile, _) = TttLinear::tile(&self.geometry, caps);
        let states = io.outputs[2].desc.rows();
        let launch = self.geometry.sized(Launch::new("ttt_linear_states", Grid(vec![Extent::fixed(states, 1)])), tile.chunk);
        let launch = launch.bind(&["qk", "v", "lr", "params", "steps", "models", "fast", "open"]);
        let launch = given_targets(given(launch, &io.inputs[0]), &io.inputs[1], &io.inputs[2]).part("ttt_gradient");
        let launch = launch.part("ttt_linear_held").part("ttt_linear_step").part("ttt_linear_trail");
        let (a_chunk, commit) = TttLinear::chunk_rounds(&self.geometry, tile.chunk);
        vec![launch.rounds(self.geometry.rounds(io, tile.chunk, a_chunk, commit, None))]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let Geometry { head_dim: hd, mini_batch, heads } = self.geometry;
        let (step, inputs) = (args.step, &args.inputs);
        let [steps, models, fast, open] = &mut args.outputs[..] else { unreachable!("four outputs") };
        let (width, len, live) = (steps.width(), fast.width(), step.head.rows as usize);
        let steps = Columns::new(steps.rows(live), width);
        let models = Columns::new(models.f32s(), len);
        let (row, open) = (open.width(), &*open.f32s());
        fast.f32s().par_chunks_mut(len).enumerate().for_each(|(i, fast)| {
            let Some(head) = self.geometry.head(inputs[0], inputs[3], step, i) else { return };
            let targets = self.geometry.targets(inputs[1], inputs[2], &head);
            let first_model = first_model(&self.geometry, &head, i);
            let mut open = open[i * row..][..row].to_vec();
            let mut zs = vec![0.0; mini_batch * hd];
            for (which, batch) in head.mini_batches(mini_batch).enumerate() {
                models.write(first_model + which * heads, 0, fast, false);
                let zs = &mut zs[..batch.n * hd];
                keys_through(&head, batch, fast, zs);
                learn(&head, &targets, batch, zs, &mut open);
                for (j, row) in open.chunks(2 * hd).enumerate().take(batch.end()).skip(batch.start) {
                    steps.write(head.first_row + batch.t + j - batch.start, head.column, &row[hd..], false);
                }
                if batch.end() == mini_batch {
                    commit(&head, fast, &open, mini_batch);
                }
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let hd = self.geometry.head_dim as f64;
        let qk = &io.inputs[0].desc;
        // k W and the rank-b update.
        let cost = Cost::streaming(io, (qk.rows() * self.geometry.heads) as f64 * 4.0 * hd * hd);
        let cost = cost.and_read(&io.outputs[2]);
        // Of q and k only k.
        let unread = (qk.rows() * self.geometry.width() * 4) as f64;
        Cost { least: cost.least - unread, moved: cost.moved - unread, ..cost }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |(geometry, runs): (Geometry, _)| {
        let widths = (TttLinear::fast_len(&geometry), TttLinear::row_len(&geometry));
        given_case(TttLinearStates { geometry }.into(), &geometry, widths, runs, "")
    };
    GIVEN.map(case).to_vec()
}
