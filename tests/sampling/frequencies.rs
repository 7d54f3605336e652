//! Draws against chance: how often each candidate comes, and whether one draw tells of the next.

use fastweight::kernels::Fill;
use fastweight::kernels::sample::{draw, random};

use super::{Options, PLAIN, oracle};

/// Draws of each check.
const DRAWS: u32 = 20_000;

/// The value that a chi-square statistic passes with a probability of 1e-4 (Wilson and Hilferty).
fn critical(freedom: usize) -> f64 {
    const Z: f64 = 3.719;
    let n = freedom as f64;
    n * (1.0 - 2.0 / (9.0 * n) + Z * (2.0 / (9.0 * n)).sqrt()).powi(3)
}

/// Fails if `counts` are too far from `shares` of their sum. Cells that expect fewer than five are taken together.
fn expect_shares(about: &str, counts: &[u32], shares: &[f64]) -> Result<(), String> {
    let draws: u32 = counts.iter().sum();
    let (mut cells, mut rare) = (Vec::new(), (0.0, 0.0));
    for (count, share) in counts.iter().zip(shares) {
        let (count, expected) = (f64::from(*count), share * f64::from(draws));
        if expected < 5.0 {
            rare = (rare.0 + count, rare.1 + expected);
        } else {
            cells.push((count, expected));
        }
    }
    if rare.1 >= 5.0 {
        cells.push(rare);
    }
    let statistic: f64 = cells.iter().map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    let most = critical(cells.len() - 1);
    if statistic < most { Ok(()) } else { Err(format!("{about}: {statistic:.1} over {most:.1} for {} cells", cells.len())) }
}

fn expect_none(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Logits of a few candidates, and their probabilities by id.
fn candidates(seed: u32, n: usize, temperature: f64) -> (Vec<f32>, Vec<f64>) {
    let logits: Vec<f32> = (0..n).map(|i| Fill::uniform(seed, 1.5).value(i)).collect();
    let exp: Vec<f64> = logits.iter().map(|x| (f64::from(*x) / temperature).exp()).collect();
    let total: f64 = exp.iter().sum();
    (logits, exp.iter().map(|e| e / total).collect())
}

const SEEDS: [u32; 6] = [0, 1, 2, 12_345, 0x8000_0000, u32::MAX];

#[test]
fn the_critical_values_are_those_of_the_tables() {
    for (freedom, wanted) in [(5, 25.745), (9, 33.720), (14, 42.579), (35, 74.926), (255, 347.654)] {
        assert!((critical(freedom) / wanted - 1.0).abs() < 0.025, "{freedom}: {}, wanted {wanted}", critical(freedom));
    }
}

#[test]
fn candidates_come_as_often_as_they_are_likely() {
    let mut failures = Vec::new();
    for (i, seed) in SEEDS.into_iter().enumerate() {
        for temperature in [0.4, 1.0, 2.5] {
            let n = 10 + 2 * i;
            let (logits, shares) = candidates(seed ^ 77, n, temperature);
            let options = Options { temperature, seed, ..PLAIN };
            let mut counts = vec![0; n];
            (0..DRAWS).for_each(|position| counts[draw(&logits, &options.record(position)).0 as usize] += 1);
            failures.extend(expect_shares(&format!("seed {seed} at {temperature}"), &counts, &shares).err());
        }
    }
    expect_none(failures);
}

#[test]
fn what_the_filters_leave_comes_as_often_as_it_is_likely() {
    let mut failures = Vec::new();
    for seed in SEEDS {
        let (logits, _) = candidates(seed ^ 5, 20, 1.0);
        let options = Options { top_k: 12, top_p: 0.9, min_p: 0.2, seed, ..PLAIN };
        let mut by_rank: Vec<usize> = (0..20).collect();
        by_rank.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        // The filters in their order, in f64.
        let shares = oracle::shares(&logits, 1.0, 12);
        let kept = 1 + shares.running.iter().position(|sum| *sum > 0.9).expect("they reach one");
        let left: Vec<f64> = shares.sorted[..kept].iter().copied().take_while(|p| *p >= 0.2 * shares.sorted[0]).collect();
        assert!(left.len() > 2 && left.len() < 20, "the filters do something");
        let total: f64 = left.iter().sum();
        let wanted: Vec<f64> = left.iter().map(|p| p / total).collect();
        let mut counts = vec![0; left.len()];
        for position in 0..DRAWS {
            let (id, found) = draw(&logits, &options.record(position));
            assert_eq!(found as usize, kept, "kept with seed {seed}");
            let rank = by_rank.iter().position(|i| *i == id as usize).expect("an id");
            *counts.get_mut(rank).unwrap_or_else(|| panic!("seed {seed} drew rank {rank} of {}", left.len())) += 1;
        }
        failures.extend(expect_shares(&format!("seed {seed}"), &counts, &wanted).err());
    }
    expect_none(failures);
}

/// Checks that two draws are independent: `pair` gives the step values of the nth two.
fn expect_independent(about: &str, pair: impl Fn(u32) -> [(u32, u32); 2]) -> Result<(), String> {
    const N: usize = 6;
    let (logits, shares) = candidates(3, N, 1.0);
    let mut counts = vec![0; N * N];
    for i in 0..DRAWS {
        let [a, b] = pair(i).map(|(seed, position)| draw(&logits, &Options { seed, ..PLAIN }.record(position)).0 as usize);
        counts[a * N + b] += 1;
    }
    let both: Vec<f64> = shares.iter().flat_map(|a| shares.iter().map(move |b| a * b)).collect();
    expect_shares(about, &counts, &both)
}

#[test]
fn one_draw_tells_nothing_of_another() {
    let mut failures = Vec::new();
    for seed in SEEDS {
        let next = seed.wrapping_add(1);
        let apart = |by: u32| move |i: u32| [(seed, 2 * by * (i / by) + i % by), (seed, 2 * by * (i / by) + i % by + by)];
        failures.extend(expect_independent(&format!("consecutive positions, seed {seed}"), apart(1)).err());
        failures.extend(expect_independent(&format!("positions 16 apart, seed {seed}"), apart(16)).err());
        // Sequences of a batch are often given seeds in a row.
        failures.extend(expect_independent(&format!("seeds {seed} and {next}"), |i| [(seed, i), (next, i)]).err());
        // A draw must not be that of the next seed one position earlier.
        failures.extend(expect_independent(&format!("across, seed {seed}"), |i| [(seed, i + 1), (next, i)]).err());
    }
    expect_none(failures);
}

#[test]
fn random_numbers_fill_their_range_evenly() {
    let mut failures = Vec::new();
    for seed in SEEDS {
        for (about, shift) in [("highest", 24), ("middle", 12), ("lowest", 0)] {
            let (mut by_position, mut by_seed) = (vec![0; 256], vec![0; 256]);
            for i in 0..4 * DRAWS {
                by_position[(random(seed, i) >> shift & 255) as usize] += 1;
                by_seed[(random(i, seed) >> shift & 255) as usize] += 1;
            }
            let even = vec![1.0 / 256.0; 256];
            failures.extend(expect_shares(&format!("{about} bits by position, seed {seed}"), &by_position, &even).err());
            failures.extend(expect_shares(&format!("{about} bits by seed, position {seed}"), &by_seed, &even).err());
        }
    }
    expect_none(failures);
}
