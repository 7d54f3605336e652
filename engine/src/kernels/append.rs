//! The rows of new keys and values, put into their sequence's cache.

use half::f16;

use super::attend::{cache_format, expect_caches};
use super::*;

/// `k_cache[s, p] = k[t]` and `v_cache[s, p] = v[t]`, where token t of sequence s is at position p.
///
/// Inputs: k and v `[tokens, width]`, the caches `[sequences, context, width]` in f32 or f16 (updated).
#[derive(Debug, Clone, PartialEq)]
pub struct Append;

/// Groups of four that a workgroup takes.
const GROUPS: u32 = 64;

impl Kernel for Append {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 4)?;
        let k = inputs[0];
        if k.axis != Axis::Tokens || k.dtype != DType::F32 || !k.width().is_multiple_of(4) {
            return Err(OpError::input(inputs, 0, "f32 with a row a token of whole groups of four"));
        }
        expect_rows(inputs, 1, k, k.width())?;
        expect_caches(inputs, 2, k.width())?;
        Ok(vec![inputs[2].clone(), inputs[3].clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(2, 0), (3, 1)]
    }

    fn divisible(&self) -> Vec<usize> {
        vec![2, 3]
    }

    fn strided(&self, input: usize, rows: &Operand) -> bool {
        input <= 1 && rows.by_fours()
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (k, v) = (&io.inputs[0], &io.inputs[1]);
        let grid = Grid(vec![Extent::fixed(k.desc.width() / 4, GROUPS), Extent::new(Live::Tokens, 1)]);
        let launch = Launch::new("append", grid).part(cache_format(&io.outputs[0])).part("cache_rows").part("sequence_of");
        let launch = launch.bind(&["k", "v", "k_cache", "v_cache"]).size("CACHE_WIDTH", k.desc.width());
        let launch = launch.size("K_STRIDE", k.stride).size("K_OFFSET", k.offset);
        vec![launch.size("V_STRIDE", v.stride).size("V_OFFSET", v.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        for (rows, cache) in args.inputs.iter().zip(&mut args.outputs) {
            let (context, width) = (cache.operand.desc.shape[1], rows.operand.desc.width());
            for (s, record) in args.step.sequences_of(args.part) {
                for t in 0..record.count as usize {
                    let row = rows.row(record.first_row as usize + t);
                    let at = (s * context + record.position as usize + t) * width;
                    match cache.operand.desc.dtype {
                        DType::F16 => {
                            let cells = &mut bytemuck::cast_slice_mut::<u32, f16>(cache.words)[at..at + width];
                            let narrowed = |x: &f32| f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
                            cells.iter_mut().zip(row).for_each(|(cell, x)| *cell = narrowed(x));
                        }
                        _ => cache.f32s()[at..at + width].copy_from_slice(row),
                    }
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let bytes = |o: &Operand| o.desc.dtype.bytes_of(io.inputs[0].desc.len()) as f64;
        let bytes = io.inputs.iter().chain(&io.outputs).map(bytes).sum();
        Cost { operations: 0.0, least: bytes, moved: bytes }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |width: usize, context: usize, dtype, amplitude, records: &[(u32, u32)]| {
        let rows = records.iter().map(|r| r.1).sum::<u32>() as usize;
        let cache = Desc::fixed(dtype, &[records.len(), context, width]);
        let inputs = vec![
            CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(1, amplitude)),
            CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(2, amplitude)),
            CaseInput::state(cache.clone(), Fill::uniform(3, 1.0)),
            CaseInput::state(cache, Fill::uniform(4, 1.0)),
        ];
        let step = Step::new(records.iter().map(|&(position, n)| Sequence::new(position, n)).collect());
        // A half may be rounded either way.
        let bound = if dtype == DType::F16 { 1e-3 } else { 0.0 };
        Case::new(format!("{dtype} width {width} of {context}, {records:?}"), Append, rows, inputs).steps(vec![step]).bound(bound)
    };
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases.push(case(4, 1, dtype, 2.0, &[(0, 1)]));
        cases.push(case(252, 9, dtype, 2.0, &[(3, 6), (0, 0), (8, 1)]));
        cases.push(case(256, 5, dtype, 1e5, &[(0, 5), (4, 1)]));
        cases.push(case(260, 7, dtype, 2.0, &[(2, 3)]));
        cases.push(case(4, 65_600, dtype, 2.0, &[(0, 65_600)]).thorough());
    }
    cases
}
