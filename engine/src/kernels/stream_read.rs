//! Reads a value and does next to nothing with it: the ceiling of what any kernel can read.

use rayon::prelude::*;

use super::*;
use crate::vector::axpy;

/// `y[p · chunks + g, j] = Σᵢ Σ_c x[g, i, j, c]` over the 32 groups of four that invocation j of 256 reads of chunk g, the same in every pass p.
/// Input: x f32 of a multiple of [`CHUNK`] elements. Output: `[passes · chunks, 256]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRead {
    /// How often x is read in one launch: more than once keeps a device busy with a small working set.
    pub passes: usize,
}

/// Elements that a workgroup reads: 128 KiB.
pub const CHUNK: usize = 32 * 256 * 4;

/// Checks that a stream is f32 and made of whole chunks, and says how many.
pub(super) fn chunks(inputs: &[&Desc], chunk: usize, passes: usize) -> Result<usize, OpError> {
    expect_inputs(inputs, 1)?;
    let x = inputs[0];
    if x.dtype != DType::F32 || x.axis != Axis::Fixed || !x.len().is_multiple_of(chunk) {
        return Err(OpError::input(inputs, 0, format!("fixed f32 with a multiple of {chunk} elements")));
    }
    if passes == 0 || passes > 1 << 20 {
        return Err(OpError::Attribute { name: "passes", found: passes.to_string(), wanted: "1 to 1048576".into() });
    }
    Ok(x.len() / chunk)
}

/// A launch with one workgroup a chunk and a pass.
pub(super) fn launch_stream(file: &'static str, io: &Io, chunk: usize, passes: usize) -> Launch {
    let chunks = io.inputs[0].desc.len() / chunk;
    let grid = Grid(vec![Extent::fixed(chunks, 1), Extent::fixed(passes, 1)]);
    Launch::new(file, grid).bind(&["x", "y"]).size("CHUNKS", chunks).size("PASSES", passes)
}

impl Kernel for StreamRead {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        let chunks = chunks(inputs, CHUNK, self.passes)?;
        Ok(vec![Desc::fixed(DType::F32, &[self.passes * chunks, 256])])
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        vec![launch_stream("stream_read", io, CHUNK, self.passes)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let x = args.inputs[0].f32s();
        let chunks = x.len() / CHUNK;
        let y = args.outputs[0].f32s();
        y.par_chunks_mut(256).enumerate().for_each(|(index, y)| {
            let mut sums = [0f32; 1024];
            let chunk = &x[(index % chunks) * CHUNK..][..CHUNK];
            chunk.chunks(1024).for_each(|groups| axpy(1.0, groups, &mut sums));
            for (y, sums) in y.iter_mut().zip(sums.as_chunks::<4>().0) {
                *y = sums.iter().sum();
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let (x, y) = (io.inputs[0].desc.len() as f64, io.outputs[0].desc.len() as f64);
        let read = 4.0 * x * self.passes as f64;
        Cost { operations: x * self.passes as f64, least: 4.0 * (x + y), moved: read + 4.0 * y }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |chunks: usize, passes| {
        let x = CaseInput::activation(Desc::fixed(DType::F32, &[chunks, CHUNK]), Fill::uniform(1, 1.0));
        Case::new(format!("{chunks} chunks, {passes} passes"), StreamRead { passes }, 1, vec![x])
    };
    vec![case(1, 1), case(3, 2), case(40, 1).thorough()]
}
