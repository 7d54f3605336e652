//! Drivers that end a shader's loops after so many rounds: what a launch says of its rounds is no less than what it needs.

use fastweight::caps::Caps;
use fastweight::kernels::ttt_linear::TttLinear;
use fastweight::kernels::ttt_linear_states::TttLinearStates;
use fastweight::kernels::ttt_mlp::TttMlp;
use fastweight::kernels::{Case, CaseInput, Fill, Geometry, Io, Op};
use fastweight::tensor::{DType, Desc};
use fastweight_tests::software;

use super::report;

/// A head that walks along `tokens` tokens.
fn walk(op: &Op, geometry: &Geometry, fast: usize, row: usize, tokens: usize) -> Case {
    let (width, tokens_of) = (geometry.width(), |width| Desc::tokens(tokens, width));
    let state = |width| CaseInput::state(Desc::fixed(DType::F32, &[geometry.heads, width]), Fill::uniform(5, 0.1));
    let inputs = vec![
        CaseInput::activation(tokens_of(2 * width), Fill::uniform(1, 0.3)),
        CaseInput::activation(tokens_of(width), Fill::uniform(2, 0.3)),
        CaseInput::activation(tokens_of(geometry.heads), Fill::Uniform { seed: 3, base: 0.02, amplitude: 0.02 }),
        CaseInput::weight(Desc::fixed(DType::F32, &[geometry.params_len()]), Fill::uniform(4, 1.0)),
        state(fast),
        state(geometry.mini_batch * row),
    ];
    Case::new(format!("{tokens} tokens, {geometry:?}"), op.clone(), tokens, inputs).bound(1e-3)
}

/// Rounds that each variant of a case says it needs on a device with `caps`.
pub(super) fn rounds(case: &Case, caps: &Caps) -> Vec<u64> {
    let inputs: Vec<&Desc> = case.inputs.iter().map(|i| &i.desc).collect();
    let io = Io::whole(&case.op, &inputs).expect("shapes fit");
    case.op.kernel().variants(&io, caps).iter().map(|v| v.rounds).collect()
}

#[test]
fn runs_as_long_as_the_driver_lets_them_are_right() {
    let device = software();
    let caps = device.caps();
    let mut cases = Vec::new();
    let shapes = [(1, 64, 1), (1, 128, 16), (1, 32, 64), (1, 8, 7)];
    let probed = [(1, 64, 1, true), (1, 32, 64, true)];
    for (heads, head_dim, mini_batch, probe) in shapes.into_iter().map(|(h, d, b)| (h, d, b, false)).chain(probed) {
        let geometry = Geometry { heads, head_dim, mini_batch };
        let (linear, mlp) = (TttLinear { geometry, probe, front: None }, TttMlp { geometry, probe, front: None });
        let (fast, row) = (TttLinear::fast_len(&geometry), TttLinear::row_len(&geometry));
        let states = (!probe).then(|| (TttLinearStates { geometry }.into(), fast, row));
        let layers = [(Op::from(linear), fast, row), (Op::from(mlp), TttMlp::fast_len(&geometry), TttMlp::row_len(&geometry))];
        for (op, fast, row) in layers.into_iter().chain(states) {
            // For each variant, about the most tokens that it may take (within what a slow device does in a test).
            let one = rounds(&walk(&op, &geometry, fast, row, 1), caps);
            for variant in 0..one.len() {
                let fits = |n: &usize| rounds(&walk(&op, &geometry, fast, row, *n), caps)[variant] <= caps.loop_rounds;
                let tokens = (1..=48).map(|n| 16 * n).filter(fits).max().expect("a mini-batch fits");
                cases.push((op.name(), walk(&op, &geometry, fast, row, tokens)));
            }
        }
    }
    report(&device, cases);
}
