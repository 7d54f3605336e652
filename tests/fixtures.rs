//! Small models, stored or with weights that follow from a rule, with the logits that independent implementations computed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fastweight::blocks::encode;
use fastweight::load::{Checkpoint, MemorySource, Opened, TensorInfo};
use fastweight::tensor::DType;
use serde::Deserialize;
use serde_json::Value;

/// A file of the fixtures.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The model that ships with the project.
pub fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/ttt-linear-stories-6m")
}

fn json(name: &str) -> Value {
    let file = path(name);
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// A made model with its expected logits.
#[derive(Clone)]
pub struct Fixture {
    /// What it is about.
    pub name: String,
    /// The config in the Hugging Face form.
    pub config: Value,
    /// Tensors by name: shape and values.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// The tokens.
    pub ids: Vec<u32>,
    /// Positions whose logits are known.
    pub positions: Vec<usize>,
    /// Their logits.
    pub logits: Vec<Vec<f32>>,
    /// Largest error allowed, as a share of the largest logit.
    pub bound: f32,
}

/// The bound for what learns while it reads, and for what only carries a state: 1e-3 on logits of up to 20.
const TTT_BOUND: f32 = 2e-4;
const CARRY_BOUND: f32 = 5e-5;

/// One tensor's place in the rule.
#[derive(Deserialize)]
struct Rule {
    name: String,
    shape: Vec<usize>,
    base: f64,
    amp: f64,
    #[serde(default)]
    set: BTreeMap<usize, f32>,
}

/// The numbers of tensor number `k`: an integer hash of the element, scaled (reference: weights.py).
fn numbers(rule: &Rule, k: u32) -> Vec<f32> {
    let len: usize = rule.shape.iter().product();
    let number = |e: usize| {
        let mut h = (e as u32).wrapping_mul(2_654_435_761).wrapping_add((k + 1).wrapping_mul(2_246_822_519));
        h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
        h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
        h ^= h >> 16;
        (rule.base + rule.amp * (f64::from(h) / 4_294_967_296.0 - 0.5)) as f32
    };
    let mut values: Vec<f32> = (0..len).map(number).collect();
    for (at, value) in &rule.set {
        values[*at] = *value;
    }
    values
}

fn made(rules: Vec<Rule>) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    rules.into_iter().enumerate().map(|(k, rule)| (rule.name.clone(), (rule.shape.clone(), numbers(&rule, k as u32)))).collect()
}

fn parse<T: for<'a> Deserialize<'a>>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the fixture's form")
}

/// The four cases of the public reference implementations (`golden.json`): all logits in f64 at some positions.
pub fn golden() -> Vec<Fixture> {
    let file = json("ttt/golden.json");
    let ids: Vec<u32> = parse(&file["ids"]);
    let case = |case: &Value| {
        let order: Vec<String> = parse(&case["tensor_order"]);
        let rule = |name: &String| {
            let last = name.rsplit('.').next().unwrap_or_default();
            let (base, amp) = match last {
                _ if name.ends_with("norm.weight") || last == "ttt_norm_weight" => (1.0, 0.6),
                "learnable_token_idx" => (0.0, 0.1),
                "ttt_norm_bias" | "b1" | "b2" | "bias" | "learnable_ttt_lr_bias" => (0.0, 0.4),
                "W1" | "W2" => (0.0, 0.5),
                _ if name.ends_with("embed_tokens.weight") => (0.0, 2.0),
                _ if name.contains("conv") => (0.0, 1.0),
                _ => (0.0, 0.5),
            };
            let set = if last == "learnable_token_idx" { BTreeMap::from([(7, -0.5)]) } else { BTreeMap::new() };
            Rule { name: name.clone(), shape: parse(&case["shapes"][name]), base, amp, set }
        };
        let tensors = made(order.iter().map(rule).collect());
        // The file spells out the first numbers of some tensors.
        let spelled: BTreeMap<String, Vec<f32>> = parse(&case["first4_of_each_tensor"]);
        for (name, first) in spelled {
            let (_, values) = &tensors[&name];
            assert!(first.iter().zip(values).all(|(a, b)| (a - b).abs() < 1e-6), "the weight rule of {name}");
        }
        let config = case["config"].clone();
        let name = format!("golden {} {}", config["ttt_layer_type"], config["use_gate"]);
        let positions: Vec<usize> = parse(&case["positions"]);
        let logits = positions.iter().map(|p| parse(&case["logits_f64"][p.to_string()])).collect();
        Fixture { name, config, tensors, ids: ids.clone(), positions, logits, bound: TTT_BOUND }
    };
    file["cases"].as_array().expect("a list of cases").iter().map(case).collect()
}

