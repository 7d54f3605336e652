//! A model on a device: its weights, and the programs that its sessions share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};

use super::programs::{self, Purpose, START_CONTEXT, USUAL_CONTEXT};
use super::weights::{self, Memory, Origin};
use super::{Batch, Session};
use crate::device::Device;
use crate::error::Error;
use crate::exec::{Program, Weights};
use crate::kernels::rope::MAX_POSITIONS;
use crate::load::{self, LoadError, Opened};
use crate::models::{self, Architecture, Capacity};
use crate::plan::Plan;
use crate::tensor::DType;
use crate::text::{Template, TextError, Tokenizer};

/// A loaded model. Cheap to clone; sessions of it share weights and programs.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

/// Prepared programs by purpose, number of sequences and context.
type Programs = HashMap<(Purpose, usize, usize), Prepared>;

/// A program, which lives as long as the model if it has the context that sessions start with, else as long as those who use it.
struct Prepared {
    program: Weak<Program>,
    capacity: Capacity,
    _kept: Option<Arc<Program>>,
}

struct Inner {
    name: String,
    architecture: Box<dyn Architecture>,
    tokenizer: Option<Tokenizer>,
    end_tokens: Vec<u32>,
    /// The source of the chat template, and the tokens that begin and end a text.
    template: Option<(String, [Option<String>; 2])>,
    fingerprint: String,
    /// Positions that a session may have, if its state grows.
    context_limit: Option<usize>,
    cache: DType,
    loaded: Mutex<Arc<Loaded>>,
}

/// A model's weights on a device, and the programs prepared there.
pub(super) struct Loaded {
    pub(super) device: Device,
    pub(super) weights: Weights,
    /// Tokens that a run takes at most.
    chunk: usize,
    /// Tokens of a sequence that a chunk takes: on a GPU the first one, on the CPU every one, so that the same input is cut, and so
    /// rounded, the same way however fast the machine is.
    pub(super) pace: usize,
    programs: Mutex<Programs>,
    /// The fast weights that sessions start with, once somebody wanted to see them.
    pub(super) fast_start: Mutex<Option<Arc<Vec<f32>>>>,
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
    /// Positions that a session of a model with a growing state may have; by default those that the model was trained for, but
    /// at most 4096. Models with a state of fixed size ignore it.
    pub context_size: Option<usize>,
    /// Element type of such a state: f32, the default, or f16 for half of the memory.
    pub cache: Option<DType>,
    /// Hold matrices in this type instead of each in the file's own. Rows that are no whole blocks of it are held in f16, and
    /// small vectors and learned start weights always in f32.
    pub dtype: Option<DType>,
    /// Called as weights arrive.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

impl Model {
    /// Opens a folder or a weight file and loads it onto a device.
    pub async fn open(path: impl AsRef<Path>, device: &Device) -> Result<Model, Error> {
        Model::load(load::open_path(path.as_ref()).await?, device, LoadOptions::default()).await
    }

    /// Loads what [`load::open_path`] or another source found.
    pub async fn load(opened: Opened, device: &Device, options: LoadOptions<'_>) -> Result<Model, Error> {
        Model::make(opened, None, device, options).await
    }

    /// A model with random weights, made on the device: for measuring, where no file is. `opened` describes its tensors, none of which is read. The
    /// same seed makes the same weights everywhere.
    pub async fn random(opened: Opened, seed: u64, device: &Device, options: LoadOptions<'_>) -> Result<Model, Error> {
        Model::make(opened, Some(seed), device, options).await
    }

    async fn make(opened: Opened, seed: Option<u64>, device: &Device, mut options: LoadOptions<'_>) -> Result<Model, Error> {
        let Opened { mut checkpoint, config, tokenizer, generation, tokenizer_config, chat_template } = opened;
        checkpoint.dtype = options.dtype.or(checkpoint.dtype);
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

        let context_limit = context_limit(&*architecture, options.context_size)?;
        let cache = options.cache.unwrap_or(DType::F32);
        if !matches!(cache, DType::F32 | DType::F16) {
            return Err(Error::Option { name: "cache", found: cache.to_string(), wanted: "f32 or f16" });
        }
        let (tokens, context) = (chunk(&*architecture, device), context_limit.unwrap_or(0));
        let full = Capacity { sequences: 1, tokens, context, cache, probe: false };
        let tokenizer_bytes = tokenizer_bytes.unwrap_or_default();
        let origin = seed.map_or(Origin::Files(&checkpoint), |seed| Origin::Random(&checkpoint, seed));
        let (loaded, fingerprint) = Loaded::new(&*architecture, origin, &tokenizer_bytes, device, full, &mut options).await?;
        let inner = Inner {
            name,
            architecture,
            tokenizer,
            end_tokens: ends,
            template,
            fingerprint,
            context_limit,
            cache,
            loaded: Mutex::new(Arc::new(loaded)),
        };
        Ok(Model { inner: Arc::new(inner) })
    }

