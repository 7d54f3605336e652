//! The work of the TTT layers: rounds of loops, operations and bytes.

use super::*;

/// How a kernel goes through the fast weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Passes {
    /// They stay on chip: read once before a run's tokens and written once after.
    Held,
    /// They are read so often for a mini-batch, or row by row for a token, and once more and written when it ends.
    Streamed(f64),
}

impl Geometry {
    /// Rounds of the loops over a run's tokens: `a_chunk` for each group of up to `chunk` tokens of one mini-batch, and
    /// `a_commit` for each mini-batch; with a probe `a_model` for each group.
    pub(in crate::kernels) fn rounds(
        &self,
        io: &Io,
        chunk: usize,
        a_chunk: usize,
        a_commit: usize,
        a_model: Option<usize>,
    ) -> usize {
        let (tokens, b) = (io.inputs[0].desc.rows(), self.mini_batch);
        // A run may begin and end within a mini-batch.
        let chunks = tokens.min((tokens / b + 2) * b.div_ceil(chunk));
        // A probe takes the norm of z twice more.
        let probe = a_model.map_or(0, |a_model| 2 + a_model + 6 * self.norm_rounds());
        1 + chunks * (1 + a_chunk + 6 * self.norm_rounds() + probe) + (tokens / b + 1) * a_commit
    }

    /// Rounds of a loop over a row's norm: over a head, and a sum over 16 invocations.
    pub(in crate::kernels) fn norm_rounds(&self) -> usize {
        self.head_dim.div_ceil(16) + 1 + 5
    }

    /// The work, given that of one head and token, and, if there is a probe, of one more pass through the inner model. `passes` tells of the form: row by
    /// row or not.
    pub(in crate::kernels) fn cost(
        &self,
        io: &Io,
        operations: f64,
        passes: impl Fn(bool) -> Passes,
        probe: Option<f64>,
        front: Option<&Front>,
    ) -> Cost {
        let operations = operations + probe.unwrap_or(0.0);
        let tokens = io.inputs[0].desc.rows() as f64;
        let mut cost = Cost::streaming(io, tokens * self.heads as f64 * operations);
        for state in &io.outputs[1..3] {
            cost = cost.and_read(state);
        }
        // Runs of fewer tokens than a mini-batch have an update now and then.
        let sequences = io.outputs[1].desc.rows() / self.heads;
        let few = self.few(io.inputs[0].desc.rows(), sequences);
        let mini_batches = tokens / (sequences * self.mini_batch) as f64;
        let probes = if probe.is_some() { mini_batches.ceil() } else { 0.0 };
        let fast = (io.outputs[1].desc.len() * 4) as f64;
        let unwritten = 1.0 - mini_batches.min(1.0);
        cost.moved += fast
            * match passes(few) {
                Passes::Held => probes - unwritten,
                // Streamed once and back for the update, and once more for a probe.
                Passes::Streamed(passes) => {
                    let reads = if few { tokens / sequences as f64 } else { mini_batches.ceil() };
                    reads * passes + 2.0 * mini_batches + probes - 2.0
                }
            };
        cost.least -= fast * unwritten;
        if let Some(front) = front { front.cost(cost, self, io) } else { cost }
    }
}
