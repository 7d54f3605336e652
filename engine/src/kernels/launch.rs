//! How a kernel is put on a device, as plain data.

use crate::step::{Part, Step};

/// What a count of workgroups follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Live {
    /// A number known when the plan is made.
    Fixed(u32),
    /// The tokens of the run.
    Tokens,
    /// Its sequences.
    Sequences,
    /// The tokens of its longest sequence.
    Longest,
    /// The positions that its furthest sequence has after it.
    Context,
    /// The rows of the part at hand of a divided weight or state.
    Part,
}

impl Live {
    /// The live count of an axis with this capacity.
    pub fn of(axis: crate::tensor::Axis, capacity: usize) -> Live {
        match axis {
            crate::tensor::Axis::Fixed => Live::Fixed(capacity as u32),
            crate::tensor::Axis::Tokens => Live::Tokens,
            crate::tensor::Axis::Sequences => Live::Sequences,
        }
    }
}

/// A factor of the number of workgroups: `ceil(count / per)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// What is counted.
    pub count: Live,
    /// How many of them one workgroup takes.
    pub per: u32,
}

impl Extent {
    /// One workgroup takes `per` of `count`.
    pub fn new(count: Live, per: u32) -> Extent {
        Extent { count, per }
    }

    /// One workgroup takes `per` of a fixed `count`.
    pub fn fixed(count: usize, per: u32) -> Extent {
        Extent { count: Live::Fixed(count as u32), per }
    }

    fn value(&self, step: &Step, part: Part) -> u64 {
        let count = match self.count {
            Live::Fixed(n) => n,
            Live::Tokens => step.head.rows,
            Live::Sequences => step.head.sequences,
            Live::Longest => step.head.longest,
            Live::Context => step.head.context,
            Live::Part => part.count,
        };
        u64::from(count).div_ceil(u64::from(self.per))
    }
}

/// The number of workgroups: a product of extents. The kernel sees one index and takes it apart in the same order,
/// the first extent running fastest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grid(pub Vec<Extent>);

impl Grid {
    /// Workgroups in all for this run.
    pub fn workgroups(&self, step: &Step, part: Part) -> u64 {
        self.0.iter().map(|e| e.value(step, part)).product()
    }

    /// The same folded into two axes of at most `limit`; the kernel skips what is over.
    pub fn folded(&self, step: &Step, part: Part, limit: u32) -> [u32; 2] {
        let n = self.workgroups(step, part);
        let limit = u64::from(limit);
        if n <= limit { [n as u32, 1] } else { [limit as u32, n.div_ceil(limit) as u32] }
    }
}

/// One way to compute a node: the shader file, its choices, and the number of workgroups.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The shader, `shaders/<file>.wgsl`; its method is in its name.
    pub file: &'static str,
    /// The shader's name of each operand, in binding order.
    pub bindings: Vec<&'static str>,
    /// Language extensions that the shader uses, which the device must have: `f16`, `subgroups`.
    pub enables: Vec<&'static str>,
    /// Shared files and the fillings of the shader's holes, `shaders/parts/<part>.wgsl`.
    pub parts: Vec<&'static str>,
    /// Register tiles and other sizes that WGSL wants as constants.
    pub consts: Vec<(&'static str, u32)>,
    /// Values of the shader's `override`s.
    pub overrides: Vec<(&'static str, f64)>,
    /// Number of workgroups.
    pub grid: Grid,
    /// Rounds of loops that one invocation may go through at full capacity, rounded up generously; 0 where they are few.
    pub rounds: u64,
}

/// Rounds of a loop that goes around `n` times, each with rounds of its own inside; finding its end is one more.
pub(super) fn looped(n: usize, inside: usize) -> usize {
    n * (1 + inside) + 1
}

impl Launch {
    /// A launch of `file` without parts and constants.
    pub fn new(file: &'static str, grid: Grid) -> Launch {
        Launch {
            file,
            bindings: Vec::new(),
            enables: Vec::new(),
            parts: Vec::new(),
            consts: Vec::new(),
            overrides: Vec::new(),
            grid,
            rounds: 0,
        }
    }

    /// Names the operands as the shader does.
    pub fn bind(mut self, names: &[&'static str]) -> Launch {
        self.bindings.extend(names);
        self
    }

    /// Says that the shader uses a language extension.
    pub fn enable(mut self, extension: &'static str) -> Launch {
        self.enables.push(extension);
        self
    }

    /// Adds a shared file or the filling of a hole.
    pub fn part(mut self, part: &'static str) -> Launch {
        self.parts.push(part);
        self
    }

    /// Sets a constant.
    pub fn constant(mut self, name: &'static str, value: usize) -> Launch {
        self.consts.push((name, value as u32));
        self
    }

    /// Sets an override.
    pub fn set(mut self, name: &'static str, value: impl Into<f64>) -> Launch {
        self.overrides.push((name, value.into()));
        self
    }

    /// Says how many rounds of loops an invocation may go through.
    pub fn rounds(mut self, rounds: usize) -> Launch {
        self.rounds = rounds as u64;
        self
    }

    /// Sets an override that is a size.
    pub fn size(self, name: &'static str, value: usize) -> Launch {
        self.set(name, value as f64)
    }

    /// The name by which reports tell this launch from its siblings: the file and its choices.
    pub fn name(&self) -> String {
        let mut name = self.file.to_string();
        for part in &self.parts {
            name.push('+');
            name.push_str(part);
        }
        for (constant, value) in &self.consts {
            name.push_str(&format!(" {constant}={value}"));
        }
        name
    }
}
