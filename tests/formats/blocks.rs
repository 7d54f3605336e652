//! Blocks against PyPI `gguf`, and on devices against the host (`fixtures/gguf/make.py`).

use std::collections::BTreeMap;
use std::sync::Arc;

use fastweight::blocks::{Format, decode, encode};
use fastweight::exec::{Program, States, Weights};
use fastweight::graph::{Graph, Pack};
use fastweight::kernels::embed::Embed;
use fastweight::load::{Checkpoint, MemorySource, TensorInfo, weight_rows};
use fastweight::plan::Plan;
use fastweight::step::{Sequence, Step};
use fastweight::tensor::{DType, Desc};
use fastweight_tests::{devices, fixtures};
use pollster::block_on;

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// For every format, encoded blocks and their values.
fn fixture() -> Vec<(Format, Vec<u8>, Vec<f32>)> {
    let bytes = std::fs::read(fixtures::path("gguf/blocks.bin")).expect("the fixture");
    let mut rest = &bytes[..];
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at(n);
        rest = left;
        taken.to_vec()
    };
    let mut all = Vec::new();
    for format in Format::ALL {
        let (encoded, count) = (take(4), take(4));
        let size = |b: Vec<u8>| u32::from_le_bytes(b.try_into().expect("four bytes")) as usize;
        let (encoded, count) = (size(encoded), size(count));
        all.push((format, take(encoded), floats(&take(count * 4))));
    }
    assert!(rest.is_empty(), "every format's blocks were read");
    all
}

#[test]
fn every_format_decodes_to_the_reference_bit_for_bit() {
    for (format, encoded, wanted) in fixture() {
        assert_eq!(encoded.len() as u64, format.bytes_of(wanted.len()), "{format}");
        let mut found = vec![0.0; wanted.len()];
        decode(format, &encoded, &mut found);
        for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
            assert_eq!(f.to_bits(), w.to_bits(), "{format}, element {i}: {f}, wanted {w}");
        }
    }
}

