//! The loss of each token, so that logits need not leave the device.

use rayon::prelude::*;

use super::*;

/// `loss[t] = log Σᵥ exp(logits[t, v]) − logits[t, target[t]]`, in nats. Inputs: logits `[tokens, vocabulary]`, targets `[tokens]` (u32).
/// A target outside the vocabulary gives 0. Output: `[tokens, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy;

impl Kernel for CrossEntropy {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let (logits, targets) = (inputs[0], inputs[1]);
        if logits.dtype != DType::F32 {
            return Err(OpError::input(inputs, 0, "f32"));
        }
        if targets.dtype != DType::U32 || targets.width() != 1 || targets.rows() != logits.rows() || targets.axis != logits.axis {
            return Err(OpError::input(inputs, 1, logits.with_width(1).of(DType::U32).to_string()));
        }
        Ok(vec![logits.with_width(1)])
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let x = &io.inputs[0];
        let launch = rowwise("cross_entropy", &x.desc).bind(&["logits", "targets", "loss"]).part("workgroup_sum").part("workgroup_max");
        vec![launch.size("X_STRIDE", x.stride).size("X_OFFSET", x.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let [logits, targets] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let losses = args.outputs[0].rows(logits.live(args.step));
        losses.par_iter_mut().enumerate().for_each(|(r, loss)| {
            let x = logits.row(r);
            let max = x.iter().copied().fold(f32::MIN, f32::max);
            // One after the other, the small terms of a large vocabulary would vanish beside a sum in f32.
            let sum: f64 = x.iter().map(|x| f64::from((x - max).exp())).sum();
            *loss = x.get(targets.u32s()[r] as usize).map_or(0.0, |target| sum.ln() as f32 + (max - target));
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        let least = io.least_bytes();
        let logits = (io.inputs[0].desc.len() * 4) as f64;
        Cost { operations: 4.0 * io.inputs[0].desc.len() as f64, least, moved: least + logits }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |rows, vocabulary: usize, fill| {
        let logits = CaseInput::activation(Desc::tokens(rows, vocabulary), fill);
        let below = Fill::Below { seed: 2, n: vocabulary as u32 + 1 };
        let targets = CaseInput::activation(Desc::tokens(rows, 1).of(DType::U32), below);
        Case::new(format!("{rows}x{vocabulary} {fill:?}"), CrossEntropy, rows, vec![logits, targets])
    };
    vec![
        case(1, 1, Fill::Constant(-5.0)),
        case(3, 255, Fill::uniform(1, 10.0)),
        case(4, 256, Fill::Constant(1e4)),
        case(4, 257, Fill::uniform(1, 1e4)),
        case(2, 5000, Fill::uniform(1, 1.0)),
        case(3, 150_001, Fill::uniform(1, 5.0)).bound(1e-6).thorough(),
        case(65_600, 4, Fill::uniform(1, 3.0)).thorough(),
    ]
}
