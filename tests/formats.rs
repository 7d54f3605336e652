//! Formats of weights and of files: quantised blocks on the host and on devices, GGUF in and out, and what a hostile file does.

#[path = "formats/blocks.rs"]
mod blocks;
#[path = "formats/convert.rs"]
mod convert;
#[path = "formats/hostile.rs"]
mod hostile;
#[path = "formats/tokenizers.rs"]
mod tokenizers;

use fastweight::load::{Container, Conversion, MemorySource, Opened, gguf};
use fastweight::tensor::DType;
use pollster::block_on;

/// A model written as a file in memory.
fn written(opened: &Opened, container: Container, dtype: DType) -> Vec<u8> {
    let conversion = Conversion::new(opened, container, dtype).unwrap_or_else(|e| panic!("{e}"));
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    block_on(conversion.write(&mut take)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bytes.len() as u64, conversion.bytes(), "the announced size");
    bytes
}

/// Opens a GGUF in memory.
fn open(bytes: Vec<u8>) -> Result<Opened, fastweight::load::LoadError> {
    block_on(gguf::open(Box::new(MemorySource::new("model.gguf", bytes))))
}
