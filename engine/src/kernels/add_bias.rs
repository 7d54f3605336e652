//! The bias of a projection.

use super::*;

/// y = x + bias, the same for every row. Inputs: x `[rows, width]`, bias `[width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AddBias;

impl Kernel for AddBias {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let width = inputs[0].width();
        expect_rows(inputs, 0, inputs[0], width)?;
        expect_weight(inputs, 1, width)?;
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = elementwise("add_bias", &io.outputs[0].desc).bind(&["x", "bias", "y"]);
        vec![launch.size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, bias] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let y = &mut args.outputs[0];
        let width = y.width();
        row_by_row(y.rows(x.live(args.step)), width, |r, y| {
            for ((y, x), bias) in y.iter_mut().zip(x.row(r)).zip(bias.f32s()) {
                *y = x + bias;
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, width| {
        let x = CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(1, 4.0));
        let bias = CaseInput::weight(Desc::fixed(DType::F32, &[width]), Fill::uniform(2, 2.0));
        Case::new(format!("{rows}x{width}"), AddBias, rows, vec![x, bias])
    };
    vec![case(1, 1), case(3, 7), case(2, 255), case(2, 256), case(2, 257), case(70_000, 3).thorough()]
}
