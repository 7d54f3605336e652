//! Sessions: what they read and write, with a lost device answered by another one.

use std::cell::Cell;
use std::rc::Rc;

use fastweight::device::DeviceError;
use fastweight::error::Error;
use fastweight::generate::{self, Cancel, Finish, InnerLoss, MiniBatch, Sampling, WritingOptions};
use fastweight::text::TextStream;
use futures::lock::Mutex;
use js_sys::{Function, Promise, Uint8Array};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::Failure;
use crate::model::{Model, carried, option};

/// One sequence of a model. Its calls wait for each other.
#[wasm_bindgen]
pub struct Session {
    model: Model,
    inner: Rc<Mutex<generate::Session>>,
    cancel: Cancel,
    /// How the state that it was restored from draws, if it was.
    restored: Cell<Option<Sampling>>,
}

/// `GenerateOptions` of `lib/types.ts`. What isn't given is as usual, or, after a restored state, as the state has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    predict: Option<usize>,
    temp: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    repeat_last_n: Option<u32>,
    seed: Option<u64>,
    /// The seed of a session that has none.
    new_seed: u64,
    #[serde(default)]
    stop: Vec<String>,
    #[serde(default)]
    logprobs: usize,
}

impl Options {
    fn sampling(&self, restored: Option<Sampling>) -> Sampling {
        let usual = restored.unwrap_or(Sampling { seed: self.new_seed, ..Sampling::default() });
        Sampling {
            repeat_penalty: self.repeat_penalty.unwrap_or(usual.repeat_penalty),
            repeat_last_n: self.repeat_last_n.unwrap_or(usual.repeat_last_n),
            temperature: self.temp.unwrap_or(usual.temperature),
            top_k: self.top_k.unwrap_or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            min_p: self.min_p.unwrap_or(usual.min_p),
            seed: self.seed.unwrap_or(usual.seed),
        }
    }

    fn writing(&self) -> WritingOptions {
        let predict = self.predict.unwrap_or(WritingOptions::default().predict);
        // Without a stop string only an unfinished character can be held back; it belongs to what is written on.
        WritingOptions { predict, stop: self.stop.clone(), logprobs: self.logprobs, resumable: self.stop.is_empty() }
    }
}

/// A token that was read.
#[derive(Serialize)]
struct Read {
    id: u32,
    text: String,
    loss: Option<f32>,
}

/// The text of each token, a character of several tokens with its last.
pub(crate) fn texts(model: &generate::Model, ids: &[u32]) -> Result<Vec<String>, Error> {
    let tokenizer = model.tokenizer()?;
    let mut stream = TextStream::default();
    let mut texts = ids.iter().map(|id| stream.push(tokenizer, *id)).collect::<Result<Vec<_>, _>>()?;
    let rest = stream.finish(tokenizer)?;
    if let Some(last) = texts.last_mut() {
        last.push_str(&rest);
    }
    Ok(texts)
}

/// The tokens of a text as a session takes it: with the tokenizer's opening tokens at its beginning only, and there once, though a chat template may
/// spell them too.
fn encode(session: &generate::Session, text: &str) -> Result<Vec<u32>, Error> {
    let tokenizer = session.model().tokenizer()?;
    let mut ids = tokenizer.encode_plain(text)?;
    if session.is_empty() {
        let opening = tokenizer.opening()?;
        if !ids.starts_with(&opening) {
            ids.splice(..0, opening);
        }
    }
    Ok(ids)
}

fn tokens(ids: &[u32], texts: Vec<String>, losses: &[Option<f32>]) -> Vec<Read> {
    ids.iter().zip(texts).zip(losses).map(|((id, text), loss)| Read { id: *id, text, loss: *loss }).collect()
}

impl Session {
    pub(crate) fn new(model: Model, session: generate::Session) -> Session {
        let cancel = session.cancel_handle();
        Session { model, inner: Rc::new(Mutex::new(session)), cancel, restored: Cell::new(None) }
    }
}

#[wasm_bindgen]
impl Session {
    /// Stops the call under way at its next token or chunk; it is rejected as aborted.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Takes a [`Session::cancel`] back, before the next call.
    #[wasm_bindgen(js_name = clearCancel)]
    pub fn clear_cancel(&self) {
        self.cancel.clear();
    }

    /// Tokens so far.
    pub async fn length(&self) -> usize {
        self.inner.lock().await.len()
    }

