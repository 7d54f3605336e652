//! The embedding: a row of the table for each token id.

use rayon::prelude::*;

use super::*;
use crate::vector::widen;

/// `y[t] = table[ids[t]]`. Inputs: ids `[tokens]` (u32), table `[vocabulary, width]` in a weight format. Ids outside the table are
/// the caller's to refuse; the kernel leaves their rows alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Embed;

/// Refuses what is no weight matrix with rows of `width`, or of whole blocks.
pub(super) fn expect_matrix(inputs: &[&Desc], input: usize, width: Option<usize>) -> Result<(), OpError> {
    let d = inputs[input];
    let fits = d.shape.len() == 2 && d.axis == Axis::Fixed && DType::WEIGHTS.contains(&d.dtype);
    if !fits || width.is_some_and(|width| d.width() != width) {
        let width = width.map_or("width".to_string(), |w| w.to_string());
        let types: Vec<&str> = DType::WEIGHTS.iter().map(|t| t.name()).collect();
        return Err(OpError::input(inputs, input, format!("[rows, {width}] of one of {}", types.join(", "))));
    }
    if !d.width().is_multiple_of(d.dtype.block()) {
        return Err(OpError::input(inputs, input, format!("a width of whole blocks of {}", d.dtype.block())));
    }
    Ok(())
}

/// Fills the weight hole for `w`, to be read in groups of four.
pub(super) fn with_weight(launch: Launch, w: &Operand) -> Launch {
    let format = match w.desc.dtype {
        DType::F16 => "weight_f16",
        DType::BF16 => "weight_bf16",
        DType::Q8_0 => "weight_q8_0",
        DType::Q4_0 => "weight_q4_0",
        DType::Q4_1 => "weight_q4_1",
        DType::F32 | DType::U32 if w.by_fours() => "weight_f32",
        DType::F32 | DType::U32 => "weight_f32_scalar",
    };
    with_format(launch, w, format)
}

/// The same, to be read in spans: of eight where that takes fewer requests, else of four.
pub(super) fn with_spans(launch: Launch, w: &Operand) -> Launch {
    let eights = w.desc.width().is_multiple_of(8) && w.stride.is_multiple_of(8);
    match w.desc.dtype {
        DType::F16 if eights => with_format(launch, w, "weight_f16_eights").part("span_eights"),
        DType::BF16 if eights => with_format(launch, w, "weight_bf16_eights").part("span_eights"),
        DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => with_weight(launch, w).part("span_eights"),
        _ => with_weight(launch, w).part("span_fours"),
    }
}

fn with_format(launch: Launch, w: &Operand, format: &'static str) -> Launch {
    let launch = launch.part(format).size("W_STRIDE", w.stride);
    match w.desc.dtype.quant_words(w.desc.width()) {
        0 => launch,
        words => launch.size("W_SCALES", words),
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
        vec![with_weight(Launch::new("embed", grid), table).bind(&["ids", "w", "y"]).size("WIDTH", y.width())]
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
        let bytes = y + io.inputs[1].desc.dtype.bytes_of(io.outputs[0].desc.len()) as f64;
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
    // Nothing is summed, and every type but q4_1 holds a number of at most 24 bits: the table's values come out as they are. Where
    // q4_1 adds its minimum, the one rounding is that of the reference.
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        cases.extend([case(1, 1, 32, dtype), case(5, 9, 96, dtype), case(3, 30, 256, dtype), case(2, 5, 288, dtype)]);
        cases.push(case(65_600, 11, 32, dtype).thorough());
    }
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        cases.extend([case(1, 1, 1, dtype), case(5, 9, 7, dtype), case(3, 30, 256, dtype), case(2, 5, 258, dtype)]);
        cases.push(case(65_600, 11, 4, dtype).thorough());
    }
    cases
}
