//! A session's state as bytes, independent of device, weight format and batch: magic, version, a JSON head, the tensors in
//! little-endian order, a checksum.

use half::f16;
use serde::{Deserialize, Serialize};

use super::journal::{Journal, Kept};
use super::session::LEARNING;
use super::{Model, Sampling, Session};
use crate::error::Error;
use crate::plan::StateLayout;
use crate::quote::shown;
use crate::tensor::DType;
use crate::text::TextStream;

/// The first bytes of every state.
const MAGIC: [u8; 8] = *b"FWSTATE\0";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// The longest head that is read.
const MAX_HEAD: usize = 16 << 20;

/// Why a state is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not the beginning of a state.
    #[error("not a session state: it begins with {found:02x?}, wanted {MAGIC:02x?}")]
    Magic {
        /// What it begins with.
        found: Vec<u8>,
    },
    /// A version that this build does not know.
    #[error("a session state of version {found}, wanted {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Too short, or too long.
    #[error("a session state of {found} bytes, wanted {wanted} for {what}")]
    Length {
        /// What needs so many bytes.
        what: String,
        /// How many there should be.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
    /// The bytes were changed.
    #[error("the session state is damaged: its checksum is {found:08x}, wanted {wanted:08x}")]
    Checksum {
        /// What the bytes give.
        found: u32,
        /// What the file says.
        wanted: u32,
    },
    /// The head is no JSON of the right form.
    #[error("the head of the session state is unreadable: {0}")]
    Head(String),
    /// Of another model.
    #[error("the session state belongs to another model: its fingerprint is {found}, this model's is {wanted}")]
    OtherModel {
        /// The state's.
        found: String,
        /// The model's.
        wanted: String,
    },
    /// A field or tensor out of range.
    #[error("the session state's {what} is {found}, wanted {wanted}")]
    Invalid {
        /// Which.
        what: String,
        /// What it is.
        found: String,
        /// What would do.
        wanted: String,
    },
}

/// The head: everything but the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    fingerprint: String,
    position: u32,
    pending: Option<u32>,
    learning: f32,
    sampling: Sampling,
    stream: TextStream,
    held: String,
    tensors: Vec<Tensor>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    dtype: String,
    /// Elements.
    len: u64,
}

impl Head {
    /// Checks what needs no model.
    fn check(&self) -> Result<(), SnapshotError> {
        let invalid = |what: &str, found: String, wanted: &str| {
            Err(SnapshotError::Invalid { what: what.into(), found, wanted: wanted.into() })
        };
        if !LEARNING.contains(&self.learning) {
            return invalid("learning scale", self.learning.to_string(), "0 to 100");
        }
        match self.sampling.check() {
            Err(error) => invalid("sampling", error.to_string(), "options in range"),
            Ok(()) => Ok(()),
        }
    }
}

impl Tensor {
    /// The element type of what is tensor `i` of a head.
    fn dtype(&self, i: usize) -> Result<DType, SnapshotError> {
        let known = [DType::F32, DType::F16, DType::U32].into_iter().find(|dtype| dtype.name() == self.dtype);
        known.ok_or_else(|| SnapshotError::Invalid {
            what: format!("element type of tensor {i}"),
            found: shown(&self.dtype),
            wanted: "f32, f16 or u32".into(),
        })
    }
}

/// A parsed state, not yet of any model.
#[derive(Debug, Clone, PartialEq)]
pub struct StateFile {
    head: Head,
    tensors: Vec<Vec<u32>>,
}