    /// Reads a text. Returns `ReadToken[]` of `lib/types.ts` as JSON. `on_mini_batch`, if any, is called with a `MiniBatch` as JSON.
    pub async fn read(&self, text: &str, on_mini_batch: Option<Function>) -> Result<String, JsValue> {
        let mut session = self.inner.lock().await;
        let ids = encode(&session, text).map_err(Failure)?;
        let texts = texts(&self.model.inner, &ids).map_err(Failure)?;
        let losses = match on_mini_batch {
            None => carried!(self.model, session.read(&ids)),
            Some(call) => {
                let start = session.len();
                // After a lost device the call is repeated from its beginning; what was told stays told.
                let mut told = 0;
                let mut observe = |batch: &MiniBatch| {
                    // The token that was pending before this call was told of by the call that read it.
                    let skip = start.saturating_sub(batch.first);
                    let (from, end) = (batch.first + skip - start, (batch.first + batch.losses.len()).saturating_sub(start));
                    if end <= told {
                        return;
                    }
                    told = end;
                    let tokens = tokens(&ids[from..end], texts[from..end].to_vec(), &batch.losses[skip..]);
                    let pick = |which: fn(&InnerLoss) -> f32| -> Vec<Vec<f32>> {
                        batch.inner.iter().map(|heads| heads.iter().map(which).collect()).collect()
                    };
                    let told_of = json!({
                        "index": batch.index,
                        "position": batch.first + skip,
                        "tokens": tokens,
                        "before": pick(|i| i.before),
                        "after": pick(|i| i.after),
                        "moved": batch.moved,
                    });
                    // Who listens is asked only to listen.
                    let _ = call.call1(&JsValue::NULL, &told_of.to_string().into());
                };
                carried!(self.model, session.read_observed(&ids, &mut observe))
            }
        };
        Ok(json!(tokens(&ids, texts, &losses)).to_string())
    }

    /// Reads a prompt without its losses; returns how many tokens it has.
    pub async fn prefill(&self, text: &str) -> Result<usize, JsValue> {
        let mut session = self.inner.lock().await;
        let ids = encode(&session, text).map_err(Failure)?;
        carried!(self.model, session.prefill(&ids));
        Ok(ids.len())
    }

    /// Writes on. `options` is `GenerateOptions` of `lib/types.ts` as JSON; `on_piece` is called with every `Piece` as JSON and may return a promise, which is
    /// awaited; at false the text ends there. Returns `{ finishReason, tokens, seed }` as JSON.
    pub async fn generate(&self, options: &str, on_piece: &Function) -> Result<String, JsValue> {
        let options: Options = serde_json::from_str(options)
            .map_err(|e| Failure(option("generate options", &e.to_string(), "those of GenerateOptions")))?;
        let mut session = self.inner.lock().await;
        let sampling = options.sampling(self.restored.get());
        session.set_sampling(sampling).map_err(Failure)?;
        let mut writing = session.write(options.writing());
        let mut wanted = true;
        while wanted {
            let Some(piece) = carried!(self.model, writing.next()) else { break };
            let piece = json!({ "text": piece.text, "id": piece.id, "logprob": piece.logprob, "top": piece.top });
            let mut answer = on_piece.call1(&JsValue::NULL, &piece.to_string().into())?;
            if let Some(promise) = answer.dyn_ref::<Promise>() {
                answer = JsFuture::from(promise.clone()).await?;
            }
            wanted = !answer.is_falsy();
        }
        if writing.finish_reason() == Some(Finish::Cancelled) {
            return Err(Failure(Error::Cancelled { taken: writing.usage().tokens }).into());
        }
        Ok(json!({ "finishReason": writing.finish_reason(), "tokens": writing.usage().tokens, "seed": sampling.seed })
            .to_string())
    }

    /// The logits after each token, `[tokens, vocabulary]`.
    pub async fn logits(&self, ids: &[u32]) -> Result<Vec<f32>, JsValue> {
        let mut session = self.inner.lock().await;
        Ok(carried!(self.model, session.logits(ids)))
    }

    /// Scales the inner learning rate from here on.
    #[wasm_bindgen(js_name = setLearning)]
    pub async fn set_learning(&self, scale: f32) -> Result<(), JsValue> {
        Ok(self.inner.lock().await.set_learning(scale).map_err(Failure)?)
    }

    /// Another session with the same past.
    pub async fn fork(&self) -> Result<Session, JsValue> {
        let mut session = self.inner.lock().await;
        let fork = Session::new(self.model.clone(), carried!(self.model, session.fork()));
        fork.restored.set(self.restored.get());
        Ok(fork)
    }

    /// The state as a file.
    pub async fn save(&self) -> Result<Uint8Array, JsValue> {
        let mut session = self.inner.lock().await;
        let bytes = carried!(self.model, session.snapshot());
        Ok(Uint8Array::from(&bytes[..]))
    }

    /// Goes on from a state that [`Session::save`] gave, or the command line.
    pub async fn restore(&self, bytes: &[u8]) -> Result<(), JsValue> {
        let mut session = self.inner.lock().await;
        carried!(self.model, session.restore(bytes));
        self.restored.set(Some(*session.sampling()));
        Ok(())
    }

    /// Back to the learned start.
    pub async fn reset(&self) -> Result<(), JsValue> {
        let mut session = self.inner.lock().await;
        carried!(self.model, session.reset());
        Ok(())
    }

    /// A head's inner model, as `[{ name, rows, columns, now, start }]` in JSON.
    #[wasm_bindgen(js_name = fastWeights)]
    pub async fn fast_weights(&self, layer: usize, head: usize) -> Result<String, JsValue> {
        let mut session = self.inner.lock().await;
        let matrices = carried!(self.model, session.fast_weights(layer, head));
        let matrices: Vec<_> = matrices
            .matrices
            .iter()
            .map(|m| json!({ "name": m.name, "rows": m.rows, "columns": m.columns, "now": m.now, "start": m.start }))
            .collect();
        Ok(json!(matrices).to_string())
    }
}
