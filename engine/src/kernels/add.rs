//! Adds one activation to another in place: the residual stream.

use super::*;

/// x ← x + y, both `[rows, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Add;

impl Kernel for Add {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        expect_rows(inputs, 0, inputs[0], inputs[0].width())?;
        expect_rows(inputs, 1, inputs[0], inputs[0].width())?;
        Ok(vec![inputs[0].clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn strided(&self, input: usize) -> bool {
        input == 1
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (y, x) = (&io.inputs[0], &io.outputs[0]);
        vec![elementwise("add", &x.desc).bind(&["y", "x"]).size("Y_STRIDE", y.stride).size("Y_OFFSET", y.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [y] = args.inputs[..] else { unreachable!("one input is only read") };
        let x = &mut args.outputs[0];
        let width = x.width();
        row_by_row(x.rows(y.live(args.step)), width, |r, x| x.iter_mut().zip(y.row(r)).for_each(|(x, y)| *x += y));
    }

    fn cost(&self, io: &Io) -> Cost {
        let n = io.outputs[0].desc.len() as f64;
        Cost::streaming(io, n).and_read(&io.outputs[0])
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, width| {
        let input = |seed| CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(seed, 4.0));
        Case::new(format!("{rows}x{width}"), Add, rows, vec![input(1), input(2)])
    };
    vec![case(1, 1), case(3, 7), case(2, 255), case(2, 256), case(2, 257), case(70_000, 3).thorough()]
}