impl StateFile {
    /// Parses bytes from outside.
    pub fn parse(bytes: &[u8]) -> Result<StateFile, SnapshotError> {
        let length = |what: &str, wanted: usize| SnapshotError::Length {
            what: what.into(),
            wanted: wanted as u64,
            found: bytes.len() as u64,
        };
        let magic = &bytes[..bytes.len().min(8)];
        if magic != MAGIC {
            return Err(SnapshotError::Magic { found: magic.to_vec() });
        }
        let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let version = word(8).ok_or_else(|| length("the version", 12))?;
        if version != VERSION {
            return Err(SnapshotError::Version { found: version });
        }
        let head_bytes = word(12).ok_or_else(|| length("the head's length", 16))? as usize;
        if head_bytes > MAX_HEAD {
            let (found, wanted) = (head_bytes.to_string(), format!("at most {MAX_HEAD}"));
            return Err(SnapshotError::Invalid { what: "head's length".into(), found, wanted });
        }
        let body = bytes.len().checked_sub(4).filter(|n| *n >= 16 + head_bytes);
        let body = body.ok_or_else(|| length("the head and the checksum", 20 + head_bytes))?;
        let (found, wanted) = (crc32fast::hash(&bytes[..body]), word(body).unwrap_or(0));
        if found != wanted {
            return Err(SnapshotError::Checksum { found, wanted });
        }
        let head: Head = serde_json::from_slice(&bytes[16..16 + head_bytes]).map_err(|e| SnapshotError::Head(shown(e)))?;
        head.check()?;
        let mut rest = &bytes[16 + head_bytes..body];
        let mut tensors = Vec::new();
        for (i, tensor) in head.tensors.iter().enumerate() {
            let dtype = tensor.dtype(i)?;
            let bytes = |len: usize| len.checked_mul(dtype.bytes_of(1))?.checked_next_multiple_of(4);
            let bytes = usize::try_from(tensor.len).ok().and_then(bytes).filter(|n| *n <= rest.len());
            let bytes = bytes.ok_or_else(|| SnapshotError::Length {
                what: format!("state {}", shown(&tensor.name)),
                wanted: tensor.len.saturating_mul(dtype.bytes_of(1) as u64),
                found: rest.len() as u64,
            })?;
            let (data, after) = rest.split_at(bytes);
            tensors.push(data.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(SnapshotError::Length {
                what: "all states".into(),
                wanted: (body - rest.len()) as u64,
                found: body as u64,
            });
        }
        Ok(StateFile { head, tensors })
    }

    /// The bytes that [`StateFile::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("a head of numbers and strings is JSON");
        let mut bytes = Vec::with_capacity(20 + head.len() + self.tensors.iter().map(|t| t.len() * 4).sum::<usize>());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        for tensor in &self.tensors {
            tensor.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Checks that every field and tensor is what `model` needs.
    fn check(&self, model: &Model, layout: &StateLayout) -> Result<(), SnapshotError> {
        let head = &self.head;
        if head.fingerprint != model.fingerprint() {
            let (found, wanted) = (shown(&head.fingerprint), model.fingerprint().to_string());
            return Err(SnapshotError::OtherModel { found, wanted });
        }
        let invalid = |what: String, found: String, wanted: String| Err(SnapshotError::Invalid { what, found, wanted });
        let vocabulary = model.architecture().vocabulary();
        if let Some(id) = head.pending.filter(|id| *id as usize >= vocabulary) {
            return invalid("pending token".into(), id.to_string(), format!("below {vocabulary}"));
        }
        if !head.stream.is_consistent(vocabulary) {
            return invalid("text".into(), "inconsistent".into(), "tokens of the vocabulary".into());
        }
        if let Some(limit) = model.context_limit().filter(|limit| head.position as usize > *limit) {
            return invalid("position".into(), head.position.to_string(), format!("at most the context of {limit}"));
        }
        if layout.states.len() != head.tensors.len() {
            return invalid("number of tensors".into(), head.tensors.len().to_string(), layout.states.len().to_string());
        }
        for (i, (place, found)) in layout.states.iter().zip(&head.tensors).enumerate() {
            // A cache may have been kept in the other of its types.
            let kept = found.dtype(i)?;
            let dtype = if place.grows && kept != DType::U32 { kept } else { place.desc.dtype };
            let wanted = Tensor {
                name: place.name.clone(),
                dtype: dtype.name().into(),
                len: place.used_len(1, head.position as usize) as u64,
            };
            if *found != wanted {
                return invalid(format!("tensor {i}"), shown(format!("{found:?}")), format!("{wanted:?}"));
            }
            let halves = |word: u32| [word & 0xffff, word >> 16];
            let words = self.tensors[i].iter().copied();
            // Infinities and what is no number have the largest exponent.
            let bad = match dtype {
                DType::F32 => words.into_iter().position(|word| word & 0x7f80_0000 == 0x7f80_0000),
                DType::U32 => words.into_iter().position(|word| word as usize >= vocabulary),
                // A cache; no state is of another type.
                _ => words.flat_map(halves).position(|half| half & 0x7c00 == 0x7c00),
            };
            if let Some(at) = bad {
                let found = match dtype {
                    DType::F32 => f32::from_bits(self.tensors[i][at]).to_string(),
                    DType::U32 => self.tensors[i][at].to_string(),
                    _ => "no finite half".into(),
                };
                return invalid(format!("{} at element {at}", place.name), found, "a finite number or a known token".into());
            }
        }
        Ok(())
    }
}

/// Words of finite floats or halves in the other of these types.
fn convert(words: &[u32], from: DType, to: DType) -> Vec<u32> {
    match (from, to) {
        (DType::F16, DType::F32) => {
            let halves = words.iter().flat_map(|w| [f16::from_bits(*w as u16), f16::from_bits((*w >> 16) as u16)]);
            halves.map(|h| h.to_f32().to_bits()).collect()
        }
        (DType::F32, DType::F16) => {
            let half = |word: u32| u32::from(f16::from_f32(f32::from_bits(word).clamp(-65504.0, 65504.0)).to_bits());
            words.as_chunks::<2>().0.iter().map(|[a, b]| half(*a) | half(*b) << 16).collect()
        }
        _ => words.to_vec(),
    }
}

impl Session {
    /// The session's state as bytes: fixed in size for TTT models, as long as the text for those with a cache. [`Session::restore`] goes on from it, on any device.
    pub async fn snapshot(&mut self) -> Result<Vec<u8>, Error> {
        self.follow().await?;
        let batch = &self.batch;
        let position = batch.positions[0];
        let tensors = batch.states.read(0, 1, position as usize).await?;
        let layout = batch.states.layout();
        let describe = |s: &crate::plan::StatePlace| Tensor {
            name: s.name.clone(),
            dtype: s.desc.dtype.name().into(),
            len: s.used_len(1, position as usize) as u64,
        };
        let head = Head {
            fingerprint: self.model().fingerprint().into(),
            position,
            pending: self.pending,
            learning: self.learning(),
            sampling: self.sampling,
            stream: self.stream.clone(),
            held: self.held.clone(),
            tensors: layout.states.iter().map(describe).collect(),
        };
        Ok(StateFile { head, tensors }.to_bytes())
    }

    /// Goes on from a state that [`Session::snapshot`] gave, options included. On an error the session is as it was.
    pub async fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = StateFile::parse(bytes)?;
        let layout = self.batch.states.layout().clone();
        file.check(self.model(), &layout)?;
        let head = file.head;
        let mut states = Vec::new();
        for (i, (tensor, described)) in file.tensors.iter().zip(&head.tensors).enumerate() {
            states.push(convert(tensor, described.dtype(i)?, layout.states[i].desc.dtype));
        }
        if self.is_elsewhere() {
            self.start_over().await?;
        }
        let kept = Kept::new(head.position, states);
        kept.write(&mut self.batch).await?;
        self.batch.learning = head.learning;
        self.ahead = None;
        self.journal = Journal::since(kept, &self.batch);
        (self.pending, self.pending_on_device) = (head.pending, false);
        (self.sampling, self.stream, self.held) = (head.sampling, head.stream, head.held);
        Ok(())
    }
}
