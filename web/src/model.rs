//! Models: loading them from the package's files, and bringing them to another device when theirs is lost.

use std::cell::Cell;
use std::rc::Rc;

use fastweight::device::{self, DeviceError};
use fastweight::error::Error;
use fastweight::generate::{self, LoadOptions, Purpose};
use fastweight::load::{self, Opened};
use fastweight::models::Architecture;
use fastweight::tensor::DType;
use fastweight::text::Message;
use js_sys::Function;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::device::Device;
use crate::error::Failure;
use crate::files::{Files, JsFolder};
use crate::session::Session;
use crate::verify::checked;

/// Devices that one call tries before it gives up.
const ATTEMPTS: usize = 3;

/// What of `LoadOptions` in `lib/types.ts` the engine wants.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    #[serde(default, deserialize_with = "dtype")]
    dtype: Option<DType>,
    ctx_size: Option<usize>,
    #[serde(default, deserialize_with = "dtype")]
    cache_type: Option<DType>,
    memory: Option<u64>,
}

fn dtype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DType>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| name.parse().map_err(serde::de::Error::custom)).transpose()
}

impl Options {
    fn parse(text: &str) -> Result<Options, JsValue> {
        serde_json::from_str(text).map_err(|e| Failure(option("load options", &e.to_string(), "those of LoadOptions")).into())
    }

    fn with<'a>(&self, progress: Option<&'a mut dyn FnMut(generate::Progress)>) -> LoadOptions<'a> {
        LoadOptions { memory: self.memory, context_size: self.ctx_size, cache: self.cache_type, dtype: self.dtype, progress }
    }
}

pub(crate) fn option(name: &'static str, found: &str, wanted: &'static str) -> Error {
    Error::Option { name, found: found.into(), wanted }
}

/// Repeats a call on another device as long as the one that the model is on gets lost.
macro_rules! carried {
    ($model:expr, $call:expr) => {{
        let mut moves = $model.moves();
        loop {
            match $call.await {
                Err(Error::Device(DeviceError::Lost(_))) if $model.recover(&mut moves).await.map_err(Failure)? => {}
                done => break done.map_err(Failure)?,
            }
        }
    }};
}
pub(crate) use carried;

/// A model on a device.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Model {
    pub(crate) inner: generate::Model,
    home: Rc<Home>,
}

/// Where the model can be brought to a device from again.
struct Home {
    folder: JsFolder,
    options: Options,
    /// Moves so far, so that of several sessions only the first to notice a loss moves the model.
    moves: Cell<usize>,
}

async fn open(folder: &JsFolder, options: Options) -> Result<Opened, Error> {
    let files = Files::new(folder.clone());
    let file = files.file();
    let mut opened = load::open_folder(&files, file.as_deref()).await?;
    opened.checkpoint.dtype = options.dtype.or(opened.checkpoint.dtype);
    Ok(opened)
}