/// The cases that `ttt/make.py` made with the oracle and `mamba/make.py` with the published models, in f64.
pub fn made_cases() -> Vec<Fixture> {
    let mut made = cases("ttt", TTT_BOUND);
    made.extend(cases("mamba", CARRY_BOUND));
    made
}

/// Llama models: the two stored checkpoints with numbers of the public implementation, then the cases that `llama/make.py` made.
pub fn llama() -> Vec<Fixture> {
    let stored = ["mha-tied", "gqa-untied"].map(|name| stored(&format!("llama/{name}"), CARRY_BOUND));
    stored.into_iter().chain(cases("llama", CARRY_BOUND)).collect()
}

/// A stored checkpoint with its `golden.json`.
fn stored(folder: &str, bound: f32) -> Fixture {
    let bytes = std::fs::read(path(&format!("{folder}/model.safetensors"))).expect("the stored weights");
    let (head, data) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize);
    let head: BTreeMap<String, Value> = serde_json::from_slice(head).expect("a header");
    let tensor = |(name, info): (&String, &Value)| {
        let [start, end]: [usize; 2] = parse(&info["data_offsets"]);
        let values = data[start..end].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        (name.clone(), (parse(&info["shape"]), values))
    };
    let golden = json(&format!("{folder}/golden.json"));
    Fixture {
        name: folder.into(),
        config: json(&format!("{folder}/config.json")),
        tensors: head.iter().filter(|(name, _)| *name != "__metadata__").map(tensor).collect(),
        ids: parse(&golden["ids"]),
        positions: parse(&golden["positions"]),
        logits: parse(&golden["logits"]),
        bound,
    }
}

/// The cases of a `make.py`: all logits at all positions.
fn cases(folder: &str, bound: f32) -> Vec<Fixture> {
    let file = json(&format!("{folder}/cases.json"));
    let bytes = std::fs::read(path(&format!("{folder}/logits.bin"))).expect("the logits beside the cases");
    let case = |case: &Value| {
        let shape: [usize; 2] = parse(&case["logits"]["shape"]);
        let offset: usize = parse(&case["logits"]["offset"]);
        let bytes = &bytes[offset..offset + shape[0] * shape[1] * 4];
        let floats: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Fixture {
            name: parse(&case["name"]),
            config: case["config"].clone(),
            tensors: made(parse(&case["tensors"])),
            ids: parse(&case["ids"]),
            positions: (0..shape[0]).collect(),
            logits: floats.chunks(shape[1]).map(<[f32]>::to_vec).collect(),
            bound,
        }
    };
    file.as_array().expect("a list of cases").iter().map(case).collect()
}

/// A stored Mamba checkpoint with the logits that the published model gave.
pub fn golden_mamba() -> Fixture {
    stored("mamba/golden", CARRY_BOUND)
}

impl Fixture {
    /// The model as if it had been opened, its tensors stored in `dtype`.
    pub fn opened(&self, dtype: DType) -> Opened {
        let (mut bytes, mut tensors) = (Vec::new(), BTreeMap::new());
        for (name, (shape, values)) in &self.tensors {
            // What has no whole blocks stays in half precision.
            let dtype = if shape.last().is_some_and(|n| n % dtype.block() == 0) { dtype } else { DType::F16 };
            tensors.insert(name.clone(), TensorInfo::plain(dtype, shape.clone(), 0, bytes.len() as u64));
            encode(dtype, values, &mut bytes).expect("made values are small");
        }
        let source = Box::new(MemorySource::new(self.name.clone(), bytes));
        Opened {
            checkpoint: Checkpoint { sources: vec![source], tensors, dtype: None },
            config: Some(self.config.clone()),
            tokenizer: None,
            generation: None,
            tokenizer_config: None,
            chat_template: None,
        }
    }

    /// The fixture with fewer tokens.
    pub fn truncated(mut self, tokens: usize) -> Fixture {
        self.ids.truncate(tokens);
        let n = self.positions.iter().filter(|p| **p < tokens).count();
        self.positions.truncate(n);
        self.logits.truncate(n);
        self
    }

    /// The largest difference between known logits and `found` (`[tokens, vocabulary]`), as a share of the largest logit.
    pub fn worst(&self, found: &[f32]) -> f32 {
        let vocabulary = self.logits[0].len();
        let scale = self.logits.iter().flatten().fold(1f32, |m, x| m.max(x.abs()));
        let mut worst = 0f32;
        for (position, wanted) in self.positions.iter().zip(&self.logits) {
            let found = &found[position * vocabulary..][..vocabulary];
            for (f, w) in found.iter().zip(wanted) {
                let error = (f - w).abs() / scale;
                worst = if error.is_nan() { f32::INFINITY } else { worst.max(error) };
            }
        }
        worst
    }
}
