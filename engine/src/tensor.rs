//! What a block of numbers is: its element type and its shape.

use std::fmt;

/// The type of an element as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float; every activation is of this type, and every state but a cache in half precision.
    F32,
    /// IEEE 754 half precision; weights, and the caches of attention.
    F16,
    /// The upper half of a 32-bit float; weights only.
    BF16,
    /// Unsigned 32-bit integer: token ids and counters.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
        }
    }

    /// The name used in files and messages: `f32`, `f16`, `bf16`, `u32`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::U32 => "u32",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first axis of a value counts. The size in the shape is a capacity; for tokens and sequences the live
/// count is known only when a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The size in the shape, always.
    Fixed,
    /// One row a token: the tokens of all sequences, one sequence after the other.
    Tokens,
    /// One row a sequence.
    Sequences,
}

/// A description of a value: `[rows, …]` of one element type, row-major.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Desc {
    /// Element type.
    pub dtype: DType,
    /// What the rows are.
    pub axis: Axis,
    /// Sizes, outermost first. Never empty, no size is 0.
    pub shape: Vec<usize>,
}

impl Desc {
    /// A value whose sizes are all fixed.
    pub fn fixed(dtype: DType, shape: &[usize]) -> Desc {
        Desc { dtype, axis: Axis::Fixed, shape: shape.to_vec() }
    }

    /// An f32 value with one row of `width` for each of up to `capacity` tokens.
    pub fn tokens(capacity: usize, width: usize) -> Desc {
        Desc { dtype: DType::F32, axis: Axis::Tokens, shape: vec![capacity, width] }
    }

    /// An f32 value with one row of `width` for each of up to `capacity` sequences.
    pub fn sequences(capacity: usize, width: usize) -> Desc {
        Desc { dtype: DType::F32, axis: Axis::Sequences, shape: vec![capacity, width] }
    }

    /// The same value with another element type.
    pub fn of(mut self, dtype: DType) -> Desc {
        self.dtype = dtype;
        self
    }

    /// Size of the first axis.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Elements of one row: the product of all axes but the first.
    pub fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Elements in all.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the value holds nothing. A description with a zero size is refused by the graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This description with another row width.
    pub fn with_width(&self, width: usize) -> Desc {
        Desc { dtype: self.dtype, axis: self.axis, shape: vec![self.rows(), width] }
    }

    /// Elements from one stored row to the next. Rows of half-width weights are padded to whole groups of four, so that
    /// a group never straddles two words.
    pub fn stride(&self) -> usize {
        match self.dtype {
            DType::F32 | DType::U32 => self.width(),
            DType::F16 | DType::BF16 => self.width().next_multiple_of(4),
        }
    }

    /// Bytes of one stored row.
    pub fn row_bytes(&self) -> usize {
        self.stride() * self.dtype.bytes()
    }

    /// Bytes of the value as it is stored.
    pub fn bytes(&self) -> usize {
        self.rows() * self.row_bytes()
    }
}

impl fmt::Display for Desc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        match self.axis {
            Axis::Fixed => {}
            Axis::Tokens => f.write_str("tokens ")?,
            Axis::Sequences => f.write_str("sequences ")?,
        }
        for (i, size) in self.shape.iter().enumerate() {
            write!(f, "{}{size}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}
