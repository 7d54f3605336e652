//! Random rows of whole vocabularies: what the filters keep and what is drawn, on both devices.

use fastweight::device::Device;
use fastweight::kernels::Fill;
use fastweight::kernels::sample::{self, MAX_VOCABULARY};
use fastweight::step::Sequence;
use fastweight::tensor::{DType, Desc};
use fastweight_tests::{Random, software};

use super::device::Sampler;
use super::{Options, PLAIN, oracle};

/// The vocabularies of Llama 2 and Llama 3.
const VOCABULARIES: [usize; 2] = [32_000, 128_256];

/// A row, how it is drawn from, and what it is about.
struct Row {
    logits: Vec<f32>,
    options: Options,
    position: u32,
    about: String,
}

impl Row {
    fn random(random: &mut Random, vocabulary: usize) -> Row {
        let seed = random.bits() as u32;
        let amplitude = *random.pick(&[1e-3f32, 1.0, 8.0, 30.0, 1e4]);
        let fill = Fill::uniform(seed, amplitude);
        let mut logits: Vec<f32> = (0..vocabulary).map(|i| fill.value(i)).collect();
        let kind = *random.pick(&["rough", "rough", "steps", "peaked", "rising", "equal", "zeros"]);
        match kind {
            // Many candidates share a logit: ties everywhere.
            "steps" => logits.iter_mut().for_each(|x| *x = (*x / amplitude * 8.0).round() * amplitude / 8.0),
            "peaked" => logits[seed as usize % vocabulary] += 2.0 * amplitude,
            "rising" => logits.sort_by(f32::total_cmp),
            "equal" => logits.fill(amplitude),
            "zeros" => logits.iter_mut().for_each(|x| *x = if *x > 0.0 { 0.0 } else { -0.0 }),
            _ => {}
        }
        let v = vocabulary as u32;
        let options = Options {
            temperature: *random.pick(&[0.0, 0.1, 0.7, 1.0, 1.5, 50.0]),
            top_k: *random.pick(&[0, 0, 1, 2, 40, 1000, v - 1, v, v + 7]),
            top_p: *random.pick(&[1.0, 1.0, 1e-9, 0.1, 0.5, 0.9, 0.95, 0.9999]),
            min_p: *random.pick(&[0.0, 0.0, 1e-4, 0.05, 0.5, 1.0]),
            seed: random.bits() as u32,
        };
        let position = random.within(0, 100_000) as u32;
        let about = format!("{vocabulary} {kind} of ±{amplitude} (fill {seed}) at {position}: {options:?}");
        Row { logits, options, position, about }
    }

    fn record(&self) -> Sequence {
        self.options.record(self.position)
    }
}

/// Checks the number kept by top-k and top-p against f64, where the fixed point of the weights can't decide.
fn expect_kept(row: &Row, kept: u32) -> Result<(), String> {
    let Options { temperature, top_k, top_p, .. } = row.options;
    let kept = kept as usize;
    if temperature == 0.0 {
        return if kept == 1 { Ok(()) } else { Err(format!("kept {kept} at temperature 0")) };
    }
    let shares = oracle::shares(&row.logits, temperature, top_k);
    if top_p >= 1.0 {
        let all = shares.sorted.len();
        return if kept == all { Ok(()) } else { Err(format!("kept {kept} of {all}")) };
    }
    // Each weight is off by half a unit of 2⁻²⁸ of the largest, and by the rounding of its exponent in f32.
    let largest_logit = row.logits.iter().fold(0f32, |m, x| m.max(x.abs()));
    let exponent = f64::from(largest_logit) / temperature * 2f64.powi(-23);
    let slack = 2f64.powi(-28) * shares.sorted.len() as f64 * shares.sorted[0] + 2.0 * exponent.min(1.0) + 1e-9;
    let before = if kept > 1 { shares.running[kept - 2] } else { 0.0 };
    if shares.running[kept - 1] > top_p - slack && before <= top_p + slack {
        return Ok(());
    }
    Err(format!("kept {kept}, which hold {} of {top_p}; one fewer {before}", shares.running[kept - 1]))
}

