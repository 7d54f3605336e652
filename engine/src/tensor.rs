//! What a block of numbers is: its element type and its shape, and how its rows are stored.
//!
//! Rows of f32, f16 and bf16 are their elements, one after the other. A row of a quantised weight is two planes of whole 32-bit
//! words: first the quants of all its blocks of 32 elements, then the blocks' scales. So a kernel reads aligned words only, and any
//! range of rows is one range of bytes.
//!
//! | type | quants of a block | scales of a block | element i |
//! |---|---|---|---|
//! | q8_0 | 8 words: byte i is qᵢ, signed | f16 d, two to a word, the last word padded | d qᵢ |
//! | q4_0 | 4 words: byte i is qᵢ (low four bits) and qᵢ₊₁₆ (high) | f16 d, two to a word, the last word padded | d (qᵢ − 8) |
//! | q4_1 | 4 words, the same | one word: f16 d, f16 m | d qᵢ + m |
//!
//! The numbers are those of the GGUF blocks of the same names ([`crate::blocks`]), only their places differ.

use std::fmt;
use std::str::FromStr;

/// The type of an element as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float; every activation is of this type, and every state but a cache in half precision.
    F32,
    /// IEEE 754 half precision; weights, and the caches of attention.
    F16,
    /// The upper half of a 32-bit float; weights only.
    BF16,
    /// Blocks of 32 signed bytes with a scale; weights only.
    Q8_0,
    /// Blocks of 32 four-bit integers with a scale; weights only.
    Q4_0,
    /// Blocks of 32 four-bit integers with a scale and a minimum; weights only.
    Q4_1,
    /// Unsigned 32-bit integer: token ids and counters.
    U32,
}

/// Elements of a block of the quantised types.
pub const BLOCK: usize = 32;

impl DType {
    /// The types that a weight can be stored in.
    pub const WEIGHTS: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

    /// Elements that are stored together: a row is whole groups of so many.
    pub fn block(self) -> usize {
        if self.is_quantised() { BLOCK } else { 1 }
    }

    /// Whether elements are stored as small integers with a scale for every [`BLOCK`] of them.
    pub fn is_quantised(self) -> bool {
        matches!(self, DType::Q8_0 | DType::Q4_0 | DType::Q4_1)
    }

    /// This type, or f16 where rows of `columns` are no whole blocks of it.
    pub fn whole(self, columns: usize) -> DType {
        if columns.is_multiple_of(self.block()) { self } else { DType::F16 }
    }

    /// Bytes of so many elements, scales included; what is no whole block takes the bytes of one.
    pub fn bytes_of(self, elements: usize) -> usize {
        let bytes = match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Q8_0 => 34,
            DType::Q4_0 => 18,
            DType::Q4_1 => 20,
        };
        elements.div_ceil(self.block()) * bytes
    }

    /// Words of the quants of a row of `width` elements: where its scales start. 0 for what has none.
    pub fn quant_words(self, width: usize) -> usize {
        let words = match self {
            DType::Q8_0 => 8,
            DType::Q4_0 | DType::Q4_1 => 4,
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => 0,
        };
        width.div_ceil(BLOCK) * words
    }

    /// The name used in files and messages: `f32`, `f16`, `bf16`, `q8_0`, `q4_0`, `q4_1`, `u32`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::Q8_0 => "q8_0",
            DType::Q4_0 => "q4_0",
            DType::Q4_1 => "q4_1",
            DType::U32 => "u32",
        }
    }
}

impl FromStr for DType {
    type Err = String;

    /// The type of weights with this name.
    fn from_str(name: &str) -> Result<DType, String> {
        let names: Vec<&str> = DType::WEIGHTS.iter().map(|t| t.name()).collect();
        let found = DType::WEIGHTS.into_iter().find(|t| t.name() == name.to_ascii_lowercase());
        found.ok_or_else(|| format!("{name} is no type of weights; known: {}", names.join(", ")))
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

    /// From one stored row to the next: elements, or words for the quantised types. Rows of half-width weights are padded to
    /// whole groups of four, so that a group never straddles two words.
    pub fn stride(&self) -> usize {
        let (width, blocks) = (self.width(), self.width().div_ceil(BLOCK));
        match self.dtype {
            DType::F32 | DType::U32 => width,
            DType::F16 | DType::BF16 => width.next_multiple_of(4),
            DType::Q8_0 | DType::Q4_0 => self.dtype.quant_words(width) + blocks.div_ceil(2),
            DType::Q4_1 => self.dtype.quant_words(width) + blocks,
        }
    }

    /// Bytes of one stored row.
    pub fn row_bytes(&self) -> usize {
        match self.dtype {
            DType::F16 | DType::BF16 => self.stride() * 2,
            DType::F32 | DType::U32 | DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => self.stride() * 4,
        }
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
