//! Examples worked out by hand: arg-max, the order of the filters, the repetition penalty, logits that are no numbers.

use std::collections::BTreeSet;

use fastweight::device::Device;
use fastweight::kernels::sample::draw;
use fastweight::step::{HISTORY, Sequence};
use fastweight_tests::software;

use super::device::{Sampler, penalise};

fn both() -> [Device; 2] {
    [Device::cpu(), software()]
}

#[test]
fn temperature_zero_takes_the_largest_and_of_equals_the_lowest() {
    let cases: &[(&[f32], u32)] = &[
        (&[1.0, 3.0, 2.0, 0.0], 1),
        (&[2.0, 5.0, 5.0, 5.0], 1),
        (&[0.0, 0.0, 0.0, 0.0], 0),
        (&[-0.0, 0.0, -0.0, 0.0], 0),
        (&[-3.0, -2.0, -1.0, -1.0], 2),
        (&[-1e38, -3e38, -2e38, -1e38], 0),
        (&[-1.0, -1e-30, -2.0, 0.0], 3),
        (&[f32::MIN, f32::MIN, f32::MIN, f32::MAX], 3),
    ];
    // The filters and the seed have no say.
    let record = Sequence { seed: 9, top_k: 3, top_p: 1 << 31, min_p_drop: 1.0, ..Sequence::new(4, 1) };
    let rows: Vec<_> = cases.iter().map(|(logits, _)| (*logits, record)).collect();
    for device in both() {
        for (found, (logits, id)) in Sampler::new(&device, 4, 64).draw(&rows).into_iter().zip(cases) {
            assert_eq!(found, [*id, 1, 1, 0], "{logits:?} on {}", device.name());
        }
    }
}

/// A share of 2³² for the records.
fn share(p: f64) -> u32 {
    (p * 2f64.powi(32)) as u32
}

#[test]
fn filters_apply_in_their_order() {
    // With a sharpness of 1 each step of a logit halves the weight: 16 8 4 2 1 of 31 here, ids out of order on purpose.
    let logits = [1.0, 4.0, 0.0, 3.0, 2.0];
    let plain = Sequence { sharpness: 1.0, ..Sequence::new(0, 1) };
    let cases: &[(&str, Sequence, u32, &[u32])] = &[
        ("no filter", plain, 5, &[1, 3, 4, 0, 2]),
        ("top-k 3", Sequence { top_k: 3, ..plain }, 3, &[1, 3, 4]),
        ("top-k of all", Sequence { top_k: 5, ..plain }, 5, &[1, 3, 4, 0, 2]),
        ("top-k of more than all", Sequence { top_k: 6, ..plain }, 5, &[1, 3, 4, 0, 2]),
        ("15/31 is passed by the first", Sequence { top_p: share(15.0 / 31.0), ..plain }, 1, &[1]),
        ("17/31 takes two", Sequence { top_p: share(17.0 / 31.0), ..plain }, 2, &[1, 3]),
        ("29/31 takes four", Sequence { top_p: share(29.0 / 31.0), ..plain }, 4, &[1, 3, 4, 0]),
        ("the least share takes one", Sequence { top_p: 1, ..plain }, 1, &[1]),
        ("the largest share takes all", Sequence { top_p: u32::MAX, ..plain }, 5, &[1, 3, 4, 0, 2]),
        // 16 of 31 are not 0.6 of all, but of the first two they are.
        ("0.6 of all", Sequence { top_p: share(0.6), ..plain }, 2, &[1, 3]),
        ("top-k 2 before 0.6", Sequence { top_k: 2, top_p: share(0.6), ..plain }, 1, &[1]),
        // The temperature comes before both: at twice the sharpness the first holds 256 of 341.
        ("temperature before 0.6", Sequence { sharpness: 2.0, top_p: share(0.6), ..plain }, 1, &[1]),
        // Min-p comes last and is not counted: it looks at the logits' distance.
        ("min-p of one step", Sequence { min_p_drop: 1.0, ..plain }, 5, &[1, 3]),
        ("min-p within top-k", Sequence { top_k: 4, min_p_drop: 2.5, ..plain }, 4, &[1, 3, 4]),
        ("min-p of everything", Sequence { min_p_drop: 0.0, ..plain }, 5, &[1]),
        ("min-p wider than top-p", Sequence { top_p: share(17.0 / 31.0), min_p_drop: 9.0, ..plain }, 2, &[1, 3]),
    ];
    let drawn = |records: &[(u32, u32)]| records.iter().map(|r| r.0).collect::<BTreeSet<u32>>();
    for (about, record, kept, ids) in cases {
        // Enough positions for the rarest, one of 31, to come.
        let at = |position| Sequence { position, seed: 5, ..*record };
        let found: Vec<_> = (0..400).map(|position| draw(&logits, &at(position))).collect();
        assert!(found.iter().all(|r| r.1 == *kept), "{about}: kept {}, wanted {kept}", found[0].1);
        assert_eq!(drawn(&found), ids.iter().copied().collect(), "{about}");
        for device in both() {
            let rows: Vec<_> = (0..64).map(|position| (&logits[..], at(position))).collect();
            let records = Sampler::new(&device, 5, 64).draw(&rows);
            let wanted: Vec<_> = found[..64].iter().map(|(id, kept)| [*id, 1, *kept, 0]).collect();
            assert_eq!(records, wanted, "{about} on {}", device.name());
        }
    }
}

