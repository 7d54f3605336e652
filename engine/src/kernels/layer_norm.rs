//! Layer normalisation of each row, and the output gate of a TTT layer after it.

use super::*;
use crate::vector::{gate_gelu, mean_and_variance};

/// y = γ ∘ (x − mean) / sqrt(var + eps) + β with the population variance, then, if gated, ∘ gelu_tanh(gate).
/// Inputs: x `[rows, width]`, γ and β `[width]`, and the gate `[rows, width]` if `gated`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Whether a fourth input gates the result.
    pub gated: bool,
}

impl LayerNorm {
    /// One row.
    pub(super) fn row(&self, x: &[f32], gamma: &[f32], beta: &[f32], gate: Option<&[f32]>, y: &mut [f32]) {
        let (mean, variance) = mean_and_variance(x);
        let scale = (variance + self.eps).sqrt().recip();
        for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
            *y = (x - mean) * scale * gamma + beta;
        }
        if let Some(gate) = gate {
            gate_gelu(y, gate);
        }
    }
}

/// Fills the hole of the gate behind the norm.
pub(super) fn with_gate(launch: Launch, gate: &Operand) -> Launch {
    let launch = launch.bind(&["gate"]).part("gate_gelu").part("gelu");
    launch.size("GATE_STRIDE", gate.stride).size("GATE_OFFSET", gate.offset)
}

impl Kernel for LayerNorm {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, if self.gated { 4 } else { 3 })?;
        let width = inputs[0].width();
        expect_rows(inputs, 0, inputs[0], width)?;
        expect_weight(inputs, 1, width)?;
        expect_weight(inputs, 2, width)?;
        if self.gated {
            expect_rows(inputs, 3, inputs[0], width)?;
        }
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self, input: usize) -> bool {
        matches!(input, 0 | 3)
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = rowwise("layer_norm", &io.outputs[0].desc)
            .part("workgroup_sum")
            .size("X_STRIDE", x.stride)
            .size("X_OFFSET", x.offset)
            .set("EPS", self.eps);
        let Some(gate) = io.inputs.get(3) else {
            return vec![launch.bind(&["x", "gamma", "beta", "y"]).part("gate_none")];
        };
        vec![with_gate(launch.bind(&["x", "gamma", "beta"]), gate).bind(&["y"])]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let (x, gamma, beta) = (args.inputs[0], args.inputs[1].f32s(), args.inputs[2].f32s());
        let gate = args.inputs.get(3).copied();
        let y = &mut args.outputs[0];
        let width = y.width();
        row_by_row(y.rows(x.live(args.step)), width, |r, y| self.row(x.row(r), gamma, beta, gate.map(|gate| gate.row(r)), y));
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, if self.gated { 17.0 } else { 7.0 } * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, width, fill, gated| {
        let vector = |seed, base| CaseInput::weight(Desc::fixed(DType::F32, &[width]), Fill::Uniform { seed, base, amplitude: 0.5 });
        let mut inputs = vec![CaseInput::activation(Desc::tokens(rows, width), fill), vector(2, 1.0), vector(3, 0.0)];
        if gated {
            inputs.push(CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(4, 20.0)));
        }
        Case::new(format!("{rows}x{width} {fill:?} gated {gated}"), LayerNorm { eps: 1e-6, gated }, rows, inputs).bound(1e-4)
    };
    vec![
        case(1, 1, Fill::uniform(1, 1.0), false),
        case(2, 255, Fill::uniform(1, 1e-2), true),
        case(3, 256, Fill::uniform(1, 1e4), false),
        case(2, 257, Fill::Constant(3.0), true),
        case(2, 1000, Fill::Uniform { seed: 1, base: 100.0, amplitude: 1.0 }, false),
        case(65_537, 3, Fill::uniform(1, 1.0), true).thorough(),
    ]
}
