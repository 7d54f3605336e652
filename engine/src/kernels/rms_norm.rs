//! Root-mean-square normalisation of each row.

use super::*;

/// y = w ∘ x / sqrt(mean(x²) + eps). Inputs: x `[rows, width]`, w `[width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm {
    /// Added to the mean of the squares.
    pub eps: f32,
}

impl RmsNorm {
    /// One row.
    pub(crate) fn row(&self, x: &[f32], w: &[f32], y: &mut [f32]) {
        let scale = self.scale(x);
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * scale * w;
        }
    }

    /// 1 / sqrt(mean(x²) + eps).
    pub(crate) fn scale(&self, x: &[f32]) -> f32 {
        (crate::vector::dot(x, x) / x.len() as f32 + self.eps).sqrt().recip()
    }
}

impl Kernel for RmsNorm {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        expect_rows(inputs, 0, inputs[0], inputs[0].width())?;
        expect_weight(inputs, 1, inputs[0].width())?;
        Ok(vec![inputs[0].with_width(inputs[0].width())])
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = rowwise("rms_norm", &io.outputs[0].desc).part("workgroup_sum");
        vec![launch.bind(&["x", "w", "y"]).size("X_STRIDE", x.stride).size("X_OFFSET", x.offset).set("EPS", self.eps)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, w] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let y = &mut args.outputs[0];
        let width = y.width();
        row_by_row(y.rows(x.live(args.step)), width, |r, y| self.row(x.row(r), &w.f32s()[..width], y));
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 4.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, width, fill| {
        let x = CaseInput::activation(Desc::tokens(rows, width), fill);
        let w = CaseInput::weight(Desc::fixed(DType::F32, &[width]), Fill::Uniform { seed: 2, base: 1.0, amplitude: 0.5 });
        Case::new(format!("{rows}x{width} {fill:?}"), RmsNorm { eps: 1e-6 }, rows, vec![x, w])
    };
    vec![
        case(1, 1, Fill::uniform(1, 1.0)),
        case(2, 255, Fill::uniform(1, 1e-4)),
        case(3, 256, Fill::uniform(1, 1e4)),
        case(2, 257, Fill::Constant(0.0)),
        case(2, 1000, Fill::Constant(3.0)),
        case(65_537, 3, Fill::uniform(1, 1.0)).thorough(),
    ]
}