#[test]
fn a_thousand_rows_are_filtered_and_drawn_from_as_by_a_host_sort() {
    let mut random = Random::new();
    let mut failures = Vec::new();
    let mut sizes = std::collections::BTreeSet::new();
    for i in 0..1000 {
        let row = Row::random(&mut random, VOCABULARIES[usize::from(i % 8 == 0)]);
        let (id, kept) = sample::draw(&row.logits, &row.record());
        let wanted = oracle::draw(&row.logits, &row.record());
        if (id, kept) != wanted {
            failures.push(format!("{}: drew {id} of {kept}, wanted {wanted:?}", row.about));
        }
        if let Err(problem) = expect_kept(&row, kept) {
            failures.push(format!("{}: {problem}", row.about));
        }
        sizes.insert(kept);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(sizes.len() > 50, "the rows keep sets of only {} sizes", sizes.len());
}

/// Draws from random rows on a device, and compares the whole record.
fn expect_records(device: &Device, vocabulary: usize, rows: usize) {
    let mut random = Random::new();
    let rows: Vec<Row> = (0..rows).map(|_| Row::random(&mut random, vocabulary)).collect();
    let given: Vec<_> = rows.iter().map(|r| (&r.logits[..], r.record())).collect();
    let found = Sampler::new(device, vocabulary, rows.len()).draw(&given);
    let mut failures = Vec::new();
    for (row, found) in rows.iter().zip(found) {
        let (id, kept) = oracle::draw(&row.logits, &row.record());
        if found != [id, 1, kept, 0] {
            failures.push(format!("{}: {found:?}, wanted {:?}", row.about, [id, 1, kept, 0]));
        }
    }
    assert!(failures.is_empty(), "{} failures on {}:\n{}", failures.len(), device.name(), failures.join("\n"));
}

#[test]
fn the_cpu_device_draws_the_same() {
    VOCABULARIES.into_iter().for_each(|vocabulary| expect_records(&Device::cpu(), vocabulary, 70));
}

#[test]
fn the_software_gpu_draws_the_same() {
    expect_records(&software(), VOCABULARIES[0], 128);
    expect_records(&software(), VOCABULARIES[1], 16);
    // Less than a workgroup, and one row over a step's sequences.
    expect_records(&software(), 100, 65);
}

#[test]
fn a_flat_row_of_the_largest_vocabulary_is_drawn_from() {
    // Every candidate weighs the same, so that each pass of the search has all of them to weigh: the most work there is.
    let row = vec![30.0; MAX_VOCABULARY];
    let options = Options { top_k: 250_000, top_p: 0.9, min_p: 0.1, seed: 5, ..PLAIN };
    let rows: Vec<_> = (0..2).map(|position| (&row[..], options.record(position))).collect();
    for device in [Device::cpu(), software()] {
        let found = Sampler::new(&device, MAX_VOCABULARY, rows.len()).draw(&rows);
        for (found, (row, record)) in found.into_iter().zip(&rows) {
            let (id, kept) = oracle::draw(row, record);
            assert_eq!(found, [id, 1, kept, 0], "on {}", device.name());
        }
    }
}

#[test]
fn keys_sort_as_floats_do() {
    let mut random = Random::new();
    let words = Fill::uniform(random.bits() as u32, 10.0).words(&Desc::fixed(DType::F32, &[500, 1]));
    let mut floats: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
    floats.extend([0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45, -1e-45, 1.0, -1.0]);
    for a in &floats {
        for b in &floats {
            let keys = sample::sort_key(*a).cmp(&sample::sort_key(*b));
            assert_eq!(keys, a.partial_cmp(b).expect("numbers"), "{a} and {b}");
        }
    }
}
