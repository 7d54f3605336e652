//! Damaged streams of the authors' format.

use std::cell::Cell;

use fastweight::load::stream::{array_head, catalogue, pair_head};
use fastweight::load::{MemorySource, Reading, Source};
use pollster::block_on;

use super::folder::Folder;
use super::good::stream_fixture;
use super::harness::Cases;

/// The name of the stream in its folder.
const STREAM: &str = "streaming_train_state";

/// Where a pair of a stream lies: its start, its array's start and data, its end, and its key path.
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) array: usize,
    pub(crate) data: usize,
    pub(crate) end: usize,
    pub(crate) path: Vec<String>,
}

/// The pairs of a good stream.
pub(crate) fn pairs(stream: &[u8]) -> Vec<Place> {
    let (mut places, mut start) = (Vec::new(), 0);
    while start < stream.len() {
        let head = pair_head(&stream[start..]).expect("a pair of the fixture");
        let array = start + head.content as usize;
        let data = array + array_head(&stream[array..]).map_or(0, |a| a.data as usize);
        places.push(Place { start, array, data, end: array + head.length as usize, path: head.path });
        start = array + places[places.len() - 1].end - array;
    }
    places
}

/// A length behind a msgpack marker of 32 bits.
fn long(marker: u8, length: u32) -> Vec<u8> {
    [&[marker][..], &length.to_be_bytes()].concat()
}

/// A msgpack text.
fn text(text: &str) -> Vec<u8> {
    [&long(0xdb, text.len() as u32), text.as_bytes()].concat()
}

/// A pair of a key path and bytes.
fn pair(path: &[&str], content: &[u8]) -> Vec<u8> {
    let path: Vec<u8> = [long(0xdd, path.len() as u32)].into_iter().chain(path.iter().map(|p| text(p))).flatten().collect();
    [&[0x92], &path[..], &long(0xc6, content.len() as u32), content].concat()
}

/// An array as flax writes it, in an extension of this type.
fn array(kind: u8, shape: &[u64], dtype: &str, data: &[u8]) -> Vec<u8> {
    let axes = shape.iter().flat_map(|n| [&[0xcf][..], &n.to_be_bytes()].concat());
    let axes: Vec<u8> = long(0xdd, shape.len() as u32).into_iter().chain(axes).collect();
    let inner = [&[0x93], &axes[..], &text(dtype), &long(0xc6, data.len() as u32), data].concat();
    [&long(0xc9, inner.len() as u32)[..], &[kind], &inner].concat()
}

const NORM: [&str; 5] = ["params", "params", "model", "ln_f", "kernel"];