#[test]
fn ties_at_the_edge_of_a_filter_keep_the_lower_ids() {
    let logits = [1.0; 6];
    let record = Sequence { sharpness: 1.0, seed: 3, ..Sequence::new(0, 1) };
    for (record, ids) in [
        (Sequence { top_k: 2, ..record }, vec![0, 1]),
        // A third of six equals is two; a share that is met exactly is not passed.
        (Sequence { top_p: share(0.3), ..record }, vec![0, 1]),
        (Sequence { top_p: 1 << 31, ..record }, vec![0, 1, 2, 3]),
        (Sequence { top_k: 5, top_p: share(0.7), ..record }, vec![0, 1, 2, 3]),
    ] {
        let found: Vec<_> = (0..200).map(|position| draw(&logits, &Sequence { position, ..record })).collect();
        let drawn: BTreeSet<u32> = found.iter().map(|f| f.0).collect();
        assert_eq!(drawn, ids.iter().copied().collect(), "{record:?}");
        assert!(found.iter().all(|f| f.1 as usize == ids.len()), "{record:?} kept {}", found[0].1);
    }
}

#[test]
fn repeated_tokens_are_penalised_once() {
    const LOGITS: [f32; 8] = [2.0, -2.0, 0.0, 4.0, -4.0, 1.0, -1.0, 8.0];
    /// Position, tokens in this run, last_n, penalty, the last tokens with the newest last, what is wanted.
    type Row<'a> = (u32, u32, u32, f32, &'a [u32], [f32; 8]);
    let cases: &[Row<'_>] = &[
        (2, 1, 256, 2.0, &[0, 1, 2], [1.0, -4.0, 0.0, 4.0, -4.0, 1.0, -1.0, 8.0]),
        // Twice among them, penalised once.
        (3, 1, 256, 2.0, &[3, 3, 4, 4], [2.0, -2.0, 0.0, 2.0, -8.0, 1.0, -1.0, 8.0]),
        // Only the last two are looked at.
        (3, 1, 2, 2.0, &[0, 1, 5, 6], [2.0, -2.0, 0.0, 4.0, -4.0, 0.5, -2.0, 8.0]),
        // None of them.
        (3, 1, 0, 2.0, &[0, 1, 5, 6], LOGITS),
        // A penalty below one rewards.
        (0, 1, 64, 0.5, &[7], [2.0, -2.0, 0.0, 4.0, -4.0, 1.0, -1.0, 16.0]),
        // A token outside of the vocabulary has no logit.
        (1, 1, 64, 2.0, &[8, 1], [2.0, -4.0, 0.0, 4.0, -4.0, 1.0, -1.0, 8.0]),
        // The session has one token: what the ring holds elsewhere was never seen.
        (0, 1, 256, 2.0, &[7], [2.0, -2.0, 0.0, 4.0, -4.0, 1.0, -1.0, 4.0]),
        // Several tokens in the run, and a ring that has gone round.
        (510, 4, 3, 2.0, &[0, 1, 5, 6], [2.0, -4.0, 0.0, 4.0, -4.0, 0.5, -2.0, 8.0]),
        (20_000, 1, 1, 4.0, &[7], [2.0, -2.0, 0.0, 4.0, -4.0, 1.0, -1.0, 2.0]),
    ];
    for device in both() {
        for (position, count, last_n, penalty, tokens, wanted) in cases {
            // Token 3 wherever nothing was said: it must not be looked at.
            let mut ring = [3; HISTORY];
            let end = (position + count) as usize;
            for (back, token) in tokens.iter().rev().enumerate() {
                ring[(end - 1 - back) % HISTORY] = *token;
            }
            let record = Sequence {
                last_n: *last_n,
                penalty: *penalty,
                inverse_penalty: penalty.recip(),
                ..Sequence::new(*position, *count)
            };
            let found = penalise(&device, &LOGITS, &ring, record);
            assert_eq!(found, wanted, "{tokens:?} at {position}, last {last_n}, on {}", device.name());
        }
    }
}

#[test]
fn logits_that_are_no_numbers_are_reported() {
    const VOCABULARY: usize = 300;
    let smooth: Vec<f32> = (0..VOCABULARY).map(|i| (i % 7) as f32).collect();
    let bad = [
        f32::NAN,
        f32::from_bits(0xffc0_0000),
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffff_ffff),
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let finite = [f32::MAX, f32::MIN, 1e-45, -0.0];
    let with = |value: f32, at: usize| {
        let mut row = smooth.clone();
        row[at] = value;
        row
    };
    for device in both() {
        let mut sampler = Sampler::new(&device, VOCABULARY, 64);
        for sharpness in [0.0, 1.44] {
            let record = Sequence { sharpness, top_k: 40, top_p: share(0.9), ..Sequence::new(7, 1) };
            // First, beyond one workgroup, last; each between two rows of numbers.
            for at in [0, 257, VOCABULARY - 1] {
                let rows: Vec<Vec<f32>> = bad.iter().flat_map(|b| [smooth.clone(), with(*b, at)]).collect();
                let given: Vec<_> = rows.iter().map(|row| (&row[..], record)).collect();
                for (i, found) in sampler.draw(&given).into_iter().enumerate() {
                    let about = format!("{:?} at {at}, sharpness {sharpness}, on {}", bad[i / 2], device.name());
                    if i % 2 == 1 {
                        assert_eq!(found, [0; 4], "{about}");
                    } else {
                        assert_eq!(found[1], 1, "the row beside {about}");
                    }
                }
                let rows: Vec<Vec<f32>> = finite.iter().map(|value| with(*value, at)).collect();
                let given: Vec<_> = rows.iter().map(|row| (&row[..], record)).collect();
                for (found, value) in sampler.draw(&given).into_iter().zip(finite) {
                    assert_eq!(found[1], 1, "{value:e} at {at} is a number on {}", device.name());
                }
            }
        }
    }
}
