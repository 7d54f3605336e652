//! One wrong bit, anywhere.

use fastweight::generate::StateFile;
use fastweight::tensor::DType;
use fastweight_tests::Random;
use pollster::block_on;

use super::folder::{Folder, WEIGHTS, data_start, session, tokenizer};
use super::harness::Cases;
use super::state::written;
use super::weights::bases;

/// Flips of each file.
const FLIPS: usize = 500;

/// Flips a random bit of the first `length` bytes and says which.
fn flip(random: &mut Random, bytes: &mut [u8], length: usize) -> String {
    let (byte, bit) = (random.within(0, length - 1), random.within(0, 7));
    bytes[byte] ^= 1 << bit;
    format!("bit {bit} of byte {byte}")
}

/// Flips bits of one file of a folder, each in a fresh copy, and uses what still loads.
fn flip_file(cases: &mut Cases, random: &mut Random, folder: &Folder, name: &str, length: usize) {
    let mut loaded = 0;
    for _ in 0..FLIPS {
        let mut file = folder.files[name].clone();
        let what = flip(random, &mut file, length);
        let folder = folder.clone().with(name, file);
        let outcome = cases.survived(format!("{what} of {name}"), folder.bytes(), || folder.use_it());
        loaded += usize::from(matches!(outcome, Some(Ok(()))));
    }
    println!("{name}: {loaded} of {FLIPS} flips load");
}

#[test]
fn flips_of_the_model() {
    let mut cases = Cases::new("bit flips of a model");
    let mut random = Random::new();
    let folder = Folder::new(&bases()[1], DType::F32).with_json("tokenizer.json", &tokenizer());
    let header = data_start(&folder.files[WEIGHTS]);
    let length = |name: &str| folder.files[name].len();
    for (name, length) in
        [(WEIGHTS, header), ("config.json", length("config.json")), ("tokenizer.json", length("tokenizer.json"))]
    {
        flip_file(&mut cases, &mut random, &folder, name, length);
    }
    cases.finish();
}

#[test]
fn flips_of_a_stream() {
    let mut cases = Cases::new("bit flips of a stream");
    let mut random = Random::new();
    let (fixture, stream, _) = super::good::stream_fixture("linear_m");
    let folder = Folder { files: Default::default(), opened: String::new() }.with_json("config.json", &fixture.config);
    // Few of the bytes are heads, so those are hit on purpose.
    let heads: Vec<usize> = super::stream::pairs(&stream).iter().flat_map(|p| p.start..p.data).collect();
    for _ in 0..FLIPS {
        let mut file = stream.clone();
        let (byte, bit) = (*random.pick(&heads), random.within(0, 7));
        file[byte] ^= 1 << bit;
        let folder = folder.clone().with("streaming_train_state", file);
        cases.survived(format!("bit {bit} of byte {byte}"), folder.bytes(), || folder.use_it());
    }
    cases.finish();
}

#[test]
fn flips_of_a_state() {
    let mut cases = Cases::new("bit flips of a state");
    let mut random = Random::new();
    let (model, state) = written();
    let mut session = session(&model);
    let before = block_on(session.snapshot()).expect("the state of a fresh session");
    for _ in 0..FLIPS {
        let mut damaged = state.clone();
        let what = flip(&mut random, &mut damaged, state.len());
        cases.refused(what, state.len(), &["session state"], || block_on(session.restore(&damaged)));
    }
    assert!(block_on(session.snapshot()).expect("the state afterwards") == before, "a refused state changes the session");
    let mut damaged = state.clone();
    for bit in (0..8 * 1024).chain(8 * (state.len() - 8)..8 * state.len()) {
        damaged[bit / 8] ^= 1 << (bit % 8);
        cases.refused(format!("bit {bit}"), state.len(), &["session state"], || StateFile::parse(&damaged));
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    cases.finish();
}
