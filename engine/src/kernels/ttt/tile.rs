//! The rows that a workgroup of the dual forms works on at a time.

use crate::caps::Caps;

/// A tile of rows in workgroup memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) struct Tile {
    /// Rows, a multiple of four.
    pub(in crate::kernels) chunk: usize,
    /// Groups of four elements between rows, which keep neighbours out of each other's banks.
    pub(in crate::kernels) pad: usize,
}

impl Tile {
    /// The largest that a device has room for, of at most 16 rows. `row` gives the bytes of one, with so many groups of four between the parts of it.
    pub(in crate::kernels) fn new(caps: &Caps, row: impl Fn(usize) -> usize) -> Tile {
        // Of the norms' sums: two for each of 256 invocations.
        let sums = 256 * 8;
        let fits = |tile: &Tile| tile.chunk * row(tile.pad) + sums <= caps.workgroup_bytes as usize;
        let larger = [(16, 1), (16, 0), (8, 1), (8, 0), (4, 1)].map(|(chunk, pad)| Tile { chunk, pad });
        larger.into_iter().find(fits).unwrap_or(Tile { chunk: 4, pad: 0 })
    }
}
