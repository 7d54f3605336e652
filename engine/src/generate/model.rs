//! A model on a device: its weights, and the programs that its sessions share.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::programs::{self, Purpose};
use super::{Batch, Session};
use crate::device::Device;
use crate::error::Error;
use crate::exec::{Program, Weights};
use crate::graph::Weight;
use crate::load::{self, Checkpoint, LoadError, Opened};
use crate::models::{self, Architecture, Capacity};
use crate::plan::{Plan, PlanWeight};
use crate::text::{Template, TextError, Tokenizer};

/// A loaded model. Cheap to clone; sessions of it share weights and programs.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

/// Prepared programs by purpose and number of sequences.
type Programs = HashMap<(Purpose, usize), (Arc<Program>, Capacity)>;

struct Inner {
    name: String,
    device: Device,
    architecture: Box<dyn Architecture>,
    weights: Weights,
    tokenizer: Option<Tokenizer>,
    end_tokens: Vec<u32>,
    /// The source of the chat template, and the tokens that begin and end a text.
    template: Option<(String, [Option<String>; 2])>,
    fingerprint: String,
    chunk: usize,
    programs: Mutex<Programs>,
}

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of weights on the device.
    pub loaded: u64,
    /// Bytes of weights in all.
    pub total: u64,
}

/// How to load a model.
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// Refuse a model that needs more bytes than this for weights, state and buffers.
    pub memory: Option<u64>,
    /// Called as weights arrive.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// Bytes that are uploaded before they are waited for.
const UPLOAD: u64 = 64 << 20;

impl Model {
    /// Opens a folder or a weight file and loads it onto a device.
    pub async fn open(path: impl AsRef<Path>, device: &Device) -> Result<Model, Error> {
        Model::load(load::open_path(path.as_ref()).await?, device, LoadOptions::default()).await
    }

    /// Loads what [`load::open_path`] or another source found.
    pub async fn load(opened: Opened, device: &Device, mut options: LoadOptions<'_>) -> Result<Model, Error> {
        let Opened { checkpoint, config, tokenizer, generation, tokenizer_config, chat_template } = opened;
        let name = checkpoint.name().to_string();
        let architecture = models::open(&checkpoint, config.as_ref())?;
        let tokenizer_bytes = tokenizer;
        let tokenizer = match &tokenizer_bytes {
            Some(bytes) => Some(Tokenizer::parse(&format!("{name}: tokenizer.json"), bytes, architecture.vocabulary())?),
            None => None,
        };
        let mut ends = None;
        for config in [&config, &generation].into_iter().flatten() {
            ends = end_tokens(&name, config)?.or(ends);
        }

        let special = ["bos", "eos"].map(|which| {
            let spelled = tokenizer_config.as_ref().and_then(|c| spelled(&c[format!("{which}_token")]));
            let id = config.as_ref().and_then(|c| c.get(format!("{which}_token_id"))?.as_u64());
            let by_id = || tokenizer.as_ref()?.token(u32::try_from(id?).ok()?);
            spelled.or_else(by_id)
        });
        let template = chat_template.map(|source| (source, special));
        let mut ends = ends.unwrap_or_default();
        // A model that converses ends its turn with the tokenizer's end, where its config knows only the end of a text.
        if let (Some(tokenizer), Some((_, [_, Some(end)]))) = (&tokenizer, &template) {
            ends.extend(tokenizer.id(end).filter(|id| !ends.contains(id)));
        }

        // The CPU takes fewer rows at a time, for the sake of memory and of those who wait.
        let chunk = if device.is_cpu() { 64 } else { 256 };
        let chunk = chunk.max(architecture.chunk());
        let mut plans = Vec::new();
        for purpose in [Purpose::Prefill, Purpose::Decode, Purpose::Loss] {
            plans.push(programs::plan(&*architecture, purpose, 1, chunk, device.caps())?.0);
        }
        refuse_too_large(&plans, options.memory)?;
        let mut weights = Weights::new(device);
        let mut hasher = Sha256::new();
        load_weights(&checkpoint, &plans, &mut weights, &mut hasher, &mut options.progress).await?;
        hasher.update(architecture.family());
        for (size, value) in architecture.sizes() {
            hasher.update(format!("{size}={value};"));
        }
        hasher.update(tokenizer_bytes.unwrap_or_default());
        let fingerprint = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let (device, programs) = (device.clone(), Mutex::default());
        let inner =
            Inner { name, device, architecture, weights, tokenizer, end_tokens: ends, template, fingerprint, chunk, programs };
        Ok(Model { inner: Arc::new(inner) })
    }

