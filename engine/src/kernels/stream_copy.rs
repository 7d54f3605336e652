//! Copies a value as fast as can be: the ceiling of what any kernel can read and write.

use rayon::prelude::*;

use super::stream_read::{chunks, launch_stream};
use super::*;

/// y = x, written again in every pass. Input: x f32 of a multiple of [`CHUNK`] elements. Output: of the same shape.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamCopy {
    /// How often x is copied in one launch: more than once keeps a device busy with a small working set.
    pub passes: usize,
}

/// Elements that a workgroup copies: 32 KiB.
pub const CHUNK: usize = 8 * 256 * 4;

impl Kernel for StreamCopy {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        chunks(inputs, CHUNK, self.passes)?;
        Ok(vec![inputs[0].clone()])
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        vec![launch_stream("stream_copy", io, CHUNK, self.passes)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let x = args.inputs[0].f32s();
        let y = &mut args.outputs[0].f32s()[..x.len()];
        // A thread keeps to its part in all passes.
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            for _ in 0..self.passes {
                std::hint::black_box(&mut *y).copy_from_slice(x);
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let bytes = io.least_bytes();
        Cost { operations: 0.0, least: bytes, moved: bytes * self.passes as f64 }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |chunks: usize, passes| {
        let x = CaseInput::activation(Desc::fixed(DType::F32, &[chunks, CHUNK]), Fill::uniform(1, 1.0));
        Case::new(format!("{chunks} chunks, {passes} passes"), StreamCopy { passes }, 1, vec![x]).bound(0.0)
    };
    vec![case(1, 1), case(5, 3)]
}
