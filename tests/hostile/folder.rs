//! Small model folders to damage, written by a writer of our own.

use std::collections::BTreeMap;
use std::path::Path;

use fastweight::device::Device;
use fastweight::error::Error;
use fastweight::generate::{Model, Session};
use fastweight::tensor::DType;
use fastweight_tests::fixtures::Fixture;
use half::{bf16, f16};
use pollster::block_on;
use serde_json::{Map, Value, json};

/// The name of the weights in a folder.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The name of an index in a folder.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Tensors by name: shape and values.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A folder in memory: what lies in it by name (a name with a slash at its end is a folder), and what of it is opened.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) opened: String,
}

impl Folder {
    /// The folder of a model, without tokenizer.
    pub(crate) fn new(fixture: &Fixture, dtype: DType) -> Folder {
        let folder = Folder { files: BTreeMap::new(), opened: String::new() };
        folder.with(WEIGHTS, safetensors(&fixture.tensors, dtype)).with_json("config.json", &fixture.config)
    }

    /// With this file, instead of its namesake if there is one.
    pub(crate) fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Folder {
        self.files.insert(name.into(), bytes.into());
        self
    }

    /// With this JSON file.
    pub(crate) fn with_json(self, name: &str, value: &Value) -> Folder {
        self.with(name, value.to_string())
    }

    /// Without a file.
    pub(crate) fn without(mut self, name: &str) -> Folder {
        self.files.remove(name).expect("there is such a file to remove");
        self
    }

    /// With a changed config.
    pub(crate) fn configured(self, field: &str, value: Value) -> Folder {
        let mut config: Value = serde_json::from_slice(&self.files["config.json"]).expect("the config before the change is JSON");
        config[field] = value;
        self.with_json("config.json", &config)
    }

    /// With one of its files opened instead of the folder.
    pub(crate) fn opened(mut self, name: &str) -> Folder {
        self.opened = name.into();
        self
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// Writes the files into a folder on disk.
    pub(crate) fn write(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            let written = if name.ends_with('/') { std::fs::create_dir(&path) } else { std::fs::write(&path, bytes) };
            written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// Loads the model onto the CPU device.
    pub(crate) fn load(&self) -> Result<Model, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        self.write(folder.path());
        block_on(Model::open(folder.path().join(&self.opened), &Device::cpu()))
    }

    /// Loads the model and runs whatever it is: reads, writes, and text if it has a tokenizer.
    pub(crate) fn use_it(&self) -> Result<(), Error> {
        let model = self.load()?;
        let mut session = block_on(model.session())?;
        block_on(session.prefill(&[1, 2, 3]))?;
        block_on(session.next())?;
        if let Ok(tokenizer) = model.tokenizer() {
            let ids = tokenizer.encode("abcd ab")?;
            tokenizer.decode(&ids)?;
            let mut writing =
                session.write(fastweight::generate::WritingOptions { predict: 3, logprobs: 2, ..Default::default() });
            while block_on(writing.next())?.is_some() {}
        }
        Ok(())
    }
}

/// A fresh session.
pub(crate) fn session(model: &Model) -> Session {
    block_on(model.session()).expect("a session of a model that was loaded")
}

/// A tokenizer of 32 tokens.
pub(crate) fn tokenizer() -> Value {
    let letters = ('a'..='z').map(String::from);
    let tokens = ["<s>".into()].into_iter().chain(letters).chain(["Ġ", "ab", "Ġa", "cd", "abcd"].map(String::from));
    let vocabulary: Map<String, Value> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    json!({
        "version": "1.0",
        "added_tokens": [
            {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["a b", "Ġ a", "c d", "ab cd"]}
    })
}

/// The element type's name in a safetensors header.
fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::U32 => "U32",
        DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => unreachable!("safetensors hold no blocks"),
    }
}

/// A number's bytes.
pub(crate) fn encode(dtype: DType, x: f32) -> Vec<u8> {
    match dtype {
        DType::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
        DType::F32 | DType::U32 => x.to_le_bytes().to_vec(),
        DType::Q8_0 | DType::Q4_0 | DType::Q4_1 => unreachable!("safetensors hold no blocks"),
    }
}

/// A safetensors file.
pub(crate) fn safetensors(tensors: &Tensors, dtype: DType) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (shape, values)) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|x| encode(dtype, *x)));
        let entry = json!({"dtype": dtype_name(dtype), "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    framed(Value::Object(header).to_string().as_bytes(), &data)
}

/// A header and data as a safetensors file.
pub(crate) fn framed(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// Where a safetensors file's data begins.
pub(crate) fn data_start(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize
}

/// The header of a safetensors file.
pub(crate) fn header(file: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(&file[8..data_start(file)]).expect("the header before the damage")
}

/// A safetensors file with another header over the same data.
pub(crate) fn edited(file: &[u8], edit: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let mut changed = header(file);
    edit(&mut changed);
    framed(Value::Object(changed).to_string().as_bytes(), &file[data_start(file)..])
}
