//! Damaged safetensors files.

use std::time::{Duration, Instant};

use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture};
use serde_json::{Map, Value, json};

use super::folder::{Folder, INDEX, Tensors, WEIGHTS, data_start, edited, encode, framed, header, safetensors};
use super::good::sharded;
use super::harness::Cases;

/// The plainest model, and one with every tensor that there is.
pub(crate) fn bases() -> [Fixture; 2] {
    let mut golden = fixtures::golden();
    let mut full = golden.swap_remove(3);
    let (shape, values) = full.tensors["model.embed_tokens.weight"].clone();
    full.tensors.insert("lm_head.weight".into(), (shape, values));
    full.config["tie_word_embeddings"] = false.into();
    [golden.swap_remove(0), full]
}

/// A small model with every kind of tensor, and its weight file.
fn full() -> (Folder, Vec<u8>) {
    let folder = Folder::new(&bases()[1], DType::F32);
    let file = folder.files[WEIGHTS].clone();
    (folder, file)
}

/// Loads the folder with this weight file; the message must name the file and say these words.
fn refuse(cases: &mut Cases, name: &str, folder: &Folder, file: Vec<u8>, words: &[&str]) {
    let folder = folder.clone().with(WEIGHTS, file);
    let words: Vec<&str> = [WEIGHTS].iter().chain(words).copied().collect();
    cases.refused(name, folder.bytes(), &words, || folder.load());
}

#[test]
fn the_models_before_the_damage_are_good() {
    let mut cases = Cases::new("undamaged models");
    for fixture in bases() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let folder = Folder::new(&fixture, dtype);
            cases.taken(format!("{} in {dtype}", fixture.name), folder.bytes(), || folder.use_it());
        }
    }
    cases.finish();
}

#[test]
fn truncated_files() {
    let mut cases = Cases::new("truncated safetensors");
    let (folder, file) = full();
    let around = |at: usize| at.saturating_sub(2)..(at + 3).min(file.len());
    let cuts = (0..64)
        .map(|k| file.len() * k / 64)
        .chain(around(0))
        .chain(around(8))
        .chain(around(data_start(&file)))
        .chain([file.len() - 1]);
    for cut in cuts {
        let words = [&format!("ends after {cut} bytes")[..], "are needed for"];
        refuse(&mut cases, &format!("cut to {cut} bytes"), &folder, file[..cut].to_vec(), &words);
    }
    cases.finish();
}

#[test]
fn damaged_headers() {
    let mut cases = Cases::new("safetensors headers");
    let (folder, file) = full();
    let (start, data) = (data_start(&file), &file[data_start(&file)..]);
    let with_length = |length: u64| [&length.to_le_bytes(), &file[8..]].concat();
    let longest = "at most 100000000";
    for (length, words) in [
        (0, ["the header", "a JSON object of tensors"]),
        (1, ["the header", "a JSON object of tensors"]),
        (start as u64 - 9, ["the header", "a JSON object of tensors"]),
        (file.len() as u64 - 8, ["the header", "a JSON object of tensors"]),
        (file.len() as u64 - 7, ["ends after", "the header"]),
        (100_000_000, ["ends after", "the header"]),
        (100_000_001, ["the header's length is 100000001", longest]),
        (1 << 32, ["the header's length is 4294967296", longest]),
        (1 << 63, ["the header's length is 9223372036854775808", longest]),
        (u64::MAX, ["the header's length is 18446744073709551615", longest]),
    ] {
        refuse(&mut cases, &format!("a header of {length} bytes"), &folder, with_length(length), &words);
    }

    let deep = |open: &str, close: &str| open.repeat(50_000) + &close.repeat(50_000);
    let headers: [(&str, Vec<u8>); 14] = [
        ("no JSON", "weights".into()),
        ("spaces", " ".repeat(100).into()),
        ("zeros", vec![0; 100]),
        ("no UTF-8", b"{\"\xff\xfe\": 1}".to_vec()),
        ("a list", "[]".into()),
        ("a number", "3".into()),
        ("null", "null".into()),
        ("a text", "\"model.norm.weight\"".into()),
        ("cut JSON", "{\"model.norm.weight\": {\"dtype\": \"F3".into()),
        ("two objects", "{}{}".into()),
        ("nested lists", deep("[", "]").into()),
        ("nested objects", deep("{\"a\":", "}").into()),
        ("nested lists within a tensor", format!("{{\"a\": {}}}", deep("[", "]")).into()),
        ("an unclosed nest", format!("{{\"a\": {}", "[".repeat(100_000)).into()),
    ];
    for (name, header) in headers {
        refuse(&mut cases, name, &folder, framed(&header, data), &["the header", "wanted a JSON object of tensors"]);
    }
    refuse(&mut cases, "an empty object", &folder, framed(b"{}", data), &["has no tensor model.embed_tokens.weight"]);
    cases.finish();
}

