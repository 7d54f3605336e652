//! The cases that a kernel is checked with: shapes, values and the bound of the error.

use super::Op;
use crate::blocks::{encode, store};
use crate::step::{Sequence, Step};
use crate::tensor::{DType, Desc};

/// One check: an op on made inputs, every variant on every device against the reference.
#[derive(Debug, Clone)]
pub struct Case {
    /// What the case is about.
    pub name: String,
    /// The kernel and its attributes.
    pub op: Op,
    /// Its inputs in graph order.
    pub inputs: Vec<CaseInput>,
    /// The runs, one after the other on the same states.
    pub steps: Vec<Step>,
    /// Largest error allowed, as a share of the largest value of the output (or of 1).
    pub bound: f32,
    /// Small enough to be run at every start.
    pub startup: bool,
}

/// One input of a case.
#[derive(Debug, Clone)]
pub struct CaseInput {
    /// Element type and shape.
    pub desc: Desc,
    /// Who owns the buffer.
    pub role: Role,
    /// Its values.
    pub fill: Fill,
}

/// Who owns an input's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An activation.
    Activation,
    /// A weight.
    Weight,
    /// A state; its values are the initial ones.
    State,
}

/// Made values, the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Uniform in `base ± amplitude`, from an integer hash of (seed, element).
    Uniform {
        /// Which numbers.
        seed: u32,
        /// Middle.
        base: f32,
        /// Half the width.
        amplitude: f32,
    },
    /// All equal.
    Constant(f32),
    /// Integers below this.
    Below {
        /// Which numbers.
        seed: u32,
        /// The bound.
        n: u32,
    },
    /// These words, of a small input of integers.
    Words([u32; 7]),
}

impl Fill {
    /// Uniform in ±`amplitude`.
    pub fn uniform(seed: u32, amplitude: f32) -> Fill {
        Fill::Uniform { seed, base: 0.0, amplitude }
    }

    /// Element `i` as a float (or, for [`Fill::Below`], an integer that a float holds).
    pub fn value(&self, i: usize) -> f32 {
        match *self {
            Fill::Uniform { seed, base, amplitude } => {
                let u = f64::from(hash(seed, i as u32)) / f64::from(u32::MAX);
                (f64::from(base) + f64::from(amplitude) * (2.0 * u - 1.0)) as f32
            }
            Fill::Constant(value) => value,
            Fill::Below { seed, n } => (hash(seed, i as u32) % n) as f32,
            Fill::Words(words) => words[i] as f32,
        }
    }

    /// The stored words of a whole value.
    pub fn words(&self, desc: &Desc) -> Vec<u32> {
        if let Fill::Words(words) = self {
            return words.to_vec();
        }
        let (width, row_bytes) = (desc.width(), desc.row_bytes());
        let mut words = vec![0u32; desc.bytes().div_ceil(4)];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (r, row) in bytes.chunks_mut(row_bytes).enumerate().take(desc.rows()) {
            let values: Vec<f32> = (r * width..(r + 1) * width).map(|i| self.value(i)).collect();
            let mut encoded = Vec::new();
            match desc.dtype {
                DType::U32 => values.iter().for_each(|x| encoded.extend((*x as u32).to_le_bytes())),
                dtype => encode(dtype, &values, &mut encoded).expect("cases have values that every type holds"),
            }
            store(desc.dtype, &encoded, row);
        }
        words
    }
}

/// The finaliser of MurmurHash3 over a seed and an index.
fn hash(seed: u32, i: u32) -> u32 {
    let mut h = i.wrapping_mul(0x9e37_79b1).wrapping_add(seed.wrapping_mul(0x85eb_ca77).wrapping_add(1));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

impl Case {
    /// A case of one run over `rows` tokens of one sequence, with a bound of 2e-5, run at start-up.
    pub fn new(name: impl Into<String>, op: impl Into<Op>, rows: usize, inputs: Vec<CaseInput>) -> Case {
        let steps = vec![Step::new(vec![Sequence::new(0, rows as u32)])];
        Case { name: name.into(), op: op.into(), inputs, steps, bound: 2e-5, startup: true }
    }

    /// With these runs instead.
    pub fn steps(mut self, steps: Vec<Step>) -> Case {
        self.steps = steps;
        self
    }

    /// With this bound instead.
    pub fn bound(mut self, bound: f32) -> Case {
        self.bound = bound;
        self
    }

    /// Too large for every start.
    pub fn thorough(mut self) -> Case {
        self.startup = false;
        self
    }
}

impl CaseInput {
    /// An activation.
    pub fn activation(desc: Desc, fill: Fill) -> CaseInput {
        CaseInput { desc, role: Role::Activation, fill }
    }

    /// A weight.
    pub fn weight(desc: Desc, fill: Fill) -> CaseInput {
        CaseInput { desc, role: Role::Weight, fill }
    }

    /// A state.
    pub fn state(desc: Desc, fill: Fill) -> CaseInput {
        CaseInput { desc, role: Role::State, fill }
    }
}