    /// The file or folder that it came from.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The device that it is on.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// Its family and sizes.
    pub fn architecture(&self) -> &dyn Architecture {
        &*self.inner.architecture
    }

    /// Its tokenizer, or an error that says that it has none.
    pub fn tokenizer(&self) -> Result<&Tokenizer, TextError> {
        self.inner.tokenizer.as_ref().ok_or_else(|| TextError::Missing(self.inner.name.clone()))
    }

    /// Its chat template, or an error that says that it has none.
    pub fn template(&self) -> Result<Template, TextError> {
        let (source, [bos, eos]) = self.inner.template.as_ref().ok_or_else(|| TextError::NoTemplate(self.inner.name.clone()))?;
        Template::parse(&self.inner.name, source, bos.clone(), eos.clone())
    }

    /// The tokens that end a text.
    pub fn end_tokens(&self) -> &[u32] {
        &self.inner.end_tokens
    }

    /// What a session's state belongs to: architecture, tokenizer and learned start weights, as hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.inner.fingerprint
    }

    /// A fresh session.
    pub async fn session(&self) -> Result<Session, Error> {
        Session::new(self).await
    }

    /// Fresh sequences that advance side by side.
    pub async fn batch(&self, sequences: usize) -> Result<Batch, Error> {
        Batch::new(self, sequences).await
    }

    /// The plan of a purpose for this many sequences, as this device runs it.
    pub fn plan(&self, purpose: Purpose, sequences: usize) -> Result<Plan, Error> {
        Ok(programs::plan(&*self.inner.architecture, purpose, sequences, self.chunk(sequences), self.inner.device.caps())?.0)
    }

    /// The unfused graph of a purpose for one sequence.
    pub fn graph(&self, purpose: Purpose) -> Result<crate::graph::Graph, Error> {
        let capacity = Capacity { sequences: 1, tokens: self.inner.chunk };
        Ok(programs::graph(&*self.inner.architecture, purpose, capacity)?)
    }

    fn chunk(&self, sequences: usize) -> usize {
        self.inner.chunk.max(4 * sequences)
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.inner.weights
    }

    /// The program of a purpose, prepared on first use.
    pub(super) async fn program(&self, purpose: Purpose, sequences: usize) -> Result<(Arc<Program>, Capacity), Error> {
        let cached =
            |inner: &Inner| inner.programs.lock().unwrap_or_else(PoisonError::into_inner).get(&(purpose, sequences)).cloned();
        if let Some(found) = cached(&self.inner) {
            return Ok(found);
        }
        let architecture = &*self.inner.architecture;
        let (plan, capacity) = programs::plan(architecture, purpose, sequences, self.chunk(sequences), self.inner.device.caps())?;
        let program = Arc::new(Program::new(&self.inner.device, Arc::new(plan), &self.inner.weights).await?);
        let mut programs = self.inner.programs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(programs.entry((purpose, sequences)).or_insert((program, capacity)).clone())
    }
}

/// A token of a `tokenizer_config.json`: its spelling, or an object with it.
fn spelled(field: &serde_json::Value) -> Option<String> {
    field.as_str().or_else(|| field.get("content")?.as_str()).map(String::from)
}