#[test]
fn damaged_entries() {
    let mut cases = Cases::new("safetensors entries");
    let (folder, file) = full();
    let (victim, other) = ("model.layers.0.ffn_norm.weight", "model.layers.1.seq_modeling_block.W1");
    let entry = header(&file)[victim].clone();
    let offset = |i: usize| entry["data_offsets"][i].as_u64().expect("an offset");
    let (start, end) = (offset(0), offset(1));
    let length = file.len() as u64 - data_start(&file) as u64;
    let (of_entry, of_type) = (format!("the entry of {victim}"), format!("the type of {victim}"));
    let (of_shape, of_range) = (format!("the shape of {victim}"), format!("the data range of {victim}"));
    let wide = "F32, F16 or BF16";

    let mut rows: Vec<(&str, Value, Vec<&str>)> = Vec::new();
    for dtype in ["F64", "I8", "I64", "BOOL", "F8_E4M3", "f32", "", "Q4_0"] {
        rows.push(("dtype", dtype.into(), vec![&of_type, wide]));
    }
    for value in [Value::Null, 5.into(), json!(["F32"]), json!({})] {
        rows.push(("dtype", value, vec![&of_entry, "dtype"]));
    }
    for value in [json!(null), json!("32"), json!(32), json!({}), json!([-1]), json!([32.5]), json!(["32"]), json!([[32]])] {
        rows.push(("shape", value, vec![&of_entry]));
    }
    for shape in [
        json!([u64::MAX]),
        json!([u64::MAX, 2]),
        json!([1u64 << 32, 1u64 << 32]),
        json!([1 << 20, 1 << 20, 1 << 20]),
        json!([1u64 << 41]),
    ] {
        rows.push(("shape", shape, vec![&of_shape, "fits in memory"]));
    }
    for shape in
        [json!([31]), json!([33]), json!([32, 32]), json!([0]), json!([]), json!([1u64 << 40]), json!([32, 0, 1u64 << 39])]
    {
        rows.push(("shape", shape, vec![&of_range, "bytes"]));
    }
    for value in [
        json!(null),
        json!("0"),
        json!([0]),
        json!([0, 1, 2]),
        json!([-4, 124]),
        json!([0.5, 128.5]),
        json!(["0", "128"]),
        json!({}),
    ] {
        rows.push(("data_offsets", value, vec![&of_entry]));
    }
    for range in
        [[start, end - 1], [start, end + 1], [end, start], [start, start], [0, u64::MAX], [u64::MAX, 0], [u64::MAX - 1, u64::MAX]]
    {
        rows.push(("data_offsets", json!(range), vec![&of_range, "wanted 128 bytes"]));
    }
    for range in [[length - 127, length + 1], [length, length + 128], [1 << 40, (1 << 40) + 128], [u64::MAX - 128, u64::MAX]] {
        rows.push(("data_offsets", json!(range), vec!["ends after", victim]));
    }
    for (field, value, words) in rows {
        let damaged = edited(&file, |header| header[victim][field] = value.clone());
        refuse(&mut cases, &format!("{field} {value}"), &folder, damaged, &words);
    }

    for by in [-128i64, -4, -1, 1, 4, 128] {
        let moved = |at: u64| at.checked_add_signed(by).expect("a tensor in the middle");
        let damaged = edited(&file, |header| header[victim]["data_offsets"] = json!([moved(start), moved(end)]));
        refuse(&mut cases, &format!("an overlap of {by}"), &folder, damaged, &["the data range of", "a range of its own"]);
    }
    let damaged = edited(&file, |header| {
        let place = header[other]["data_offsets"][0].as_u64().expect("an offset") + 64;
        header[victim]["data_offsets"] = json!([place, place + 128]);
    });
    refuse(&mut cases, "a tensor inside another", &folder, damaged, &[&of_range, "a range of its own"]);
    for field in ["dtype", "shape", "data_offsets"] {
        let damaged = edited(&file, |header| {
            header[victim].as_object_mut().expect("an entry").remove(field);
        });
        refuse(&mut cases, &format!("no {field}"), &folder, damaged, &[&of_entry, field]);
    }
    for value in [json!(null), json!(1), json!([]), json!("F32")] {
        let damaged = edited(&file, |header| header[victim] = value.clone());
        refuse(&mut cases, &format!("the entry {value}"), &folder, damaged, &[&of_entry]);
    }

    // The format forbids two entries of one name.
    let text = String::from_utf8(file[8..data_start(&file)].to_vec()).expect("a header is text");
    let twice = text.replacen('{', &format!("{{{}:{entry},", json!(victim)), 1);
    refuse(&mut cases, "a tensor twice", &folder, framed(twice.as_bytes(), &file[data_start(&file)..]), &[victim]);

    // What a message quotes is not for the file to choose the length of, nor does it move a terminal's cursor.
    let long = "x".repeat(1 << 20);
    refuse(
        &mut cases,
        "a long dtype",
        &folder,
        edited(&file, |header| header[victim]["dtype"] = long.clone().into()),
        &[&of_type],
    );
    let rename = |name: &str| edited(&file, |header| drop(header.insert(name.into(), json!({"dtype": "F7"}))));
    refuse(&mut cases, "a long name", &folder, rename(&long), &["the entry of"]);
    refuse(&mut cases, "a name that clears the screen", &folder, rename("\u{1b}[2J"), &["the entry of"]);
    for values in ["[],", "7,", "{},"] {
        let shape = values.repeat(1 << 20);
        let entry = format!("{{\"{victim}\": {{\"dtype\": \"F32\", \"shape\": [{shape}7], \"data_offsets\": [0, 4]}}}}");
        refuse(&mut cases, &format!("a million of {values}"), &folder, framed(entry.as_bytes(), &[0; 4]), &[victim]);
    }
    refuse(
        &mut cases,
        "long axes",
        &folder,
        edited(&file, |header| header[victim]["shape"] = vec![7u64; 100_000].into()),
        &[victim],
    );
    cases.finish();
}

