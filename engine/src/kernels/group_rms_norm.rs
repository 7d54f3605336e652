//! Root-mean-square normalisation of the groups of each row.

use super::rms_norm::RmsNorm;
use super::*;

/// y = w ∘ x / sqrt(mean(x²) + eps), the mean over each of `groups` equal parts of a row. Inputs: x `[rows, width]`, w `[width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRmsNorm {
    /// Parts of a row.
    pub groups: usize,
    /// Added to the mean of the squares.
    pub eps: f32,
}

impl Kernel for GroupRmsNorm {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let width = inputs[0].width();
        expect_rows(inputs, 0, inputs[0], width)?;
        expect_weight(inputs, 1, width)?;
        if self.groups == 0 || !width.is_multiple_of(self.groups) {
            let wanted = format!("a divisor of {width}");
            return Err(OpError::Attribute { name: "groups", found: self.groups.to_string(), wanted });
        }
        Ok(vec![inputs[0].with_width(width)])
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let mut launch = rowwise("group_rms_norm", &io.outputs[0].desc).part("workgroup_sum").bind(&["x", "w", "y"]);
        launch.grid.0.insert(0, Extent::fixed(self.groups, 1));
        vec![launch.size("GROUPS", self.groups).size("X_STRIDE", x.stride).size("X_OFFSET", x.offset).set("EPS", self.eps)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [x, w] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let (y, norm) = (&mut args.outputs[0], RmsNorm { eps: self.eps });
        let (width, group) = (y.width(), y.width() / self.groups);
        row_by_row(y.rows(x.live(args.step)), width, |r, y| {
            for ((y, x), w) in y.chunks_mut(group).zip(x.row(r).chunks(group)).zip(w.f32s().chunks(group)) {
                norm.row(x, w, y);
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 4.0 * io.outputs[0].desc.len() as f64)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, groups, group: usize, fill| {
        let width = groups * group;
        let x = CaseInput::activation(Desc::tokens(rows, width), fill);
        let w = CaseInput::weight(Desc::fixed(DType::F32, &[width]), Fill::Uniform { seed: 2, base: 1.0, amplitude: 0.5 });
        Case::new(format!("{rows}x{groups}x{group} {fill:?}"), GroupRmsNorm { groups, eps: 1e-5 }, rows, vec![x, w])
    };
    vec![
        case(1, 1, 1, Fill::uniform(1, 1.0)),
        case(2, 2, 255, Fill::uniform(1, 1e-4)),
        case(3, 3, 256, Fill::uniform(1, 1e4)),
        case(2, 2, 257, Fill::Constant(0.0)),
        case(2, 8, 5, Fill::Constant(3.0)),
        case(33_000, 2, 3, Fill::uniform(1, 1.0)).thorough(),
    ]
}
