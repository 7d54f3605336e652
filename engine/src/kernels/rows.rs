//! What the kernels that work element by element share: one geometry, and the gates' one signature.

use rayon::prelude::*;

use super::*;

/// Threads of an element-wise workgroup.
const WG: u32 = 256;

/// A launch with one thread an element of a value like `y`; a workgroup stays within a row.
pub(super) fn elementwise(file: &'static str, y: &Desc) -> Launch {
    let width = y.width();
    let grid = Grid(vec![Extent::fixed(width, WG), Extent::new(Live::of(y.axis, y.rows()), 1)]);
    Launch::new(file, grid).size("WIDTH", width).size("ROWS", y.rows()).size("AXIS", y.axis as usize)
}

/// A launch with one workgroup a row of a value like `y`.
pub(super) fn rowwise(file: &'static str, y: &Desc) -> Launch {
    let grid = Grid(vec![Extent::new(Live::of(y.axis, y.rows()), 1)]);
    Launch::new(file, grid).size("WIDTH", y.width()).size("ROWS", y.rows()).size("AXIS", y.axis as usize)
}

/// Works on each row of `y` by its number, side by side where there is enough to do.
pub(super) fn row_by_row(y: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    /// Elements that are worth waking a thread.
    const ENOUGH: usize = 4096;
    let rows = y.par_chunks_mut(width).with_min_len(ENOUGH.div_ceil(width));
    rows.enumerate().for_each(|(r, y)| work(r, y));
}

pub(super) fn infer_gated(inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
    expect_inputs(inputs, 2)?;
    expect_rows(inputs, 0, inputs[0], inputs[0].width())?;
    expect_rows(inputs, 1, inputs[0], inputs[0].width())?;
    Ok(vec![inputs[0].clone()])
}

pub(super) fn launch_gated(file: &'static str, io: &Io) -> Launch {
    let (gate, x) = (&io.inputs[0], &io.inputs[1]);
    elementwise(file, &io.outputs[0].desc)
        .bind(&["gate", "x", "y"])
        .size("GATE_STRIDE", gate.stride)
        .size("GATE_OFFSET", gate.offset)
        .size("X_STRIDE", x.stride)
        .size("X_OFFSET", x.offset)
}

pub(super) fn reference_gated(args: &mut Args<'_>, gated: impl Fn(&mut [f32], &[f32]) + Sync) {
    let [gate, x] = args.inputs[..] else { unreachable!("two inputs are only read") };
    let y = &mut args.outputs[0];
    let width = y.width();
    row_by_row(y.rows(x.live(args.step)), width, |r, y| {
        y.copy_from_slice(x.row(r));
        gated(y, gate.row(r));
    });
}

pub(super) fn cases_gated(op: fn() -> Op) -> Vec<Case> {
    let case = |rows, width, amplitude| {
        let gate = CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(1, amplitude));
        let x = CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(2, 2.0));
        Case::new(format!("{rows}x{width} ±{amplitude}"), op(), rows, vec![gate, x])
    };
    vec![case(1, 1, 1.0), case(3, 7, 8.0), case(2, 256, 30.0), case(2, 257, 1e4), case(65_537, 2, 4.0).thorough()]
}