/// What stands in the config for a tensor whose presence decides it.
fn flag(tensor: &str) -> &str {
    match tensor {
        "model.layers.0.seq_modeling_block.g_proj.weight" => "use_gate",
        "model.layers.0.seq_modeling_block.k_proj.weight" => "share_qk",
        "model.layers.0.seq_modeling_block.W2" => "ttt_layer_type",
        "model.layers.0.conv.conv.weight" => "pre_conv",
        other => other,
    }
}

#[test]
fn missing_and_additional_tensors() {
    let mut cases = Cases::new("sets of tensors");
    for fixture in bases() {
        let folder = Folder::new(&fixture, DType::F32);
        let file = &folder.files[WEIGHTS];
        for name in fixture.tensors.keys() {
            let damaged = edited(file, |header| drop(header.remove(name)));
            refuse(
                &mut cases,
                &format!("{} without {name}", fixture.name),
                &folder,
                damaged.clone(),
                &[&format!("{name}|{}", flag(name))],
            );
            // Without a config a model with one head matrix is a tied one.
            if name != "lm_head.weight" {
                let alone = folder.clone().without("config.json");
                let layer = name.split('.').take(3).collect::<Vec<_>>().join(".");
                refuse(&mut cases, &format!("{} without {name} and config", fixture.name), &alone, damaged, &[&layer]);
            }
        }
        let layer_of = |from: &str, to: &str| -> Tensors {
            let of_layer = fixture.tensors.iter().filter(|(name, _)| name.starts_with(from));
            of_layer.map(|(name, tensor)| (name.replacen(from, to, 1), tensor.clone())).collect()
        };
        for (to, words) in [
            ("model.layers.2.", ["num_hidden_layers is 2", "wanted 3"]),
            ("model.layers.999.", ["num_hidden_layers is 2", "wanted 1000"]),
        ] {
            let mut more = fixture.tensors.clone();
            more.extend(layer_of("model.layers.1.", to));
            refuse(&mut cases, &format!("an additional {to}"), &folder, safetensors(&more, DType::F32), &words);
        }
        for (number, words) in
            [("3", "model.layers.2."), ("5000", "the number of layers is 5001"), ("18446744073709551615", "the number of layers")]
        {
            let mut more = fixture.tensors.clone();
            more.insert(format!("model.layers.{number}.ffn_norm.weight"), (vec![32], vec![1.0; 32]));
            let alone = folder.clone().without("config.json");
            refuse(&mut cases, &format!("a stray tensor of layer {number}"), &alone, safetensors(&more, DType::F32), &[words]);
        }
    }
    cases.finish();
}

