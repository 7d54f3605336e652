//! Copies a value, where the planner must keep an old version of what a later node updates in place.

use super::*;

/// y = x, of any shape and element type.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy;

impl Kernel for Copy {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 1)?;
        if !matches!(inputs[0].dtype, DType::F32 | DType::U32) {
            return Err(OpError::input(inputs, 0, "f32 or u32"));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn strided(&self, input: usize, _: &Operand) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        vec![elementwise("copy", &y.desc).bind(&["x", "y"]).size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let x = args.inputs[0];
        let width = x.operand.desc.width();
        let y = args.outputs[0].u32s();
        for r in 0..x.live(args.step) {
            let start = x.operand.offset + r * x.operand.stride;
            y[r * width..][..width].copy_from_slice(&x.words[start..start + width]);
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 0.0)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |desc: Desc| {
        let rows = desc.rows();
        Case::new(desc.to_string(), Copy, rows, vec![CaseInput::activation(desc, Fill::uniform(3, 9.0))]).bound(0.0)
    };
    let many = Desc::fixed(DType::F32, &[66_000, 1]);
    vec![case(Desc::tokens(3, 5)), case(Desc::fixed(DType::F32, &[2, 3, 300])), case(many).thorough()]
}
