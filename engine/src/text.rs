//! Text to token ids and back, so that streamed text never breaks a character.

use serde::{Deserialize, Serialize};

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
    /// The tokenizer failed on a text or on ids.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// A tokenizer in the format of Hugging Face's `tokenizer.json`.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json` for a model with this vocabulary; `file` names it in messages.
    pub fn parse(file: &str, bytes: &[u8], vocabulary: usize) -> Result<Tokenizer, TextError> {
        let refused = |reason: String| TextError::Tokenizer { file: file.into(), reason };
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| refused(e.to_string()))?;
        let largest = inner.get_vocab(true).into_values().max();
        match largest {
            None => Err(refused("it knows no token".into())),
            Some(id) if id as usize >= vocabulary => Err(TextError::Vocabulary { file: file.into(), id, vocabulary }),
            Some(_) => Ok(Tokenizer { inner }),
        }
    }

    /// The ids of a text, with the special tokens that the tokenizer adds itself.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self.inner.encode(text, true).map_err(|e| TextError::Failed(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, special tokens included.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        self.inner.decode(ids, false).map_err(|e| TextError::Failed(e.to_string()))
    }

    /// The token of an id as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

/// Text that streams out token by token. What can't be shown yet (half of a character) stays inside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
        let step = tokenizers::step_decode_stream(
            &tokenizer.inner,
            vec![id],
            true,
            &mut self.ids,
            &mut self.prefix,
            &mut self.prefix_index,
        );
        step.map(Option::unwrap_or_default).map_err(|e| TextError::Failed(e.to_string()))
    }

    /// What was held back, once no more will come: an unfinished character, as the replacement character.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TextError> {
        let whole = tokenizer.inner.decode(&self.ids, true).map_err(|e| TextError::Failed(e.to_string()))?;
        let rest = whole.strip_prefix(&self.prefix).unwrap_or_default().to_string();
        *self = TextStream::default();
        Ok(rest)
    }

    /// Whether the parts of a stream from outside fit together.
    pub(crate) fn is_consistent(&self, vocabulary: usize) -> bool {
        self.prefix_index <= self.ids.len() && self.ids.iter().all(|id| (*id as usize) < vocabulary)
    }
}