/// Loading takes no longer than the size of the model warrants, however many layers it says it has.
#[test]
fn many_layers() {
    let mut cases = Cases::new("many layers");
    let plain = &bases()[0];
    let (of_layers, others): (Tensors, Tensors) =
        plain.tensors.clone().into_iter().partition(|(name, _)| name.contains("layers"));
    for layers in [400, 1001] {
        let mut tensors = others.clone();
        for layer in 0..layers {
            let of_first = of_layers.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("model.layers.0.")?, tensor)));
            tensors.extend(of_first.map(|(name, tensor)| (format!("model.layers.{layer}.{name}"), tensor.clone())));
        }
        let folder = Folder::new(plain, DType::F16).without("config.json").with(WEIGHTS, safetensors(&tensors, DType::F16));
        let start = Instant::now();
        cases.survived(format!("{layers} layers"), folder.bytes(), || folder.load());
        if start.elapsed() > Duration::from_secs(60) {
            cases.fail(format!("{layers} layers: {} bytes take {:?}", folder.bytes(), start.elapsed()));
        }
    }
    cases.finish();
}

#[test]
fn wrong_shapes() {
    let mut cases = Cases::new("shapes");
    for fixture in bases() {
        let folder = Folder::new(&fixture, DType::F32);
        for (name, (shape, values)) in &fixture.tensors {
            let mut shapes = vec![
                vec![values.len() + 1],
                [shape.as_slice(), &[1]].concat(),
                vec![1, values.len()],
                vec![],
                vec![0],
                vec![3, 5],
            ];
            shapes.extend((shape.len() > 1).then(|| vec![values.len()]));
            for axis in 0..shape.len() {
                for size in [0, 1, shape[axis] - 1, shape[axis] + 1, 2 * shape[axis]] {
                    let mut other = shape.clone();
                    other[axis] = size;
                    shapes.push(other);
                }
            }
            let mut transposed = shape.clone();
            transposed.reverse();
            shapes.push(transposed);
            shapes.retain(|other| other != shape);
            // The size that this tensor alone decides is held against the config.
            let field = match name.as_str() {
                "model.embed_tokens.weight" => "vocab_size|hidden_size",
                "model.layers.0.mlp.gate_proj.weight" => "intermediate_size",
                "model.layers.0.seq_modeling_block.W1" => "num_attention_heads",
                "model.layers.0.seq_modeling_block.learnable_token_idx" => "mini_batch_size",
                "model.layers.0.conv.conv.weight" => "conv_kernel",
                "model.layers.0.seq_modeling_block.conv_q.weight" => "conv_kernel",
                _ => name,
            };
            for other in shapes {
                let mut tensors = fixture.tensors.clone();
                tensors.insert(name.clone(), (other.clone(), vec![0.5; other.iter().product()]));
                let words = [&format!("{name}|{field}")[..], "wanted"];
                refuse(
                    &mut cases,
                    &format!("{name} {other:?} for {shape:?}"),
                    &folder,
                    safetensors(&tensors, DType::F32),
                    &words,
                );
            }
        }
    }
    cases.finish();
}

