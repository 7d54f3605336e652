//! Checkpoints of random weights, which other engines can read once they are converted.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use fastweight::bench::{Family, Size};
use fastweight::load::TensorInfo;
use fastweight::tensor::DType;
use serde_json::{Map, json};

/// About 22 million parameters, whatever the family; as many tokens as the tokenizer of the model that ships has.
pub(crate) const SIZE: Size = Size { name: "22m", hidden: 512, intermediate: 1408, layers: 6, heads: 8, vocabulary: 4096 };

/// Writes both models.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/ttt-linear-stories-6m/tokenizer.json");
    for family in [Family::Transformer, Family::Mamba] {
        let folder = folder.join(family.to_string());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let opened = SIZE.opened(family, DType::F32);
        fs::write(folder.join("config.json"), opened.config.unwrap_or_default().to_string())?;
        fs::copy(&tokenizer, folder.join("tokenizer.json")).with_context(|| tokenizer.display().to_string())?;
        tensors(&folder.join("model.safetensors"), &opened.checkpoint.tensors)?;
    }
    Ok(())
}

/// Matrices so that a row of ones stays about as large; norms and the rest near one.
fn tensors<'a>(file: &Path, tensors: impl IntoIterator<Item = (&'a String, &'a TensorInfo)>) -> Result<()> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut random = fastrand::Rng::with_seed(1);
    for (name, info) in tensors {
        let start = data.len();
        let (base, amplitude) = match info.shape[..] {
            [_, inner] if !name.ends_with("A_log") => (0.0, (3.0 / inner as f32).sqrt()),
            _ if name.ends_with("bias") => (0.0, 0.1),
            _ => (1.0, 0.1),
        };
        data.extend((0..info.len()).flat_map(|_| (base + amplitude * (2.0 * random.f32() - 1.0)).to_le_bytes()));
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": info.shape, "data_offsets": [start, data.len()] }));
    }
    let header = serde_json::to_vec(&header)?;
    let mut out = BufWriter::new(fs::File::create(file).with_context(|| file.display().to_string())?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    out.write_all(&data)?;
    out.flush()?;
    Ok(())
}
