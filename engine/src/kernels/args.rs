//! The operands of a reference: typed views of the CPU device's buffers.

use super::Operand;
use crate::step::{Part, Step};
use crate::tensor::DType;
use crate::vector::Matrix;

/// What a reference works on. Operands in binding order, as in [`super::Io`].
pub struct Args<'a> {
    /// The run's step values.
    pub step: &'a Step,
    /// The part of the divided operands that this call is for.
    pub part: Part,
    /// What is read.
    pub inputs: Vec<In<'a>>,
    /// What is written.
    pub outputs: Vec<Out<'a>>,
}

/// An operand that is read.
#[derive(Clone, Copy)]
pub struct In<'a> {
    /// Its description and place.
    pub operand: &'a Operand,
    /// The whole buffer.
    pub words: &'a [u32],
}

/// An operand that is written, or updated in place.
pub struct Out<'a> {
    /// Its description and place.
    pub operand: &'a Operand,
    /// The whole buffer.
    pub words: &'a mut [u32],
}

impl<'a> In<'a> {
    /// The buffer as floats.
    pub fn f32s(&self) -> &'a [f32] {
        debug_assert_eq!(self.operand.desc.dtype, DType::F32);
        bytemuck::cast_slice(self.words)
    }

    /// The buffer as integers.
    pub fn u32s(&self) -> &'a [u32] {
        debug_assert_eq!(self.operand.desc.dtype, DType::U32);
        self.words
    }

    /// Row `r` as floats.
    pub fn row(&self, r: usize) -> &'a [f32] {
        let o = self.operand;
        &self.f32s()[o.offset + r * o.stride..][..o.desc.width()]
    }

    /// The weight in its stored format.
    pub fn matrix(&self) -> Matrix<'a> {
        match self.operand.desc.dtype {
            DType::F32 | DType::U32 => Matrix::F32(bytemuck::cast_slice(self.words)),
            DType::F16 => Matrix::F16(bytemuck::cast_slice(self.words)),
            DType::BF16 => Matrix::BF16(bytemuck::cast_slice(self.words)),
            DType::Q8_0 => Matrix::Q8_0(self.words),
            DType::Q4_0 => Matrix::Q4_0(self.words),
            DType::Q4_1 => Matrix::Q4_1(self.words),
        }
    }

    /// Rows that this run has.
    pub fn live(&self, step: &Step) -> usize {
        step.live(self.operand.desc.axis, self.operand.desc.rows())
    }
}

impl Out<'_> {
    /// The buffer as floats.
    pub fn f32s(&mut self) -> &mut [f32] {
        debug_assert_eq!(self.operand.desc.dtype, DType::F32);
        bytemuck::cast_slice_mut(self.words)
    }

    /// The buffer as integers.
    pub fn u32s(&mut self) -> &mut [u32] {
        self.words
    }

    /// The first `rows` rows as floats, to be taken apart by `chunks_mut(width)`.
    pub fn rows(&mut self, rows: usize) -> &mut [f32] {
        let width = self.operand.desc.width();
        &mut self.f32s()[..rows * width]
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.operand.desc.width()
    }
}