/// The end tokens of a config, if it names any: one id or several.
fn end_tokens(file: &str, config: &serde_json::Value) -> Result<Option<Vec<u32>>, LoadError> {
    let Some(field) = config.get("eos_token_id").filter(|field| !field.is_null()) else { return Ok(None) };
    let id = |v: &serde_json::Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match field.as_array() {
        Some(ids) => ids.iter().map(id).collect(),
        None => id(field).map(|id| vec![id]),
    };
    match ids {
        Some(ids) => Ok(Some(ids)),
        // A text without its end would run on.
        None => Err(LoadError::invalid(file, "config field eos_token_id", field, "a token id or a list of them")),
    }
}

fn refuse_too_large(plans: &[Plan], memory: Option<u64>) -> Result<(), LoadError> {
    let Some(had) = memory else { return Ok(()) };
    let mut seen = BTreeSet::new();
    let distinct = plans.iter().flat_map(|p| &p.weights).filter(|w| seen.insert((w.label.clone(), w.desc.to_string())));
    let weights: u64 = distinct.map(|w| w.desc.bytes() as u64).sum();
    let slots: u64 = plans.iter().map(Plan::slot_bytes).sum();
    let state = plans.iter().map(|p| p.states.bytes()).max().unwrap_or(0);
    let needed = weights + slots + state;
    if needed > had {
        let what = format!("weights ({weights}), buffers ({slots}) and state ({state})");
        return Err(LoadError::OutOfMemory { what, needed, had });
    }
    Ok(())
}

async fn load_weights(
    checkpoint: &Checkpoint,
    plans: &[Plan],
    weights: &mut Weights,
    hasher: &mut Sha256,
    progress: &mut Option<&mut dyn FnMut(Progress)>,
) -> Result<(), Error> {
    let mut wanted: Vec<&PlanWeight> = Vec::new();
    for weight in plans.iter().flat_map(|p| &p.weights) {
        if !wanted.iter().any(|w| w.weight == weight.weight && w.desc == weight.desc) {
            wanted.push(weight);
        }
    }
    // Each file is read from front to back.
    wanted.sort_by_key(|w| match &w.weight {
        Weight::Tensors { names, .. } => checkpoint.tensors.get(&names[0]).map_or((0, 0), |info| (info.file, info.offset)),
        Weight::Constant(_) => (0, 0),
    });
    let starts: Vec<&Weight> = plans.iter().flat_map(|p| &p.states.states).filter_map(|s| s.initial.as_ref()).collect();
    let total = wanted.iter().map(|w| w.desc.bytes() as u64).sum();
    let (mut loaded, mut waiting) = (0, 0);
    let mut learned: Vec<(String, Vec<u8>)> = Vec::new();
    for weight in wanted {
        let learned_start = starts.contains(&&weight.weight);
        let mut digest = Sha256::new();
        let mut filling = weights.fill(weight).await?;
        let row_bytes = weight.desc.row_bytes();
        for (i, part) in weight.parts.iter().enumerate() {
            let (first, count) = (part.first as usize, part.count as usize);
            // Half-width pieces widen to twice their size on the way.
            let piece = (load::PIECE / row_bytes).max(1);
            for start in (0..count).step_by(piece) {
                let rows = piece.min(count - start);
                let words = load::weight_rows(checkpoint, weight, first + start, rows).await?;
                if learned_start {
                    digest.update(bytemuck::cast_slice(&words));
                }
                filling.write(i, start * row_bytes, &words);
                loaded += (rows * row_bytes) as u64;
                waiting += (rows * row_bytes) as u64;
                if let Some(progress) = progress {
                    progress(Progress { loaded, total });
                }
            }
        }
        filling.finish();
        if learned_start {
            learned.push((weight.label.clone(), digest.finalize().to_vec()));
        }
        if waiting >= UPLOAD {
            weights.flush().await?;
            waiting = 0;
        }
    }
    weights.flush().await?;
    learned.sort();
    learned.dedup();
    for (label, digest) in learned {
        hasher.update(label);
        hasher.update(digest);
    }
    Ok(())
}