#[test]
fn truncated_streams() {
    let mut cases = Cases::new("truncated streams");
    for name in ["linear_m", "mlp_t"] {
        let (fixture, stream, _) = stream_fixture(name);
        let folder = Folder { files: Default::default(), opened: String::new() }.with_json("config.json", &fixture.config);
        let places = pairs(&stream);
        let last = places.iter().rfind(|p| p.path[0] == "params").expect("parameters").end;
        let heads = places.iter().flat_map(|p| [p.start, p.start + 1, p.array, p.array + 1, p.data, p.end - 1]);
        for cut in (0..64).map(|k| stream.len() * k / 64).chain(heads) {
            let folder = folder.clone().with(STREAM, &stream[..cut]);
            // Between two pairs nothing tells that more should follow, but for what is missing then.
            let whole = places.iter().any(|p| p.start == cut);
            match whole && cut >= last {
                true => drop(cases.taken(format!("{name} cut to {cut} bytes"), folder.bytes(), || folder.load())),
                false => {
                    let words =
                        if whole { "has no tensor|config field" } else { "ends after|the pair at byte|is not an array|tensor" };
                    cases.refused(format!("{name} cut to {cut} bytes"), folder.bytes(), &[STREAM, words], || folder.load());
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn damaged_streams() {
    let mut cases = Cases::new("streams");
    let (fixture, stream, _) = stream_fixture("linear_m");
    let folder = Folder { files: Default::default(), opened: String::new() }.with_json("config.json", &fixture.config);
    let places = pairs(&stream);
    let norm = places.iter().find(|p| p.path == NORM).expect("the last norm");
    let data = &stream[norm.data..norm.end];
    let replaced = |pair: &[u8]| [&stream[..norm.start], pair, &stream[norm.end..]].concat();
    let with = |content: &[u8]| replaced(&pair(&NORM, content));
    let good = array(1, &[32], "bfloat16", data);
    let rewritten = folder.clone().with(STREAM, with(&good));
    cases.taken("written by this test", rewritten.bytes(), || rewritten.load());

    let path = "params/params/model/ln_f/kernel";
    let at = format!("the pair at byte {}", norm.start);
    let (of_shape, of_data, of_type) =
        (format!("the shape of {path}"), format!("the data of {path}"), format!("the type of {path}"));
    let mut rows: Vec<(&str, Vec<u8>, Vec<&str>)> = Vec::new();
    for (name, kind) in [("extension type 0", 0), ("extension type 2", 2), ("extension type -1", 255)] {
        rows.push((name, with(&array(kind, &[32], "bfloat16", data)), vec![path, "an extension of type", "an array"]));
    }
    for dtype in ["float64", "int32", "uint8", "bool", "complex64", "", "V2"] {
        rows.push((dtype, with(&array(1, &[32], dtype, data)), vec![&of_type, "float32, float16 or bfloat16"]));
    }
    for shape in [&[u64::MAX][..], &[u64::MAX, 2], &[1 << 32, 1 << 32], &[1 << 41]] {
        rows.push(("a shape that overflows", with(&array(1, shape, "bfloat16", data)), vec![&of_shape, "fits in memory"]));
    }
    for shape in [&[31][..], &[33], &[32, 2], &[0], &[], &[1 << 40]] {
        rows.push(("a shape for other data", with(&array(1, shape, "bfloat16", data)), vec![&of_data, "bytes"]));
    }
    for shape in [&[32, 1][..], &[1, 32], &[4, 8], &[1, 1, 32]] {
        rows.push(("another shape", with(&array(1, shape, "bfloat16", data)), vec!["shape", "model.norm.weight|ln_f"]));
    }
    rows.push(("nine axes", with(&array(1, &[1; 9], "bfloat16", data)), vec![path, "a shape of 9 axes"]));

    // Lengths that nothing in the file bears out.
    let inner = |from: usize, bytes: &[u8]| [&good[..from], bytes, &good[(from + bytes.len()).min(good.len())..]].concat();
    for (name, content) in [
        ("an extension of 4 GiB", inner(0, &long(0xc9, u32::MAX))),
        ("an array of 4 billion", inner(6, &long(0xdd, u32::MAX))),
        ("4 billion axes", inner(7, &long(0xdd, u32::MAX))),
        ("a type of 4 GiB", inner(21, &long(0xdb, u32::MAX))),
        ("data of 4 GiB", inner(34, &long(0xc6, u32::MAX))),
        ("no data", good[..34].to_vec()),
        ("no extension", vec![0xc0]),
        ("nothing", vec![]),
        ("an array of two", [&long(0xc9, 3)[..], &[1, 0x92, 1, 1]].concat()),
        ("a shape that is a text", [&long(0xc9, 7)[..], &[1, 0x93, 0xa1, b'x', 0xa1, b'x', 0xc4, 0]].concat()),
        ("a negative size", [&long(0xc9, 7)[..], &[1, 0x93, 0x91, 0xff, 0xa1, b'x', 0xc4, 0]].concat()),
    ] {
        rows.push((name, with(&content), vec![path, "wanted an array"]));
    }
    for (name, bytes) in [
        ("a pair of 4 billion", long(0xdd, u32::MAX)),
        ("a path of 4 billion", [&[0x92][..], &long(0xdd, u32::MAX)].concat()),
        ("a key of 4 GiB", [&[0x92, 0x91][..], &long(0xdb, u32::MAX)].concat()),
        ("a key of 2 KiB", pair(&[&"k".repeat(2048)], b"")),
        ("a path of 65", pair(&["k"; 65], b"")),
        ("a key that is a number", vec![0x92, 0x91, 7, 0xc4, 0]),
        ("a key that is no UTF-8", vec![0x92, 0x91, 0xa1, 0xff, 0xc4, 0]),
        ("a triple", vec![0x93, 0x90, 0xc4, 0, 0xc0]),
        ("a map", vec![0x82, 0x90, 0xc4, 0, 0x90, 0xc4, 0]),
        ("nil", vec![0xc0]),
        ("text in place of bytes", [&[0x92, 0x91][..], &text("params"), &text("x")].concat()),
    ] {
        rows.push((name, replaced(&bytes), vec![&at, "wanted a key path and bytes"]));
    }
    let huge = [&[0x92, 0x91][..], &text("opt_state"), &long(0xc6, u32::MAX)].concat();
    rows.push(("bytes of 4 GiB", replaced(&huge), vec!["ends after", "opt_state"]));

    // An array that says it goes on behind its pair's bytes, into the next pair or past the end of the file.
    let short = &good[..good.len() - 16];
    rows.push(("an array longer than its pair", with(short), vec![path]));
    rows.push((
        "an array longer than the file",
        [&stream[..norm.start], &stream[norm.end..], &pair(&NORM, short)].concat(),
        vec![path],
    ));
    rows.push(("bytes behind an array", with(&[&good[..], &[0; 8]].concat()), vec![path]));

    rows.push((
        "a parameter twice",
        [&pair(&NORM, &array(1, &[32], "bfloat16", &[0; 64])), &stream[..]].concat(),
        vec!["model.norm.weight|ln_f"],
    ));
    for unknown in [
        "rotary",
        "h/0/attention/wq/kernel",
        "h/x/seq_norm/kernel",
        "h/0",
        "h/-1/seq_norm/kernel",
        "h/99999999999999999999/seq_norm/kernel",
        "ln_f/bias",
    ] {
        let path: Vec<&str> = ["params", "params", "model"].into_iter().chain(unknown.split('/')).collect();
        let more = [&stream[..], &pair(&path, &good)].concat();
        rows.push(("an unknown parameter", more, vec![unknown, "a parameter of a TTT language model"]));
    }
    let layer = pair(&["params", "params", "model", "h", "2", "seq_norm", "kernel"], &good);
    rows.push(("a stray layer", [&stream[..], &layer].concat(), vec!["num_hidden_layers is 2", "wanted 3"]));
    rows.push(("nothing at all", vec![], vec!["has no tensor"]));
    rows.push(("zeros", vec![0; 5000], vec!["the pair at byte 0"]));
    rows.push(("a safetensors file", stream_fixture("linear_m").2, vec!["the pair at byte 0"]));
    for (name, file, words) in rows {
        let folder = folder.clone().with(STREAM, file);
        let words: Vec<&str> = [STREAM].into_iter().chain(words).collect();
        cases.refused(name, folder.bytes(), &words, || folder.load());
    }
    cases.finish();
}

#[test]
fn parameters_missing_from_a_stream() {
    let mut cases = Cases::new("parameters missing from a stream");
    for name in ["linear_m", "mlp_t"] {
        let (fixture, stream, _) = stream_fixture(name);
        let folder = Folder { files: Default::default(), opened: String::new() }.with_json("config.json", &fixture.config);
        for place in pairs(&stream).iter().filter(|p| p.path[0] == "params") {
            let folder = folder.clone().with(STREAM, [&stream[..place.start], &stream[place.end..]].concat());
            cases.refused(
                format!("{name} without {}", place.path.join("/")),
                folder.bytes(),
                &[STREAM, "has no tensor|config field"],
                || folder.load(),
            );
        }
    }
    cases.finish();
}

#[test]
fn numbers_that_are_none_in_a_stream() {
    let mut cases = Cases::new("NaN and infinity in a stream");
    for (name, nan, infinity) in
        [("linear_m", &[0xc0, 0x7f][..], &[0x80, 0x7f][..]), ("mlp_t", &[0, 0, 0xc0, 0xff], &[0, 0, 0x80, 0xff])]
    {
        let (fixture, stream, _) = stream_fixture(name);
        let folder = Folder { files: Default::default(), opened: String::new() }.with_json("config.json", &fixture.config);
        for place in pairs(&stream) {
            for bad in [nan, infinity] {
                let mut damaged = stream.clone();
                damaged[place.end - bad.len()..place.end].copy_from_slice(bad);
                let folder = folder.clone().with(STREAM, damaged);
                let what = format!("{name}: {bad:02x?} in {}", place.path.join("/"));
                // What is no parameter is stepped over.
                match place.path[0] == "params" {
                    true => {
                        cases.refused(what, folder.bytes(), &[STREAM, "tensor", "is not finite at element"], || folder.load())
                    }
                    false => drop(cases.taken(what, folder.bytes(), || folder.load())),
                }
            }
        }
    }
    cases.finish();
}

/// A source that counts what is read of it.
struct Counted(MemorySource, Cell<u64>);

impl Source for Counted {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, offset: u64, length: usize) -> Reading<'_> {
        self.1.set(self.1.get() + length as u64);
        self.0.read(offset, length)
    }
}

/// However small the pairs of a stream are, what is read is in proportion to the file.
#[test]
fn many_small_pairs() {
    let mut cases = Cases::new("many small pairs");
    let small: Vec<u8> = [0x92, 0x90, 0xc4, 0].repeat(50_000);
    let source = Counted(MemorySource::new(STREAM, small), Cell::new(0));
    cases.survived("pairs of four bytes", source.len() as usize, || block_on(catalogue(&source)));
    let (read, wanted) = (source.1.get(), 16 * source.len());
    if read > wanted {
        cases.fail(format!("pairs of four bytes: {read} bytes are read of {}, wanted at most {wanted}", source.len()));
    }
    cases.finish();
}
