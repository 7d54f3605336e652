//! The output pass of TTT-Linear, of all mini-batches side by side, from what the state pass leaves ([`super::ttt_linear_states`]).

use rayon::prelude::*;

use super::matmul::Columns;
use super::ttt::{GIVEN, Geometry, case_of, given, most_tokens};
use super::ttt_linear::{TttLinear, see};
use super::ttt_linear_states::{first_model, models};
use super::*;

/// Per head, with W and b as of the start of each mini-batch and its rows (k_j, h_j):
///
///   out = q + LN(q W + b − tok_i Σ_{j ≤ i} (1 + q·k_j) h_j),  tok_i = max(1/(i+1) + idx_i, 0)
///
/// as in [`TttLinear`]. Inputs: qk `[tokens, 2 · heads · hd]`; models and h, as [`super::ttt_linear_states::TttLinearStates`] leaves them; params and
/// open of [`TttLinear`] (updated). Outputs: out `[tokens, heads · hd]`, open.
#[derive(Debug, Clone, PartialEq)]
pub struct TttLinearOutputs {
    /// Heads, their width and the mini-batch.
    pub geometry: Geometry,
}

impl Kernel for TttLinearOutputs {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        let g = &self.geometry;
        g.check()?;
        expect_inputs(inputs, 5)?;
        let (qk, open, row) = (inputs[0], inputs[4], g.mini_batch * TttLinear::row_len(g));
        if qk.axis != Axis::Tokens {
            return Err(OpError::input(inputs, 0, "one row a token"));
        }
        expect_rows(inputs, 0, qk, 2 * g.width())?;
        let fits = open.dtype == DType::F32 && open.axis == Axis::Fixed && open.width() == row;
        if !fits || !open.rows().is_multiple_of(g.heads) {
            return Err(OpError::input(inputs, 4, format!("f32[sequences * {}, {row}]", g.heads)));
        }
        let models = models(g, qk.rows(), open.rows() / g.heads);
        if *inputs[1] != models {
            return Err(OpError::input(inputs, 1, models.to_string()));
        }
        expect_rows(inputs, 2, qk, g.width())?;
        expect_weight(inputs, 3, g.params_len())?;
        Ok(vec![qk.with_width(g.width()), open.clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(4, 1)]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let g = &self.geometry;
        let (tile, open) = TttLinear::tile(g, caps);
        let launch = Launch::new("ttt_linear_outputs", Grid(vec![Extent::fixed(io.inputs[1].desc.rows(), 1)]));
        let launch = given(g.sized(launch, tile.chunk).bind(&["qk", "models", "steps", "params", "out", "open"]), &io.inputs[0]);
        let launch = launch.part("ttt_output").part("ttt_linear_held").part("ttt_linear_scores").part("ttt_linear_trail");
        let (a_chunk, _) = TttLinear::chunk_rounds(g, tile.chunk);
        let sequences = io.outputs[1].desc.rows() / g.heads;
        let rounds = looped(sequences, 0) + looped(g.mini_batch.div_ceil(tile.chunk), a_chunk + 3 * g.norm_rounds());
        vec![launch.constant("OPEN", open).rounds(rounds + looped((g.mini_batch * g.head_dim).div_ceil(256), 0))]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let Geometry { head_dim: hd, mini_batch, heads } = self.geometry;
        let (step, inputs) = (args.step, &args.inputs);
        let [out, open] = &mut args.outputs[..] else { unreachable!("two outputs") };
        let (width, row, live) = (out.width(), open.width(), step.head.rows as usize);
        let out = Columns::new(out.rows(live), width);
        open.f32s().par_chunks_mut(row).enumerate().for_each(|(i, open)| {
            let Some(head) = self.geometry.head(inputs[0], inputs[3], step, i) else { return };
            let first_model = first_model(&self.geometry, &head, i);
            let (mut zs, mut scores) = (vec![0.0; mini_batch * hd], vec![0.0; mini_batch * mini_batch]);
            for (which, batch) in head.mini_batches(mini_batch).enumerate() {
                for (t, row) in (batch.t..batch.t + batch.n).zip(open[batch.start * 2 * hd..].chunks_mut(2 * hd)) {
                    let (k, h) = row.split_at_mut(hd);
                    k.copy_from_slice(head.k.row(t));
                    h.copy_from_slice(&inputs[2].row(head.first_row + t)[head.column..][..hd]);
                }
                let model = inputs[1].row(first_model + which * heads);
                see(&head, batch, model, open, &mut zs[..batch.n * hd], &mut scores, &out);
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let Geometry { head_dim, mini_batch, heads } = self.geometry;
        // q W; q·k and the sum over rows for half of the mini-batch.
        let a_row = (2 * head_dim * head_dim + 2 * head_dim * mini_batch) as f64;
        let cost = Cost::streaming(io, (io.inputs[0].desc.rows() * heads) as f64 * a_row);
        cost.and_read(&io.outputs[1])
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |(geometry, runs): (Geometry, &[&[(u32, u32)]])| {
        let (rows, sequences) = (most_tokens(runs), runs[0].len());
        let fixed = |shape: &[usize]| Desc::fixed(DType::F32, shape);
        let open = fixed(&[sequences * geometry.heads, geometry.mini_batch * TttLinear::row_len(&geometry)]);
        let inputs = vec![
            CaseInput::activation(Desc::tokens(rows, 2 * geometry.width()), Fill::uniform(1, 1.0)),
            CaseInput::activation(models(&geometry, rows, sequences), Fill::uniform(5, 0.3)),
            CaseInput::activation(Desc::tokens(rows, geometry.width()), Fill::uniform(2, 0.3)),
            CaseInput::weight(fixed(&[geometry.params_len()]), Fill::Uniform { seed: 4, base: 0.0, amplitude: 1.0 }),
            CaseInput::state(open, Fill::uniform(6, 0.3)),
        ];
        case_of(TttLinearOutputs { geometry }.into(), &geometry, inputs, runs, "")
    };
    GIVEN.map(case).to_vec()
}
