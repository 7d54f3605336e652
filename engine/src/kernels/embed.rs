//! The embedding: a row of the table for each token id.

use rayon::prelude::*;

use super::*;
use crate::vector::widen;

/// `y[t] = table[ids[t]]`. Inputs: ids `[tokens]` (u32), table `[vocabulary, width]` in a weight format. Ids outside the table are
/// the caller's to refuse; the kernel leaves their rows alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Embed;

/// Refuses what is no weight matrix with rows of `width`.
pub(super) fn expect_matrix(inputs: &[&Desc], input: usize, width: Option<usize>) -> Result<(), OpError> {
    let d = inputs[input];
    let fits = d.shape.len() == 2 && d.axis == Axis::Fixed && d.dtype != DType::U32;
    if fits && width.is_none_or(|width| d.width() == width) {
        return Ok(());
    }
    let width = width.map_or("width".to_string(), |w| w.to_string());
    Err(OpError::input(inputs, input, format!("f32, f16 or bf16 [rows, {width}]")))
}

/// The filling of the weight hole for `w`.
pub(super) fn weight_format(w: &Operand) -> &'static str {
    match w.desc.dtype {
        DType::F16 => "weight_f16",
        DType::BF16 => "weight_bf16",
        _ if w.by_fours() => "weight_f32",
        _ => "weight_f32_scalar",
    }
}

impl Kernel for Embed {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let (ids, table) = (inputs[0], inputs[1]);
        if ids.dtype != DType::U32 || ids.width() != 1 {
            return Err(OpError::input(inputs, 0, "u32 with one id a row"));
        }
        expect_matrix(inputs, 1, None)?;
        Ok(vec![Desc { axis: Axis::Tokens, ..ids.with_width(table.width()).of(DType::F32) }])
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1]
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let table = &io.inputs[1];
        let y = &io.outputs[0].desc;
        let grid = Grid(vec![Extent::fixed(y.width().div_ceil(4), 64), Extent::new(Live::Tokens, 1)]);
        let launch = Launch::new("embed", grid).part(weight_format(table)).bind(&["ids", "w", "y"]);
        vec![launch.size("WIDTH", y.width()).size("W_STRIDE", table.stride)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let (ids, table) = (args.inputs[0].u32s(), args.inputs[1]);
        let (part, rows) = (args.part, args.step.head.rows as usize);
        let y = &mut args.outputs[0];
        let width = y.width();
        y.rows(rows).par_chunks_mut(width).zip(&ids[..rows]).for_each(|(y, id)| {
            if let Some(row) = id.checked_sub(part.first).filter(|row| *row < part.count) {
                widen(table.matrix(), row as usize * table.operand.stride, y);
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let y = (io.outputs[0].desc.len() * 4) as f64;
        let bytes = y + (io.outputs[0].desc.len() * io.inputs[1].desc.dtype.bytes()) as f64;
        Cost { operations: 0.0, least: bytes, moved: bytes }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows: usize, n: usize, width, dtype| {
        let ids = CaseInput::activation(Desc::tokens(rows, 1).of(DType::U32), Fill::Below { seed: 1, n: n as u32 });
        let table = CaseInput::weight(Desc::fixed(dtype, &[n, width]), Fill::uniform(2, 1.0));
        Case::new(format!("{rows} of {dtype}[{n}, {width}]"), Embed, rows, vec![ids, table]).bound(0.0)
    };
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        cases.extend([case(1, 1, 1, dtype), case(5, 9, 7, dtype), case(3, 30, 256, dtype), case(2, 5, 258, dtype)]);
        cases.push(case(65_600, 11, 4, dtype).thorough());
    }
    cases
}
