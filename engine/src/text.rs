//! Text to token ids and back, so that streamed text never breaks a character.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::quote::shown;

mod template;

pub use template::{Message, Template};

/// Why a tokenizer or a text is refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Not a tokenizer.
    #[error("{file}: not a tokenizer: {reason}")]
    Tokenizer {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer knows more tokens than the model.
    #[error("{file}: token id {id} is outside the model's vocabulary of {vocabulary}")]
    Vocabulary {
        /// The file.
        file: String,
        /// The largest id.
        id: u32,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// The model has no tokenizer.
    #[error("{0} has no tokenizer.json beside it")]
    Missing(String),
    /// The model has no chat template.
    #[error("{0} has no chat template")]
    NoTemplate(String),
    /// A chat template that can't be read, or not be filled in.
    #[error("{file}: the chat template: {reason}")]
    Template {
        /// The model.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The tokenizer failed on a text or on ids.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// A token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Its id.
    pub id: u32,
    /// Bytes of the text that it stands for.
    pub bytes: u32,
}

/// A tokenizer in the format of Hugging Face's `tokenizer.json`.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json` for a model with this vocabulary; `file` names it in messages.
    pub fn parse(file: &str, bytes: &[u8], vocabulary: usize) -> Result<Tokenizer, TextError> {
        let refused = |reason: String| TextError::Tokenizer { file: file.into(), reason };
        // The library trusts its file: what is no JSON, and what parts of it have wrong, can make it panic.
        serde_json::from_slice::<Scanned>(bytes).map_err(|e| refused(shown(e)))?;
        let parse = || tokenizers::Tokenizer::from_bytes(bytes);
        let mut inner = guarded(parse).map_err(|e| refused(shown(e)))?;
        // For batches of texts of one length; a prompt is what it is.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| refused(shown(e)))?;
        let largest = inner.get_vocab(true).into_values().max();
        match largest {
            None => Err(refused("it knows no token".into())),
            Some(id) if id as usize >= vocabulary => Err(TextError::Vocabulary { file: file.into(), id, vocabulary }),
            Some(_) => Ok(Tokenizer { inner }),
        }
    }

    /// The ids of a text, with the special tokens that the tokenizer adds itself.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = guarded(|| self.inner.encode(text, true)).map_err(TextError::Failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text alone, with the special tokens that it spells and no others.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = guarded(|| self.inner.encode(text, false)).map_err(TextError::Failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// As [`Tokenizer::encode_plain`], each token with the bytes of the text that it stands for. They add up to the text: what lies between
    /// two tokens belongs to the later one, and a character of several tokens to the first of them.
    pub fn encode_measured(&self, text: &str) -> Result<Vec<Measured>, TextError> {
        let encoding = guarded(|| self.inner.encode(text, false)).map_err(TextError::Failed)?;
        let mut end = 0;
        let mut tokens: Vec<Measured> = Vec::with_capacity(encoding.len());
        for (id, (_, to)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            let to = (*to).clamp(end, text.len());
            tokens.push(Measured { id: *id, bytes: (to - end) as u32 });
            end = to;
        }
        if let Some(last) = tokens.last_mut() {
            last.bytes += (text.len() - end) as u32;
        }
        Ok(tokens)
    }

    /// The special tokens that the tokenizer puts before every text by itself: one that begins a text, or none.
    pub fn opening(&self) -> Result<Vec<u32>, TextError> {
        let (whole, plain) = (self.encode("a")?, self.encode_plain("a")?);
        let at = (0..whole.len()).find(|at| whole[*at..].starts_with(&plain)).unwrap_or(0);
        Ok(whole[..at].to_vec())
    }

    /// The text of ids, special tokens included.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        guarded(|| self.inner.decode(ids, false)).map_err(TextError::Failed)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

/// Text that streams out token by token. What can't be shown yet (half of a character) stays inside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextStream {
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TextStream {
    /// A stream that goes on after these tokens, whose own text is not given out.
    pub fn after(ids: &[u32]) -> TextStream {
        TextStream { ids: ids.to_vec(), ..TextStream::default() }
    }

    /// Takes a token and returns the text that is now whole; empty if a character is still open.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, TextError> {
        let TextStream { ids, prefix, prefix_index } = self;
        let step = || tokenizers::step_decode_stream(&tokenizer.inner, vec![id], true, ids, prefix, prefix_index);
        guarded(step).map(Option::unwrap_or_default).map_err(TextError::Failed)
    }

    /// What was held back, once no more will come: an unfinished character, as the replacement character.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TextError> {
        let whole = guarded(|| tokenizer.inner.decode(&self.ids, true)).map_err(TextError::Failed)?;
        let rest = whole.strip_prefix(&self.prefix).unwrap_or_default().to_string();
        *self = TextStream::default();
        Ok(rest)
    }

    /// Whether the parts of a stream from outside fit together.
    pub(crate) fn is_consistent(&self, vocabulary: usize) -> bool {
        self.prefix_index <= self.ids.len() && self.ids.iter().all(|id| (*id as usize) < vocabulary)
    }
}

/// Calls into the library, which panics on some files and texts; a message instead. (On wasm a panic ends the program.)
fn guarded<T, E: fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|e| shown(e)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(shown(text.unwrap_or("it is inconsistent")))
        }
    }
}

/// Any JSON, every text of it decoded and nothing of it kept.
struct Scanned;

impl<'de> Deserialize<'de> for Scanned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scanned, D::Error> {
        deserializer.deserialize_any(Scanned)
    }
}

impl<'de> Visitor<'de> for Scanned {
    type Value = Scanned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_str<E>(self, _: &str) -> Result<Scanned, E> {
        Ok(Scanned)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scanned, A::Error> {
        while seq.next_element::<Scanned>()?.is_some() {}
        Ok(Scanned)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scanned, A::Error> {
        while map.next_entry::<Scanned, Scanned>()?.is_some() {}
        Ok(Scanned)
    }
}
