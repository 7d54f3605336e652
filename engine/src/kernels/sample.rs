//! Draws the next token of each sequence from its logits, exactly and the same on every device: past the logits all is
//! integer arithmetic or a single correctly rounded operation.

use super::*;
use crate::step::MAX_RUNS;

/// Temperature, top-k, top-p and min-p, in this order, then the draw; arg-max where the sequence's `sharpness` is 0.
///
/// Candidates are ordered by logit, ties by id (the lower first), so that each filter keeps a prefix. A candidate's weight is
/// e^((x − max) / temperature) in 28-bit fixed point ([`weight`]); weights are summed exactly in 64 bits.
///
/// Inputs: logits `[sequences, vocabulary]`, token `[sequences, 1]` (u32, updated to the drawn id).
/// Outputs: record `[sequences, 16 · 4]` (u32: the drawn id; 1 if all logits were finite; candidates kept by top-k and top-p; 0), token. A run writes
/// the four words at the sequence's position modulo 16 and leaves the others, so that the host reads the draws of all runs of a submit at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample;

/// The most tokens of a vocabulary: weights of 2²⁸ in halves of 14 bits then sum within 32 bits each.
pub const MAX_VOCABULARY: usize = 1 << 18;

/// Words of a draw's record.
pub const RECORD: usize = 4;

/// The first word of the record of the draw that sequence `s` made at `position`.
pub fn record_at(s: usize, position: u32) -> usize {
    (s * MAX_RUNS + position as usize % MAX_RUNS) * RECORD
}

/// Weight of the likeliest candidate.
pub const ONE: u32 = (1 << 28) - 1;

/// Checks that the first input holds logits.
pub(super) fn expect_logits(inputs: &[&Desc]) -> Result<(), OpError> {
    let d = inputs[0];
    if d.dtype == DType::F32 && d.axis == Axis::Sequences && d.width() <= MAX_VOCABULARY {
        return Ok(());
    }
    Err(OpError::input(inputs, 0, format!("f32 with a row a sequence of at most {MAX_VOCABULARY}")))
}

/// An integer with the order of the floats; both zeros are one.
pub fn sort_key(x: f32) -> u32 {
    let bits = if x == 0.0 { 0 } else { x.to_bits() };
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// 2^−y in units of 2⁻²⁸, rounded to nearest, y ≥ 0 in the f32 that subtraction and one product gave.
pub fn weight(y: f32) -> u32 {
    if y >= 29.0 {
        return 0;
    }
    let t = (y * (1 << 26) as f32) as u32;
    let (whole, fraction) = (t >> 26, t << 6);
    // e^−a for a = fraction · ln 2 in 32 bits after the point, by the Taylor series in Horner's form, in units of 2⁻³¹.
    let mul = |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32;
    let a = mul(fraction, 0xb172_17f8);
    let mut r = 1u32 << 31;
    for n in (1..=10).rev() {
        r = (1 << 31) - mul(a, r) / n;
    }
    let shift = whole + 3;
    ((r + (1 << (shift - 1))) >> shift).min(ONE)
}

/// The random number of a draw: the finaliser of MurmurHash3 over seed and position.
pub fn random(seed: u32, position: u32) -> u32 {
    let mut h = position.wrapping_mul(0x9e37_79b1) ^ seed.wrapping_mul(0x85eb_ca77);
    for _ in 0..2 {
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 16)).wrapping_add(seed);
    }
    h
}

