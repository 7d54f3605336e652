//! What a listing of RDNA instructions says of a shader's busiest loop.

/// The loop that computes the most in one round, without the loops inside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loop {
    /// Instructions of the vector units.
    pub vector: usize,
    /// Of these, multiply-adds; those of two numbers at a time count twice.
    pub multiply_adds: usize,
    /// Products and sums that are instructions of their own.
    pub halves: usize,
    /// Loads and stores of memory.
    pub memory: usize,
    /// Loads and stores of workgroup memory.
    pub workgroup: usize,
}

impl Loop {
    fn operations(&self) -> usize {
        2 * self.multiply_adds + self.halves
    }

    /// The operations of a second, of the most that there could be if every vector instruction were a multiply-add.
    pub fn share(&self) -> f64 {
        self.operations() as f64 / (2 * self.vector) as f64
    }
}

/// Finds it; none where no loop multiplies and adds.
pub fn busiest(listing: &str) -> Option<Loop> {
    let lines: Vec<&str> = listing.lines().map(str::trim).collect();
    let label = |name: &str| lines.iter().position(|l| l.strip_suffix(':') == Some(name));
    // A loop is what lies between a label and a branch back to it.
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (end, line) in lines.iter().enumerate() {
        let mut words = line.split_whitespace();
        let branch = words.next().is_some_and(|w| w.starts_with("s_branch") || w.starts_with("s_cbranch"));
        if let Some(start) = words.next().filter(|_| branch).and_then(label).filter(|start| *start <= end) {
            loops.push((start, end));
        }
    }
    let inside = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 <= b.0 && b.1 <= a.1;
    let own = |a: &(usize, usize)| {
        let inner: Vec<_> = loops.iter().filter(|b| inside(a, b)).collect();
        let mine = (a.0..=a.1).filter(|i| !inner.iter().any(|b| b.0 <= *i && *i <= b.1)).map(|i| lines[i]);
        count(mine.collect())
    };
    loops.iter().map(own).filter(|l| l.multiply_adds > 0).max_by_key(Loop::operations)
}

fn count(lines: Vec<&str>) -> Loop {
    let mut found = Loop::default();
    for line in lines.iter().filter(|l| !l.is_empty() && !l.ends_with(':')) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let is = |starts: &[&str]| starts.iter().any(|s| name.starts_with(s));
        found.vector += usize::from(is(&["v_"]));
        found.multiply_adds += match () {
            () if is(&["v_pk_fma", "v_dot2"]) => 2,
            () => usize::from(is(&["v_fma", "v_mac", "v_mad_f", "v_mad_mix"])),
        };
        found.halves += usize::from(is(&["v_mul_f32", "v_add_f32", "v_sub_f32", "v_subrev_f32"]));
        found.memory += usize::from(is(&["buffer_", "global_", "flat_", "s_buffer_load", "s_load"]));
        found.workgroup += usize::from(is(&["ds_"]));
    }
    found
}
