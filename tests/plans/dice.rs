//! Random choices that a seed repeats.

use fastweight::kernels::Fill;

/// Random choices that a seed repeats.
pub(super) struct Dice {
    seed: u32,
    thrown: usize,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice { seed: seed as u32 ^ (seed >> 32) as u32, thrown: 0 }
    }

    /// An integer below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.thrown += 1;
        Fill::Below { seed: self.seed, n: n as u32 }.value(self.thrown) as usize
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}
