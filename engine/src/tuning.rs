//! What was found of the kernels' variants on a device, as plain data: the planner uses no variant that is wrong there, and of those that
//! are right the fastest. [`crate::verify::tune`] finds it; a program may keep it for the next time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernels::{Io, Launch, Op};
use crate::tensor::Axis;

/// What was found. Launches go by their names, [`Launch::name`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// Those that passed.
    pub right: BTreeSet<String>,
    /// Those that failed, which are never used, each with what was found.
    pub wrong: BTreeMap<String, String>,
    /// How long they took.
    pub timings: Vec<Timing>,
}

/// How long the variants of a node of this size took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The node's size.
    pub size: Size,
    /// Nanoseconds of each variant, and of what may take the place of the node.
    pub nanoseconds: BTreeMap<String, u64>,
}

/// The size of a node, at full capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Its tokens or sequences.
    pub rows: u64,
    /// Its floating-point operations.
    pub operations: u64,
}

impl Size {
    /// The size of a node.
    pub fn of(op: &Op, io: &Io) -> Size {
        let live = io.inputs.iter().chain(&io.outputs).filter(|o| o.desc.axis != Axis::Fixed);
        let rows = live.map(|o| o.desc.rows() as u64).max().unwrap_or(1);
        Size { rows, operations: op.kernel().cost(io).operations as u64 }
    }

    /// How far apart two sizes are: 0 for equal ones, 1 for each doubling of the rows or of the work of a row.
    pub fn distance(&self, other: &Size) -> f64 {
        let rows = |s: &Size| (s.rows.max(1) as f64).log2();
        let a_row = |s: &Size| (s.operations.max(1) as f64).log2() - rows(s);
        (rows(self) - rows(other)).abs() + (a_row(self) - a_row(other)).abs()
    }
}

/// A variant that is not faster than the first by this much is not worth to be preferred to it: what was measured is never exact.
const WORTH: f64 = 0.95;

impl Tuning {
    /// Notes that a launch passed a case, or why it did not. What is wrong in one case stays wrong.
    pub fn note(&mut self, launch: String, failure: Option<String>) {
        match failure {
            Some(failure) => {
                self.right.remove(&launch);
                self.wrong.entry(launch).or_insert(failure);
            }
            None if self.wrong.contains_key(&launch) => {}
            None => {
                self.right.insert(launch);
            }
        }
    }

    /// Whether a launch was checked.
    pub fn knows(&self, launch: &str) -> bool {
        self.right.contains(launch) || self.wrong.contains_key(launch)
    }

    /// The timing of all these names at the nearest size, and how far that is.
    pub fn nearest(&self, size: Size, names: &[String]) -> Option<(&Timing, f64)> {
        let of_all = |t: &&Timing| names.iter().all(|name| t.nanoseconds.contains_key(name));
        let distances = self.timings.iter().filter(of_all).map(|t| (t, t.size.distance(&size)));
        distances.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Those of a node's variants that are not wrong.
    pub fn usable(&self, mut variants: Vec<Launch>) -> Vec<Launch> {
        variants.retain(|v| !self.wrong.contains_key(&v.name()));
        variants
    }

    /// The variant for a node of this size, of those that are not wrong: the fastest where they were timed, else the first.
    pub fn choose(&self, size: Size, variants: Vec<Launch>) -> Option<Launch> {
        let variants = self.usable(variants);
        let first = variants.first()?;
        let names: Vec<String> = variants.iter().map(Launch::name).collect();
        let chosen = match self.nearest(size, &names) {
            Some((timing, _)) if variants.len() > 1 => {
                let taken = |launch: &Launch| timing.nanoseconds[&launch.name()];
                let fastest = variants.iter().min_by_key(|v| taken(v))?;
                if (taken(fastest) as f64) < taken(first) as f64 * WORTH { fastest } else { first }
            }
            _ => first,
        };
        Some(chosen.clone())
    }

    /// Whether what goes by this name was faster than every variant of the node of this size in whose place it would be.
    pub fn prefers(&self, size: Size, name: &str) -> bool {
        self.nearest(size, &[name.to_string()]).is_some_and(|(timing, _)| {
            let others = timing.nanoseconds.iter().filter(|(other, _)| *other != name).map(|(_, taken)| *taken);
            others.min().is_some_and(|least| (timing.nanoseconds[name] as f64) < least as f64 * WORTH)
        })
    }
}