    /// Moves the model to another device, from the same files: after [`crate::device::DeviceError::Lost`], or to free a GPU. Its
    /// sessions follow with their next call, from what they keep on the host; batches stay where they are.
    pub async fn move_to(&self, mut opened: Opened, device: &Device, mut options: LoadOptions<'_>) -> Result<(), Error> {
        opened.checkpoint.dtype = options.dtype.or(opened.checkpoint.dtype);
        let architecture = models::open(&opened.checkpoint, opened.config.as_ref())?;
        let full = Capacity { tokens: chunk(&*architecture, device), ..self.room(1, self.inner.context_limit.unwrap_or(0)) };
        let tokenizer = opened.tokenizer.unwrap_or_default();
        let origin = Origin::Files(&opened.checkpoint);
        let (loaded, found) = Loaded::new(&*architecture, origin, &tokenizer, device, full, &mut options).await?;
        if found != self.inner.fingerprint {
            let (what, wanted) = ("the model's fingerprint", self.inner.fingerprint.clone());
            return Err(LoadError::invalid(opened.checkpoint.name(), what, found, wanted).into());
        }
        *self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }

    /// The weights where they are now.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file or folder that it came from.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The device that it is on.
    pub fn device(&self) -> Device {
        self.loaded().device.clone()
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

    /// What a session's state belongs to: architecture, tokenizer, norms and learned start weights, as hexadecimal digits.
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

    /// Positions that a session may have; none where the state's size is fixed and there is no limit.
    pub fn context_limit(&self) -> Option<usize> {
        self.inner.context_limit
    }

    /// Room for `needed` positions, in doubling steps up to the limit; 0 where the state does not grow.
    pub(super) fn context_for(&self, needed: usize) -> usize {
        self.inner.context_limit.map_or(0, |limit| limit.min(stepped(needed)))
    }

    /// The plan of a purpose for this many sequences, as this device runs it while they are short.
    pub fn plan(&self, purpose: Purpose, sequences: usize) -> Result<Plan, Error> {
        let room = self.room(sequences, self.context_for(0));
        Ok(programs::plan(&*self.inner.architecture, purpose, room, self.device().caps())?.0)
    }

    /// The plan of a run of so many tokens that ends where each sequence has `context` positions, and the tokens that it takes at most.
    pub(crate) fn plan_at(
        &self,
        purpose: Purpose,
        sequences: usize,
        tokens: usize,
        context: usize,
    ) -> Result<(Plan, usize), Error> {
        let context = self.inner.context_limit.map_or(0, |_| context);
        let room = self.room(sequences, context);
        let wanted = Capacity { tokens: tokens.min(room.tokens), ..room };
        let (plan, capacity) = programs::plan(&*self.inner.architecture, purpose, wanted, self.device().caps())?;
        Ok((plan, capacity.tokens))
    }

    /// The unfused graph of a purpose for one sequence.
    pub fn graph(&self, purpose: Purpose) -> Result<crate::graph::Graph, Error> {
        Ok(programs::graph(&*self.inner.architecture, purpose, self.room(1, self.context_for(0)))?)
    }

    fn room(&self, sequences: usize, context: usize) -> Capacity {
        let tokens = self.loaded().chunk.max(4 * sequences);
        Capacity { sequences, tokens, context, cache: self.inner.cache, probe: false }
    }

    /// The program of a purpose for sequences with room for `context` positions each, prepared on first use.
    pub(super) async fn program(
        &self,
        on: &Loaded,
        purpose: Purpose,
        sequences: usize,
        context: usize,
    ) -> Result<(Arc<Program>, Capacity), Error> {
        let key = (purpose, sequences, context);
        let programs = || on.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = || programs().get(&key).and_then(|p| Some((p.program.upgrade()?, p.capacity)));
        if let Some(found) = cached() {
            return Ok(found);
        }
        let room = self.room(sequences, context);
        let (plan, capacity) = programs::plan(&*self.inner.architecture, purpose, room, on.device.caps())?;
        let program = Arc::new(Program::new(&on.device, Arc::new(plan), &on.weights).await?);
        // Another session may have been faster.
        if let Some(found) = cached() {
            return Ok(found);
        }
        let _kept = (context == self.context_for(0)).then(|| program.clone());
        let mut programs = programs();
        programs.retain(|_, p| p.program.strong_count() > 0);
        programs.insert(key, Prepared { program: Arc::downgrade(&program), capacity, _kept });
        Ok((program, capacity))
    }
}

/// The steps in which a growing state's room doubles.
fn stepped(needed: usize) -> usize {
    START_CONTEXT.saturating_mul(needed.max(1).div_ceil(START_CONTEXT).next_power_of_two())
}

/// Bytes that a model and so many sequences of it will take on a device to read and to write, when they have come as far as `needed` of the positions that
/// the model is limited to; the error says why they can't.
pub(crate) fn estimate(
    architecture: &dyn Architecture,
    device: &Device,
    sequences: usize,
    (needed, limit): (usize, usize),
    cache: DType,
) -> Result<Memory, Error> {
    let context = architecture.context().map_or(0, |_| limit.min(stepped(needed)));
    let tokens = chunk(architecture, device).max(4 * sequences);
    let capacity = Capacity { sequences, tokens, context, cache, probe: false };
    let plan = |purpose| programs::plan(architecture, purpose, capacity, device.caps());
    Ok(Memory::of(&[plan(Purpose::Prefill)?.0, plan(Purpose::Decode)?.0], device))
}

/// Operations of a chunk on the CPU by each thread: up to half a second, which whoever cancels waits. Every chunk decodes and packs all weights
/// anew, and with few tokens it does little else.
const CHUNK_OPERATIONS: f64 = 2e10;

/// Tokens that a run takes at most: fewer on the CPU, for the sake of memory and of those who wait.
fn chunk(architecture: &dyn Architecture, device: &Device) -> usize {
    architecture.chunk().max(if device.is_cpu() { 128 } else { 256 })
}

impl Loaded {
    /// Brings a model's weights to a device, and tells the model's fingerprint. Memory is estimated for a session that is `full`.
    async fn new(
        architecture: &dyn Architecture,
        origin: Origin<'_>,
        tokenizer: &[u8],
        device: &Device,
        full: Capacity,
        options: &mut LoadOptions<'_>,
    ) -> Result<(Loaded, String), Error> {
        let mut plans = Vec::new();
        for purpose in [Purpose::Prefill, Purpose::Decode, Purpose::Loss] {
            plans.push(programs::plan(architecture, purpose, full, device.caps())?.0);
        }
        Memory::of(&plans, device).within(options.memory)?;
        let operations = plans[0].cost().operations / full.tokens as f64;
        let pace = if device.is_cpu() {
            let tokens = CHUNK_OPERATIONS * rayon::current_num_threads() as f64 / operations;
            (tokens as usize).clamp(16, full.tokens)
        } else {
            16
        };
        let mut weights = Weights::new(device);
        let mut hasher = Sha256::new();
        weights::bring(origin, &plans, &mut weights, &mut hasher, &mut options.progress).await?;
        hasher.update(architecture.family());
        for (size, value) in architecture.sizes() {
            hasher.update(format!("{size}={value};"));
        }
        hasher.update(tokenizer);
        let fingerprint = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let (programs, fast_start) = (Mutex::default(), Mutex::default());
        let pace = 1 << pace.ilog2();
        Ok((Loaded { device: device.clone(), weights, chunk: full.tokens, pace, programs, fast_start }, fingerprint))
    }
}

/// The plans with which a session of a model begins on a device, for every purpose, by its headers alone: what [`crate::verify::tune`] asks for.
pub fn plans(opened: &Opened, options: &LoadOptions<'_>, device: &Device) -> Result<Vec<Plan>, Error> {
    let architecture = models::open(&opened.checkpoint, opened.config.as_ref())?;
    let context = context_limit(&*architecture, options.context_size)?.map_or(0, |limit| limit.min(START_CONTEXT));
    let (tokens, cache) = (chunk(&*architecture, device), options.cache.unwrap_or(DType::F32));
    let room = Capacity { sequences: 1, tokens, context, cache, probe: false };
    let plan = |purpose| Ok(programs::plan(&*architecture, purpose, room, device.caps())?.0);
    Purpose::ALL.into_iter().map(plan).collect()
}

/// Positions that a session of a model may have, if its state grows.
fn context_limit(architecture: &dyn Architecture, asked: Option<usize>) -> Result<Option<usize>, Error> {
    let Some(trained) = architecture.context() else { return Ok(None) };
    match asked {
        None => Ok(Some(trained.min(USUAL_CONTEXT))),
        Some(size) if (1..=MAX_POSITIONS).contains(&size) => Ok(Some(size)),
        Some(size) => Err(Error::Option { name: "context size", found: size.to_string(), wanted: "1 to 1048576" }),
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
