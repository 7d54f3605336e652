//! Reading checkpoints: a source of bytes, a catalogue of tensors, and their conversion while they stream by.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::blocks::Format;
use crate::quote::shown;
use crate::tensor::DType;

mod convert;
mod file;
mod folder;
pub mod gguf;
pub mod safetensors;
pub mod stream;
mod tensors;

pub use convert::{Container, Conversion};
pub use file::{FileSource, open_path};
pub use folder::{Folder, Listing, Opened, Opening, open_folder};
pub(crate) use tensors::{TensorPlace, places};
pub use tensors::{matrix_type, weight_rows};

/// Bytes that are read at a time.
pub const PIECE: usize = 1 << 20;

/// Why a model can't be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The system's word on a file.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that ends early.
    #[error("{file} ends after {found} bytes, {wanted} are needed for {what}")]
    Truncated {
        /// Which file.
        file: String,
        /// What was being read.
        what: String,
        /// Bytes needed.
        wanted: u64,
        /// Bytes there.
        found: u64,
    },
    /// A file that contradicts itself or its format.
    #[error("{file}: {what} is {found}, wanted {wanted}")]
    Invalid {
        /// Which file.
        file: String,
        /// The tensor or field.
        what: String,
        /// What it says.
        found: String,
        /// What would do.
        wanted: String,
    },
    /// A tensor that the model needs and the checkpoint lacks.
    #[error("{file} has no tensor {name}")]
    MissingTensor {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A NaN or an infinity among the weights.
    #[error("{file}: tensor {name} is not finite at element {element}")]
    NotFinite {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
        /// The first bad element.
        element: u64,
    },
    /// A model family that is not known.
    #[error("{file}: architecture {found} is not supported; supported: {supported}")]
    UnknownArchitecture {
        /// The checkpoint.
        file: String,
        /// What it says it is.
        found: String,
        /// What would do.
        supported: String,
    },
    /// More memory than there is.
    #[error("the model needs {needed} bytes for {what}, {had} are allowed")]
    OutOfMemory {
        /// Weights, state or buffers.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        had: u64,
    },
}

impl LoadError {
    pub(crate) fn invalid(file: &str, what: impl Into<String>, found: impl ToString, wanted: impl Into<String>) -> LoadError {
        LoadError::Invalid { file: file.into(), what: shown(what.into()), found: shown(found), wanted: wanted.into() }
    }
}

/// What [`Source::read`] returns.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, LoadError>> + 'a>>;

/// Bytes at an offset: a file, a range of a web resource, a block of memory.
pub trait Source {
    /// Its name in messages.
    fn name(&self) -> &str;
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Exactly `length` bytes from `offset` on, or an error.
    fn read(&self, offset: u64, length: usize) -> Reading<'_>;
}

/// A block of memory.
pub struct MemorySource {
    name: String,
    bytes: Vec<u8>,
}

impl MemorySource {
    /// Wraps `bytes`.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> MemorySource {
        MemorySource { name: name.into(), bytes }
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> Reading<'_> {
        let read = || {
            let start = usize::try_from(offset).ok()?;
            self.bytes.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
        };
        let bytes = read().ok_or_else(|| truncated(self, "a read", offset, length));
        Box::pin(std::future::ready(bytes))
    }
}

fn truncated(source: &dyn Source, what: &str, offset: u64, length: usize) -> LoadError {
    let wanted = offset.saturating_add(length as u64);
    LoadError::Truncated { file: source.name().into(), what: what.into(), wanted, found: source.len() }
}

/// A tensor of a checkpoint, described in the Hugging Face layout whatever the file's own.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// How the file holds its elements.
    pub format: Format,
    /// Shape in the Hugging Face layout.
    pub shape: Vec<usize>,
    /// Which of the checkpoint's files.
    pub file: usize,
    /// First byte of its data in that file.
    pub offset: u64,
    /// How the file's numbers become the tensor's.
    pub form: Form,
}

/// How the numbers of a file become those of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They are the same.
    Plain,
    /// The file holds `[columns, rows]` of the matrix that the shape describes.
    Transposed,
    /// The file holds −eˣ of each x: a GGUF has Mamba's A where a checkpoint has `A_log`.
    NegativeExp,
}

impl TensorInfo {
    /// A tensor that the file holds as it is.
    pub fn plain(format: impl Into<Format>, shape: Vec<usize>, file: usize, offset: u64) -> TensorInfo {
        TensorInfo { format: format.into(), shape, file, offset, form: Form::Plain }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.format.bytes_of(self.len())
    }
}

/// A checkpoint: its files, and where in them its tensors are.
pub struct Checkpoint {
    /// The files.
    pub sources: Vec<Box<dyn Source>>,
    /// Tensors by their Hugging Face name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The type in which matrices are to be held, if not each in its own.
    pub dtype: Option<DType>,
}

impl Checkpoint {
    /// The name of the checkpoint in messages.
    pub fn name(&self) -> &str {
        self.sources.first().map_or("the checkpoint", |s| s.name())
    }

    /// A tensor that must be there, with these sizes.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, LoadError> {
        let info = self.tensors.get(name);
        let info = info.ok_or_else(|| LoadError::MissingTensor { file: self.name().into(), name: name.into() })?;
        if info.shape != shape {
            return Err(LoadError::invalid(
                self.sources.get(info.file).map_or(self.name(), |s| s.name()),
                format!("the shape of {name}"),
                format!("{:?}", info.shape),
                format!("{shape:?}"),
            ));
        }
        Ok(info)
    }
}

/// A product of sizes that came from outside, if it fits.
pub(crate) fn checked_len(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size)).filter(|n| *n as u64 <= 1 << 40)
}