#[test]
fn numbers_round_as_the_reference_rounds_them() {
    let bytes = std::fs::read(fixtures::path("gguf/rounded.bin")).expect("the fixture");
    let count = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
    let values = floats(&bytes[4..4 + count * 4]);
    let mut rest = &bytes[4 + count * 4..];
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        let mut found = Vec::new();
        encode(dtype, &values, &mut found).expect("every scale fits");
        let wanted;
        (wanted, rest) = rest.split_at(found.len());
        let size = dtype.bytes_of(dtype.block());
        for (b, (f, w)) in found.chunks(size).zip(wanted.chunks(size)).enumerate() {
            assert_eq!(f, w, "{dtype}, block {b}: {:?}", &values[b * 32..][..32]);
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn what_a_type_can_not_hold_is_named() {
    let mut values = vec![1.0; 64];
    values[40] = 1e7;
    for (dtype, wanted) in [
        (DType::F32, Ok(())),
        (DType::BF16, Ok(())),
        (DType::F16, Err(40)),
        (DType::Q8_0, Err(32)),
        (DType::Q4_0, Err(32)),
        (DType::Q4_1, Err(32)),
    ] {
        assert_eq!(encode(dtype, &values, &mut Vec::new()), wanted, "{dtype}");
    }
}

/// The rows of a table as a device hands them out.
fn embedded(device: &fastweight::device::Device, format: Format, encoded: &[u8], dtype: DType, shape: [usize; 2]) -> Vec<f32> {
    let [rows, width] = shape;
    let info = TensorInfo::plain(format, shape.to_vec(), 0, 0);
    let sources: Vec<Box<dyn fastweight::load::Source>> = vec![Box::new(MemorySource::new("blocks", encoded.to_vec()))];
    let checkpoint = Checkpoint { sources, tensors: BTreeMap::from([("table".to_string(), info)]), dtype: None };
    let mut g = Graph::new();
    let ids = g.input("ids", Desc::tokens(1, 1).of(DType::U32));
    let table = g.weight(&["table"], Pack::Stacked, Desc::fixed(dtype, &shape));
    let y = g.node("embed", Embed, &[ids, table]).expect("an embedding");
    g.output("y", y);
    let plan = Arc::new(Plan::new(&g, device.caps()).expect("a plan"));
    let mut weights = Weights::new(device);
    for weight in &plan.weights {
        let mut filling = block_on(weights.fill(weight)).expect("a buffer");
        for (i, part) in weight.parts.iter().enumerate() {
            // A row at a time, as parts and pieces may end anywhere.
            for row in 0..part.count as usize {
                let words = block_on(weight_rows(&checkpoint, weight, part.first as usize + row, 1)).expect("a row");
                filling.write(i, row * weight.desc.row_bytes(), &words);
            }
        }
        filling.finish();
    }
    let program = block_on(Program::new(device, plan.clone(), &weights)).expect("a program");
    let mut states = block_on(States::new(device, &plan.states, &plan, &weights)).expect("no states");
    let step = Step::new(vec![Sequence::new(0, 1)]);
    let mut all = Vec::new();
    for id in 0..rows as u32 {
        let run = program.run(&mut states, &step, &[("ids", &[id])], &[("y", width)]).expect("a run");
        all.extend(block_on(run.finish()).expect("the row").swap_remove(0).into_iter().map(f32::from_bits));
    }
    all
}

#[test]
fn devices_hold_the_values_of_the_host() {
    let mut all = devices();
    // Bindings so small that the table falls into parts.
    let small = fastweight_tests::weakest().with_caps(|caps| (caps.binding_bytes, caps.buffer_bytes) = (700, 700));
    all.push(("software GPU with small bindings", small));
    for (name, device) in all {
        for (format, encoded, wanted) in fixture() {
            let Some(dtype) = format.exact() else { continue };
            // Four rows of plain floats, or rows of five blocks: an odd number.
            let shape = if dtype.is_quantised() { [wanted.len() / 160, 160] } else { [4, wanted.len() / 4] };
            let found = embedded(&device, format, &encoded, dtype, shape);
            for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
                let ulps = (i64::from(f.to_bits()) - i64::from(w.to_bits())).abs();
                let flushed = w.abs() < f32::MIN_POSITIVE && *f == 0.0;
                // Half precision has subnormals of its own; a device may flush them too.
                let small = w.abs() < 2f32.powi(-14) && dtype != DType::F32 && dtype != DType::BF16 && *f == 0.0;
                assert!(ulps <= 1 || flushed || small, "{format} on {name}, element {i}: {f}, wanted {w}");
            }
        }
    }
}

#[test]
fn formats_without_a_type_of_their_own_are_held_in_half_precision() {
    for (format, encoded, wanted) in fixture() {
        if format.exact().is_some() {
            continue;
        }
        assert_eq!(format.held(), DType::F16);
        // The blocks with ordinary scales, one row each; row 3 has the scale 65,504.
        let (len, size) = format.block();
        let [even, extreme] = [4, 9].map(|b: usize| (&encoded[b * size..][..size], &wanted[b * len..][..len]));
        let found = embedded(&fastweight::device::Device::cpu(), format, even.0, DType::F16, [1, len]);
        for (f, w) in found.iter().zip(even.1) {
            assert!((f - w).abs() <= w.abs() * 2f32.powi(-11) + 2f32.powi(-25), "{format}: {f}, wanted {w}");
        }
        let info = TensorInfo::plain(format, vec![1, len], 0, 0);
        let sources: Vec<Box<dyn fastweight::load::Source>> = vec![Box::new(MemorySource::new("blocks", extreme.0.to_vec()))];
        let checkpoint = Checkpoint { sources, tensors: BTreeMap::from([("table".to_string(), info)]), dtype: None };
        let mut g = Graph::new();
        let ids = g.input("ids", Desc::tokens(1, 1).of(DType::U32));
        let table = g.weight(&["table"], Pack::Stacked, Desc::fixed(DType::F16, &[1, len]));
        g.node("embed", Embed, &[ids, table]).map(|y| g.output("y", y)).expect("an embedding");
        let plan = Plan::new(&g, &fastweight::caps::Caps::default()).expect("a plan");
        let found = block_on(weight_rows(&checkpoint, &plan.weights[0], 0, 1)).map(|_| ());
        if extreme.1.iter().any(|x| x.abs() > 65_520.0) {
            let error = found.expect_err("f16 has no room").to_string();
            assert!(error.contains("table") && error.contains("f32 holds it"), "{format}: {error}");
        } else {
            found.expect("f16 has room");
        }
    }
}
