//! First that good files are taken, in every form that they come in.

use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture};
use pollster::block_on;
use serde_json::{Map, Value, json};

use super::folder::{Folder, INDEX, Tensors, WEIGHTS, safetensors, session};

/// The bound of every logit, as a share of the largest.
const BOUND: f32 = 2e-4;

/// A checkpoint that flax wrote: what it should give, its stream, and the same numbers as safetensors.
pub(crate) fn stream_fixture(name: &str) -> (Fixture, Vec<u8>, Vec<u8>) {
    let file = |ending: &str| {
        let path = fixtures::path(&format!("stream/{name}.{ending}"));
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let json: Value = serde_json::from_slice(&file("json")).expect("the fixture is JSON");
    let flat: Vec<f32> = serde_json::from_value(json["logits"].clone()).expect("a list of logits");
    let positions: Vec<usize> = serde_json::from_value(json["positions"].clone()).expect("a list of positions");
    let fixture = Fixture {
        name: name.into(),
        config: json["config"].clone(),
        tensors: Tensors::new(),
        ids: serde_json::from_value(json["ids"].clone()).expect("a list of ids"),
        logits: flat.chunks(flat.len() / positions.len()).map(<[f32]>::to_vec).collect(),
        positions,
        bound: 2e-4,
    };
    (fixture, file("streaming_train_state"), file("safetensors"))
}

/// Loads each of these and expects the same logits of all, bit for bit, and those of the fixture, if they are known. Sessions pass
/// from one to the other, so the fingerprint is the same too.
fn expect_alike(fixture: &Fixture, forms: &[(&str, Folder)]) {
    let mut first = None;
    for (form, folder) in forms {
        let model = folder.load().unwrap_or_else(|e| panic!("{} as {form}: {e}", fixture.name));
        let logits = block_on(session(&model).logits(&fixture.ids)).unwrap_or_else(|e| panic!("{} as {form}: {e}", fixture.name));
        if !fixture.logits.is_empty() {
            let worst = fixture.worst(&logits);
            println!("{} as {form}: {worst:e}", fixture.name);
            assert!(worst <= BOUND, "{} as {form}: {worst} over {BOUND}", fixture.name);
        }
        let bits: Vec<u32> = logits.iter().map(|x| x.to_bits()).collect();
        let (first_bits, fingerprint) = first.get_or_insert_with(|| (bits.clone(), model.fingerprint().to_string()));
        assert!(*first_bits == bits, "{} as {form}: not the logits of {}", fixture.name, forms[0].0);
        assert_eq!(model.fingerprint(), fingerprint, "{} as {form}: not the fingerprint of {}", fixture.name, forms[0].0);
    }
}

#[test]
fn streams_give_what_their_safetensors_give() {
    for name in ["linear_m", "mlp_t"] {
        let (fixture, stream, twin) = stream_fixture(name);
        let bare = Folder { files: Default::default(), opened: String::new() };
        let (as_stream, as_twin) = (bare.clone().with("streaming_train_state_480", stream), bare.with(WEIGHTS, twin));
        let forms = [
            ("a stream with its config", as_stream.clone().with_json("config.json", &fixture.config)),
            ("safetensors with their config", as_twin.clone().with_json("config.json", &fixture.config)),
            ("a stream alone", as_stream.clone()),
            ("safetensors alone", as_twin),
            ("a stream opened as a file", as_stream.opened("streaming_train_state_480")),
        ];
        expect_alike(&fixture, &forms);
    }
}

/// Numbers that every element type holds exactly.
fn rounded(fixture: &Fixture) -> Fixture {
    let mut fixture = fixture.clone();
    for (_, values) in fixture.tensors.values_mut() {
        values.iter_mut().for_each(|x| *x = (*x * 64.0).round() / 64.0);
    }
    // The known logits are of other numbers.
    (fixture.positions, fixture.logits) = (Vec::new(), Vec::new());
    fixture
}

#[test]
fn every_element_type_gives_the_same() {
    for fixture in fixtures::golden() {
        let fixture = rounded(&fixture);
        let forms = [("f32", DType::F32), ("f16", DType::F16), ("bf16", DType::BF16)];
        expect_alike(&fixture, &forms.map(|(name, dtype)| (name, Folder::new(&fixture, dtype))));
    }
}

/// The folder with its tensors dealt out to several files behind an index.
pub(crate) fn sharded(fixture: &Fixture, files: usize) -> Folder {
    let mut folder = Folder::new(fixture, DType::F32).without(WEIGHTS);
    let mut map = Map::new();
    for i in 0..files {
        let name = format!("model-{:05}-of-{files:05}.safetensors", i + 1);
        let of_file = fixture.tensors.iter().enumerate().filter(|(n, _)| n % files == i);
        let tensors: Tensors = of_file.map(|(_, (name, tensor))| (name.clone(), tensor.clone())).collect();
        map.extend(tensors.keys().map(|tensor| (tensor.clone(), Value::from(name.clone()))));
        folder = folder.with(&name, safetensors(&tensors, DType::F32));
    }
    folder.with_json(INDEX, &json!({"metadata": {"total_size": 1}, "weight_map": map}))
}

#[test]
fn shards_give_what_one_file_gives() {
    for fixture in fixtures::golden() {
        let whole = Folder::new(&fixture, DType::F32);
        let forms = [("one file", whole), ("one shard", sharded(&fixture, 1)), ("three shards", sharded(&fixture, 3))];
        expect_alike(&fixture, &forms);
    }
}

#[test]
fn both_dialects_of_the_config_give_the_same() {
    for fixture in fixtures::golden() {
        let whole = Folder::new(&fixture, DType::F32);
        let mut other = fixture.config.clone();
        let fields = other.as_object_mut().expect("a config is an object");
        let inner = fields.remove("ttt_layer_type").expect("the kind of the inner model");
        fields.insert("model_type".into(), format!("ttt_{}", inner.as_str().expect("a name")).into());
        for (ours, theirs) in [("mini_batch_size", "chunk_size"), ("ttt_base_lr", "adapt_base_lr")] {
            let value = fields.remove(ours).expect("a field of the first dialect");
            fields.insert(theirs.into(), value);
        }
        fields.insert("mini_batch_eps".into(), 1e-6.into());
        let named = whole.clone().configured("model_type", "ttt".into());
        let forms = [
            ("no dialect", whole.clone()),
            ("the first dialect", named),
            ("the second dialect", whole.with_json("config.json", &other)),
        ];
        expect_alike(&fixture, &forms);
    }
}
