//! What bounds a launch on a mid-range GPU: 400 GB/s and 10 TFLOP/s, as if nothing else took time; and what a launch takes that is too small for them.

use fastweight::kernels::Cost;

/// Bytes a second of its memory.
pub const BANDWIDTH: f64 = 400e9;
/// Floating-point operations a second.
pub const OPERATIONS: f64 = 10e12;
/// Compute units: at 2 GHz, two vector units of 32 lanes each make 10 TFLOP/s. A workgroup runs on one of them.
pub const UNITS: u64 = 40;
/// Vector units of each.
const VECTOR_UNITS: u64 = 2;
/// Bytes a second that one of them can take in: 64 a clock.
pub const UNIT_BANDWIDTH: f64 = 128e9;
/// From the end of a dispatch to the start of the one that waits for it, in seconds: a guess for Vulkan drivers, which `bench device` measures.
pub const LAUNCH: f64 = 3e-6;

/// What takes the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Memory.
    Bytes,
    /// Arithmetic.
    Operations,
    /// The compute units that have a workgroup, while others have none.
    Idle,
    /// Getting it started.
    Launch,
}

impl Bound {
    pub fn name(self) -> &'static str {
        match self {
            Bound::Bytes => "bytes",
            Bound::Operations => "operations",
            Bound::Idle => "idle units",
            Bound::Launch => "launch",
        }
    }
}

/// The least seconds of a launch by each of them.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    bytes: f64,
    operations: f64,
    /// Arithmetic of the compute units that have a workgroup.
    of_units: f64,
    idle: f64,
}

impl Times {
    /// Of a launch with so many workgroups, of so many subgroups each. Memory has to give each tensor once, since the caches hold a launch's tiles; each
    /// compute unit takes in all that its workgroups ask for.
    pub fn new(cost: &Cost, workgroups: u64, subgroups: u64) -> Times {
        // A subgroup runs on one vector unit; workgroups are alike, so those of the last round end together and leave the rest idle.
        let places = UNITS * VECTOR_UNITS / subgroups.clamp(1, VECTOR_UNITS);
        let workgroups = workgroups.max(1);
        let busy = workgroups as f64 / workgroups.next_multiple_of(places) as f64;
        let of_units = cost.operations / (OPERATIONS * busy);
        let taking_in = workgroups.min(UNITS) as f64;
        Times {
            bytes: cost.least / BANDWIDTH,
            operations: cost.operations / OPERATIONS,
            of_units,
            idle: of_units.max(cost.moved / (UNIT_BANDWIDTH * taking_in)),
        }
    }

    /// By memory and arithmetic alone.
    pub fn ideal(&self) -> f64 {
        self.bytes.max(self.operations)
    }

    /// Which of the two.
    pub fn of_two(&self) -> Bound {
        if self.bytes >= self.operations { Bound::Bytes } else { Bound::Operations }
    }

    /// By everything.
    pub fn expected(&self) -> f64 {
        self.ideal().max(self.idle).max(LAUNCH)
    }

    /// The same where arithmetic gets only this share of its operations a second.
    pub fn at(&self, share: f64) -> f64 {
        self.expected().max(self.of_units / share)
    }

    /// Which of all.
    pub fn bound(&self) -> Bound {
        match self.ideal() {
            ideal if self.idle > ideal && self.idle > LAUNCH => Bound::Idle,
            ideal if ideal < LAUNCH => Bound::Launch,
            _ => self.of_two(),
        }
    }
}