#[test]
fn numbers_that_are_none() {
    let mut cases = Cases::new("NaN and infinity");
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for fixture in bases() {
            let folder = Folder::new(&fixture, dtype);
            let file = &folder.files[WEIGHTS];
            for (n, (name, (_, values))) in fixture.tensors.iter().enumerate() {
                let start = data_start(file) + header(file)[name]["data_offsets"][0].as_u64().expect("an offset") as usize;
                for (bad, at) in [(f32::NAN, n * 7 % values.len()), (f32::INFINITY, values.len() - 1), (f32::NEG_INFINITY, 0)] {
                    let mut damaged = file.clone();
                    damaged[start + dtype.bytes_of(at)..][..dtype.bytes_of(1)].copy_from_slice(&encode(dtype, bad));
                    let words = [name, &format!("not finite at element {at}")[..]];
                    refuse(&mut cases, &format!("{bad} in {name} in {dtype}"), &folder, damaged, &words);
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn damage_in_a_shard_names_the_shard() {
    let mut cases = Cases::new("shards");
    let fixture = &bases()[1];
    let folder = sharded(fixture, 3);
    let shards: Vec<&String> = folder.files.keys().filter(|name| name.ends_with(".safetensors")).collect();
    for shard in shards {
        let file = &folder.files[shard];
        let mut refuse = |name: &str, damaged: Vec<u8>, words: &[&str]| {
            let folder = folder.clone().with(shard, damaged);
            let words: Vec<&str> = [shard.as_str()].iter().chain(words).copied().collect();
            cases.refused(format!("{shard}: {name}"), folder.bytes(), &words, || folder.load());
        };
        let victim = header(file)
            .keys()
            .find(|name| name.contains("layers.1") && name.contains("_proj"))
            .expect("a matrix in each shard")
            .clone();
        refuse("cut", file[..file.len() - 4].to_vec(), &["ends after"]);
        refuse("a page", b"<!DOCTYPE html><html><body>Not found</body></html>".to_vec(), &["a web page"]);
        let damaged = edited(file, |header| header[&victim]["dtype"] = "I32".into());
        refuse("a wrong type", damaged, &[&victim, "I32"]);
        let damaged = edited(file, |header| {
            let len: u64 =
                serde_json::from_value::<Vec<u64>>(header[&victim]["shape"].clone()).expect("a shape").iter().product();
            header[&victim]["shape"] = json!([len]);
        });
        refuse("a wrong shape", damaged, &[&victim]);
        let mut damaged = file.clone();
        let at = data_start(file) + header(file)[&victim]["data_offsets"][0].as_u64().expect("an offset") as usize;
        damaged[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        refuse("a NaN", damaged, &[&victim, "not finite at element 0"]);
    }
    let norm = "model.norm.weight";
    let twice = Tensors::from([(norm.into(), fixture.tensors[norm].clone())]);
    let folder = folder.with("twice.safetensors", safetensors(&twice, DType::F32));
    let files = folder.files.keys().filter(|name| name.ends_with(".safetensors"));
    let map: Map<String, Value> = files.map(|name| (name.clone(), name.clone().into())).collect();
    let folder = folder.with_json(INDEX, &json!({"weight_map": map}));
    cases.refused("a tensor in two files", folder.bytes(), &["twice.safetensors", norm, "in two files"], || folder.load());
    cases.finish();
}
