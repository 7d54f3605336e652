//! The plan's own buffers, reused as soon as nobody reads what they hold.

/// Buffers taken and given back while the plan is laid out.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Bytes of each.
    pub(super) bytes: Vec<u64>,
    free: Vec<usize>,
}

impl Slots {
    /// A buffer of at least `needed` bytes: the smallest free one that fits, else the largest free one, grown, else a new one.
    pub(super) fn take(&mut self, needed: u64) -> usize {
        let fit = |slot: &&usize| self.bytes[**slot] >= needed;
        let best = self.free.iter().filter(fit).min_by_key(|s| self.bytes[**s]);
        let best = best.or_else(|| self.free.iter().max_by_key(|s| self.bytes[**s])).copied();
        match best {
            Some(slot) => {
                self.free.retain(|s| *s != slot);
                self.bytes[slot] = self.bytes[slot].max(needed);
                slot
            }
            None => {
                self.bytes.push(needed);
                self.bytes.len() - 1
            }
        }
    }

    /// A buffer that nothing else is ever put into.
    pub(super) fn own(&mut self, needed: u64) -> usize {
        self.bytes.push(needed);
        self.bytes.len() - 1
    }

    /// Frees a buffer.
    pub(super) fn give_back(&mut self, slot: usize) {
        if !self.free.contains(&slot) {
            self.free.push(slot);
        }
    }
}
