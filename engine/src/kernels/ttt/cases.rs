//! The cases of both TTT layers.

use super::super::lr_gate::LrGate;
use super::super::*;
use super::{Front, Geometry};

/// Runs one after the other: of each sequence the position before, and the tokens.
type Runs = [&'static [(u32, u32)]];

const fn heads_of(heads: usize, head_dim: usize, mini_batch: usize) -> Geometry {
    Geometry { heads, head_dim, mini_batch }
}

/// Heads and runs that every kernel which takes its operands as given is checked with.
pub(in super::super) const GIVEN: [(Geometry, &Runs); 11] = [
    (heads_of(1, 4, 1), &[&[(0, 1)], &[(1, 3)]]),
    (heads_of(2, 8, 16), &[&[(0, 1)], &[(1, 14)], &[(15, 1)], &[(16, 33)]]),
    (heads_of(1, 12, 7), &[&[(3, 9)], &[(12, 1)], &[(13, 20)]]),
    (heads_of(2, 16, 16), &[&[(5, 2), (0, 0), (15, 1)], &[(7, 30), (0, 16), (16, 17)]]),
    (heads_of(1, 64, 16), &[&[(0, 16)], &[(16, 5)], &[(21, 12)]]),
    (heads_of(2, 64, 64), &[&[(0, 70)], &[(70, 57)], &[(127, 2)]]),
    (heads_of(1, 96, 16), &[&[(0, 17)], &[(17, 15)]]),
    (heads_of(1, 128, 40), &[&[(0, 9)], &[(9, 31)], &[(40, 39)], &[(79, 3)]]),
    (heads_of(1, 100, 5), &[&[(20_000, 13)]]),
    (heads_of(3, 20, 64), &[&[(63, 3)], &[(66, 1)]]),
    (heads_of(2, 8, 3), &[&[(1, 1), (2, 9), (4, 0), (0, 7)], &[(2, 11), (11, 1), (4, 8), (7, 2)]]),
];

/// Tokens of the largest of these runs.
pub(in super::super) fn most_tokens(runs: &[&[(u32, u32)]]) -> usize {
    runs.iter().map(|run| run.iter().map(|r| r.1).sum::<u32>()).max().unwrap_or(0) as usize
}

/// A case of heads with these runs, which a `with` tells from others.
pub(in super::super) fn case_of(op: Op, geometry: &Geometry, inputs: Vec<CaseInput>, runs: &[&[(u32, u32)]], with: &str) -> Case {
    let &Geometry { heads, head_dim, mini_batch } = geometry;
    let rows = most_tokens(runs);
    let sequence = |&(position, n): &(u32, u32)| Sequence::new(position, n);
    let steps = runs.iter().map(|run| Step::new(run.iter().map(sequence).collect())).collect();
    let name = format!("{heads} heads of {head_dim}, mini-batch {mini_batch}, {runs:?}{with}");
    let case = Case::new(name, op, rows, inputs).steps(steps).bound(3e-4);
    if geometry.width() * rows > 1500 { case.thorough() } else { case }
}

/// The same for a layer, or its state pass, with its operands given, and with so many elements of a head's fast weights and of an open row.
pub(in super::super) fn given_case(
    op: Op,
    geometry: &Geometry,
    (fast, row): (usize, usize),
    runs: &[&[(u32, u32)]],
    with: &str,
) -> Case {
    let &Geometry { heads, mini_batch, .. } = geometry;
    let (rows, width, states) = (most_tokens(runs), geometry.width(), runs[0].len() * heads);
    let state = |width, fill| CaseInput::state(Desc::fixed(DType::F32, &[states, width]), fill);
    let params = Desc::fixed(DType::F32, &[geometry.params_len()]);
    let inputs = vec![
        CaseInput::activation(Desc::tokens(rows, 2 * width), Fill::uniform(1, 1.0)),
        CaseInput::activation(Desc::tokens(rows, width), Fill::uniform(2, 1.0)),
        CaseInput::activation(Desc::tokens(rows, heads), Fill::Uniform { seed: 3, base: 0.5, amplitude: 0.5 }),
        CaseInput::weight(params, Fill::Uniform { seed: 4, base: 0.0, amplitude: 1.0 }),
        state(fast, Fill::uniform(5, 0.3)),
        state(mini_batch * row, Fill::uniform(6, 0.3)),
    ];
    case_of(op, geometry, inputs, runs, with)
}

/// Cases of either layer; `op` gives the op, with or without its probe, and the widths of its states.
pub(in super::super) fn cases(op: impl Fn(Geometry, bool, Option<Front>) -> (Op, usize, usize)) -> Vec<Case> {
    let made = |probe, geometry: Geometry, runs: &Runs| {
        let (op, fast, row) = op(geometry, probe, None);
        given_case(op, &geometry, (fast, row), runs, if probe { " with the probe" } else { "" })
    };
    let probed = |heads, head_dim, mini_batch, runs: &Runs| made(true, heads_of(heads, head_dim, mini_batch), runs);
    let fronted = |heads: usize, head_dim: usize, mini_batch: usize, taps: Option<usize>, runs: &Runs| {
        let geometry = Geometry { heads, head_dim, mini_batch };
        let width = geometry.width();
        // v first, then what another kernel reads, the gate's logits, and the value that is filtered (or q and k).
        let qk = width + heads + 3;
        let front = Front {
            qk,
            v: 0,
            lr: width + 3,
            taps,
            interleaved: head_dim.is_multiple_of(8),
            gate: LrGate { scale: 1.0 / head_dim as f32 },
        };
        let (op, fast, row) = op(geometry, false, Some(front.clone()));
        let (sequences, rows) = (runs[0].len(), most_tokens(runs));
        let state = |desc: &[usize], fill| CaseInput::state(Desc::fixed(DType::F32, desc), fill);
        let vector = |n: usize, seed, amplitude| CaseInput::weight(Desc::fixed(DType::F32, &[n]), Fill::uniform(seed, amplitude));
        let mut inputs = vec![
            CaseInput::activation(Desc::tokens(rows, qk + 2 * width), Fill::uniform(1, 1.0)),
            vector(front.params_len(&geometry), 4, 1.0),
            vector(mini_batch * head_dim, 2, 1.0),
            state(&[sequences * heads, fast], Fill::uniform(5, 0.3)),
            state(&[sequences * heads, mini_batch * row], Fill::uniform(6, 0.3)),
        ];
        inputs.extend(taps.map(|taps| state(&[sequences, taps - 1, width], Fill::uniform(7, 1.0))));
        let sequence = |&(position, n): &(u32, u32)| Sequence { learning: 0.75, ..Sequence::new(position, n) };
        let steps = runs.iter().map(|run| Step::new(run.iter().map(sequence).collect())).collect();
        let name = format!("{heads} heads of {head_dim}, mini-batch {mini_batch}, {runs:?}, made inside with taps {taps:?}");
        Case::new(name, op, rows, inputs).steps(steps).bound(3e-4)
    };
    let mut cases = vec![
        fronted(1, 4, 1, None, &[&[(0, 1)], &[(1, 2)]]),
        fronted(2, 8, 16, Some(4), &[&[(14, 1)], &[(15, 1)], &[(16, 5)]]),
        fronted(2, 20, 3, Some(2), &[&[(5, 2), (0, 0), (15, 1)], &[(7, 1), (0, 3), (16, 0)]]),
        fronted(1, 64, 16, Some(4), &[&[(0, 1)], &[(1, 1)]]),
        fronted(1, 128, 5, Some(16), &[&[(3, 3)]]),
    ];
    cases.extend(GIVEN.map(|(geometry, runs)| made(false, geometry, runs)));
    cases.extend([
        probed(2, 4, 1, &[&[(0, 1)], &[(1, 3)]]),
        probed(2, 8, 16, &[&[(0, 1)], &[(1, 14)], &[(15, 1)], &[(16, 33)]]),
        probed(2, 16, 16, &[&[(5, 2), (0, 0), (15, 1)], &[(7, 30), (0, 16), (16, 17)]]),
        probed(1, 64, 40, &[&[(9, 30)], &[(39, 1)], &[(40, 85)]]),
        probed(2, 100, 13, &[&[(20_000, 30)], &[(20_030, 2)]]),
    ]);
    cases
}