/// All sizes of an architecture, by name.
fn sizes(architecture: &dyn Architecture) -> serde_json::Map<String, serde_json::Value> {
    architecture.sizes().into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The sizes of an architecture that the page needs as numbers.
fn size(architecture: &dyn Architecture, name: &str) -> usize {
    architecture.sizes().iter().find(|(n, _)| *n == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

#[wasm_bindgen]
impl Model {
    /// Loads a model: `folder` is a `Folder` of `lib/files.ts`, `options` JSON. `on_progress(loaded, total)` is called as weights arrive; it returns false
    /// to stop.
    pub async fn load(device: &Device, folder: JsFolder, options: &str, on_progress: &Function) -> Result<Model, JsValue> {
        let options = Options::parse(options)?;
        let opened = open(&folder, options).await.map_err(Failure)?;
        let device = checked(&device.inner, &opened, &options.with(None)).await.map_err(Failure)?;
        let mut progress = |p: generate::Progress| {
            // Who listens is asked only to listen.
            let _ = on_progress.call2(&JsValue::NULL, &(p.loaded as f64).into(), &(p.total as f64).into());
        };
        let inner = generate::Model::load(opened, &device, options.with(Some(&mut progress))).await.map_err(Failure)?;
        Ok(Model { inner, home: Rc::new(Home { folder, options, moves: Cell::new(0) }) })
    }

    /// `ModelInfo` of `lib/types.ts` without the device, as JSON.
    pub fn info(&self) -> Result<String, JsValue> {
        let architecture = self.inner.architecture();
        let plan = self.inner.plan(Purpose::Decode, 1).map_err(Failure)?;
        let learns = architecture.learns();
        let if_learns = |name| if learns { size(architecture, name) } else { 0 };
        let info = json!({
            "name": self.inner.name(),
            "family": architecture.family(),
            "sizes": sizes(architecture),
            "learns": learns,
            "layers": if_learns("layers"),
            "heads": if_learns("heads"),
            "miniBatch": if_learns("mini_batch"),
            "vocabulary": architecture.vocabulary(),
            "contextLimit": self.inner.context_limit(),
            "hasChatTemplate": self.inner.template().is_ok(),
            "weightBytes": plan.weight_bytes(),
            "stateBytes": plan.states.bytes(),
        });
        Ok(info.to_string())
    }

    /// The tokens of a text as JSON: `[{ id, text }]`.
    pub fn tokenize(&self, text: &str) -> Result<String, JsValue> {
        #[derive(Serialize)]
        struct Token {
            id: u32,
            text: String,
        }
        let tokens = || -> Result<Vec<Token>, Error> {
            let tokenizer = self.inner.tokenizer()?;
            let ids = tokenizer.encode(text)?;
            let texts = crate::session::texts(&self.inner, &ids)?;
            Ok(ids.into_iter().zip(texts).map(|(id, text)| Token { id, text }).collect())
        };
        Ok(json!(tokens().map_err(Failure)?).to_string())
    }

    /// A conversation (`Message[]` as JSON) as the model wants it written down.
    #[wasm_bindgen(js_name = chatPrompt)]
    pub fn chat_prompt(&self, messages: &str) -> Result<String, JsValue> {
        let messages: Vec<Message> = serde_json::from_str(messages)
            .map_err(|e| Failure(option("messages", &e.to_string(), "a list of { role, content }")))?;
        Ok(self.inner.template().and_then(|template| template.render(&messages)).map_err(Failure::from)?)
    }

    /// A fresh session.
    pub async fn session(&self) -> Result<Session, JsValue> {
        let session = carried!(self, self.inner.session());
        Ok(Session::new(self.clone(), session))
    }

    /// Breaks the device, as a driver or a sleeping tab may: for tests.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        if let Some((device, _)) = self.inner.device().wgpu() {
            device.destroy();
        }
    }

    /// The device that it is on now: its name, and whether it is the CPU.
    #[wasm_bindgen(js_name = deviceName)]
    pub fn device_name(&self) -> String {
        self.inner.device().name().into()
    }

    /// What was asked of the device, as JSON.
    pub fn counters(&self) -> String {
        let c = self.inner.device().counters();
        json!({ "dispatches": c.dispatches, "passes": c.passes, "submits": c.submits, "bytesUp": c.bytes_up, "bytesDown": c.bytes_down })
            .to_string()
    }
}

impl Model {
    /// How often the model moved, for [`Model::recover`].
    pub(crate) fn moves(&self) -> (usize, usize) {
        (self.home.moves.get(), 0)
    }

    /// After a lost device: brings the model to another one, a GPU if there is one again, else the CPU. Whether to try again.
    pub(crate) async fn recover(&self, (seen, attempts): &mut (usize, usize)) -> Result<bool, Error> {
        *attempts += 1;
        if *attempts > ATTEMPTS {
            return Ok(false);
        }
        // Another session of the model may have moved it.
        if self.home.moves.get() == *seen {
            let device = match crate::device::open("webgpu").await {
                Ok((device, _)) => device,
                Err(_) => device::Device::cpu(),
            };
            let opened = open(&self.home.folder, self.home.options).await?;
            let device = checked(&device, &opened, &self.home.options.with(None)).await?;
            self.inner.move_to(opened, &device, self.home.options.with(None)).await?;
            self.home.moves.set(*seen + 1);
        }
        *seen = self.home.moves.get();
        Ok(true)
    }
}

/// `Inspection` of `lib/types.ts` without the download's size, as JSON. Reads headers only.
#[wasm_bindgen]
pub async fn inspect(folder: JsFolder, options: &str) -> Result<String, JsValue> {
    let options = Options::parse(options)?;
    let opened = open(&folder, options).await.map_err(Failure)?;
    // What a browser allows by default; the CPU device is bound by the 4 GiB of wasm.
    let model = generate::inspect(&opened, device::Device::cpu().caps()).map_err(Failure)?;
    let inspection = json!({
        "name": opened.checkpoint.name(),
        "family": model.architecture.family(),
        "sizes": sizes(&*model.architecture),
        "tensors": model.tensors,
        "parameters": model.parameters,
        "weightBytes": model.weight_bytes,
        "stateBytes": model.state_bytes,
        "bufferBytes": model.buffer_bytes,
        "learns": model.architecture.learns(),
    });
    Ok(inspection.to_string())
}
