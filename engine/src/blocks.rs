//! Weights as files hold them: plain floats, and GGUF's blocks of small integers with scales, to floats and back.
//!
//! The formats and their arithmetic are ggml's (`ggml-quants.c`, `quantize_row_*_ref` and `dequantize_row_*`). A block holds, in this
//! order: q8_0 d, 32 signed bytes; q4_0 d, 16 bytes; q4_1 d, m, 16 bytes; q5_0 d, 4 bytes of fifth bits, 16 bytes; q5_1 d, m, 4 bytes,
//! 16 bytes; q4_k d, m, 12 bytes of eight 6-bit scales and minima, 128 bytes; q6_k 128 bytes of low bits, 64 of high bits, 16
//! signed scales, d. All of d and m are half precision.

use std::fmt;

use crate::tensor::DType;

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

/// A format that a tensor of a file can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the formats of these names")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q4K,
    Q6K,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 10] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q8_0,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q4K,
        Format::Q6K,
    ];

    /// Elements of a block, and its bytes.
    pub fn block(self) -> (usize, usize) {
        match self {
            Format::F32 => (1, 4),
            Format::F16 | Format::BF16 => (1, 2),
            Format::Q8_0 => (32, 34),
            Format::Q4_0 => (32, 18),
            Format::Q4_1 => (32, 20),
            Format::Q5_0 => (32, 22),
            Format::Q5_1 => (32, 24),
            Format::Q4K => (256, 144),
            Format::Q6K => (256, 210),
        }
    }

    /// Bytes of so many elements, which are whole blocks.
    pub fn bytes_of(self, elements: usize) -> u64 {
        let (len, bytes) = self.block();
        elements.div_ceil(len) as u64 * bytes as u64
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "f32",
            Format::F16 => "f16",
            Format::BF16 => "bf16",
            Format::Q8_0 => "q8_0",
            Format::Q4_0 => "q4_0",
            Format::Q4_1 => "q4_1",
            Format::Q5_0 => "q5_0",
            Format::Q5_1 => "q5_1",
            Format::Q4K => "q4_k",
            Format::Q6K => "q6_k",
        }
    }

    /// The type of a device that holds the format's numbers as they are, if there is one.
    pub fn exact(self) -> Option<DType> {
        match self {
            Format::F32 => Some(DType::F32),
            Format::F16 => Some(DType::F16),
            Format::BF16 => Some(DType::BF16),
            Format::Q8_0 => Some(DType::Q8_0),
            Format::Q4_0 => Some(DType::Q4_0),
            Format::Q4_1 => Some(DType::Q4_1),
            Format::Q5_0 | Format::Q5_1 | Format::Q4K | Format::Q6K => None,
        }
    }

    /// The type in which a device holds a matrix of the format if nobody asks for another: its own, or f16. In f16 a weight of
    /// q5_0, q5_1, q4_k or q6_k takes 2.9, 2.7, 3.6 or 2.4 times its bytes in the file, and is rounded by 2⁻¹¹ of itself at most: a
    /// 32nd of the half step by which q6_k, the finest of them, may have rounded it. A weight over 65,504 is an error that says
    /// to ask for f32.
    pub fn held(self) -> DType {
        self.exact().unwrap_or(DType::F16)
    }
}

impl From<DType> for Format {
    /// The format of a type of weights. (u32, which no weight has, counts as f32.)
    fn from(dtype: DType) -> Format {
        match dtype {
            DType::F32 | DType::U32 => Format::F32,
            DType::F16 => Format::F16,
            DType::BF16 => Format::BF16,
            DType::Q8_0 => Format::Q8_0,
            DType::Q4_0 => Format::Q4_0,
            DType::Q4_1 => Format::Q4_1,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lays a row of encoded elements out as devices store it ([`crate::tensor`]): blocks fall apart into a plane of quants and a
/// plane of scales. `row` is zero where nothing is written.
pub fn store(dtype: DType, encoded: &[u8], row: &mut [u8]) {
    if !dtype.is_quantised() {
        return row[..encoded.len()].copy_from_slice(encoded);
    }
    let (len, bytes) = Format::from(dtype).block();
    let blocks = encoded.len() / bytes;
    let planes = dtype.quant_words(blocks * len) * 4;
    let (quants, scales) = row.split_at_mut(planes);
    let head = bytes - planes / blocks;
    for (b, block) in encoded.chunks(bytes).enumerate() {
        scales[b * head..][..head].copy_from_slice(&block[..head]);
        quants[b * (bytes - head)..][..bytes - head].copy_from_slice(&block[head..]);
    }
}

/// The first element of encoded blocks whose block has a scale that is no number.
pub(crate) fn bad_scale(format: Format, encoded: &[u8]) -> Option<usize> {
    let (len, bytes) = format.block();
    let heads = match format {
        Format::F32 | Format::F16 | Format::BF16 => return None,
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 => 0..2,
        Format::Q4_1 | Format::Q5_1 | Format::Q4K => 0..4,
        Format::Q6K => 208..210,
    };
    let bad = |block: &[u8]| block[heads.clone()].as_chunks::<2>().0.iter().any(|h| h[1] & 0x7c == 0x7c);
    encoded.chunks(bytes).position(bad).map(|b| b * len)
}