/// The drawn id and the number of candidates that top-k and top-p kept.
pub fn draw(logits: &[f32], record: &Sequence) -> (u32, u32) {
    let order = |a: &u32, b: &u32| {
        let key = |i: &u32| sort_key(logits[*i as usize]);
        key(b).cmp(&key(a)).then(a.cmp(b))
    };
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let best = *ids.iter().min_by(|a, b| order(a, b)).expect("a vocabulary is never empty");
    if record.sharpness == 0.0 {
        return (best, 1);
    }
    let max = logits[best as usize];
    let weigh = |id: &u32| u64::from(weight((max - logits[*id as usize]) * record.sharpness));
    let top_k = record.top_k as usize;
    if top_k > 0 && top_k < ids.len() {
        ids.select_nth_unstable_by(top_k - 1, order);
        ids.truncate(top_k);
    }
    ids.sort_unstable_by(order);
    // The first candidate whose running sum passes `threshold`.
    let passes = |ids: &[u32], threshold: u64| {
        let mut sum = 0;
        ids.iter().position(|id| {
            sum += weigh(id);
            sum > threshold
        })
    };
    if record.top_p > 0 {
        let total: u64 = ids.iter().map(weigh).sum();
        let threshold = ((u128::from(total) * u128::from(record.top_p)) >> 32) as u64;
        let last = passes(&ids, threshold).expect("the threshold is below the total");
        ids.truncate(last + 1);
    }
    let kept = ids.len() as u32;
    if record.min_p_drop >= 0.0 {
        ids.retain(|id| max - logits[*id as usize] <= record.min_p_drop);
    }
    let total: u64 = ids.iter().map(weigh).sum();
    let random = random(record.seed, record.position + record.count);
    let threshold = ((u128::from(total) * u128::from(random)) >> 32) as u64;
    (ids[passes(&ids, threshold).expect("the threshold is below the total")], kept)
}

impl Kernel for Sample {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        expect_logits(inputs)?;
        let token = inputs[1];
        if token.dtype != DType::U32 || token.axis != Axis::Fixed || token.width() != 1 {
            return Err(OpError::input(inputs, 1, "u32[sequences, 1]"));
        }
        Ok(vec![inputs[0].with_width(RECORD * MAX_RUNS).of(DType::U32), token.clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(1, 1)]
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let grid = Grid(vec![Extent::new(Live::Sequences, 1)]);
        vec![Launch::new("sample", grid).bind(&["logits", "record", "token"]).size("VOCABULARY", io.inputs[0].desc.width())]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let logits = args.inputs[0];
        let [record, token] = &mut args.outputs[..] else { unreachable!("two outputs") };
        for (s, sequence) in args.step.sequences.iter().enumerate() {
            let logits = logits.row(s);
            let finite = logits.iter().all(|x| x.is_finite());
            let (id, kept) = if finite { draw(logits, sequence) } else { (0, 0) };
            record.u32s()[record_at(s, sequence.position)..][..RECORD].copy_from_slice(&[id, u32::from(finite), kept, 0]);
            token.u32s()[s] = id;
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let least = io.least_bytes();
        // One pass for the largest, then up to seven a filter and seven for the draw.
        Cost { operations: 0.0, least, moved: 22.0 * least }
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |vocabulary: usize, fill, change: fn(&mut Sequence)| {
        let logits = CaseInput::activation(Desc::sequences(3, vocabulary), fill);
        let token = CaseInput::state(Desc::fixed(DType::U32, &[3, 1]), Fill::Constant(0.0));
        let mut sequences: Vec<_> = (0..3).map(|i| Sequence { seed: 77 + i, ..Sequence::new(40 * i, 1) }).collect();
        sequences.iter_mut().for_each(change);
        let step = Step::new(sequences);
        let name = format!("{vocabulary} {fill:?} {:?}", step.sequences[0]);
        Case::new(name, Sample, 3, vec![logits, token]).steps(vec![step]).bound(0.0)
    };
    let rough = Fill::uniform(5, 8.0);
    vec![
        case(1, rough, |s| s.sharpness = 1.0),
        case(255, rough, |_| ()),
        case(256, Fill::Constant(-2.0), |_| ()),
        case(257, rough, |s| s.sharpness = 1.44),
        case(1000, Fill::Constant(1.0), |s| (s.sharpness, s.top_k) = (1.0, 10)),
        case(1000, Fill::Constant(1.0), |s| (s.sharpness, s.top_p) = (1.0, 1 << 31)),
        case(1000, rough, |s| (s.sharpness, s.top_k, s.top_p) = (1.8, 40, 0xe666_6666)),
        case(5000, Fill::uniform(5, 1e-3), |s| (s.sharpness, s.top_p, s.min_p_drop) = (0.1, 0xf333_3333, 9e-4)),
        case(5000, Fill::uniform(5, 1e6), |s| s.sharpness = 14.4),
        case(32_000, rough, |s| (s.sharpness, s.top_k) = (1.44, 31_999)).thorough(),
    ]
}
