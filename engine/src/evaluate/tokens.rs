//! Texts that need not fit into memory, as tokens.

use std::io::Read;

use super::EvaluateError;
use crate::text::{Measured, Tokenizer};

/// Bytes of text that are tokenised at a time.
pub const PIECE: usize = 256 << 10;

/// A text, piece by piece. A piece ends where tokenizers part words anyway, so that its tokens are those of the whole text: after a
/// line's end if there is one in the second half of the piece, else before a space, else between two characters. (A tokenizer that marks the
/// beginning of a text, as SentencePiece does with `▁`, marks every piece: one token in some 60,000.)
pub struct Pieces<R> {
    file: String,
    reader: R,
    size: usize,
    /// Bytes of the file before those that are held.
    before: u64,
    held: Vec<u8>,
    at_end: bool,
}

impl<R: Read> Pieces<R> {
    /// The pieces of what a reader gives, of at most `size` bytes (16 at least); `file` names it in messages.
    pub fn new(file: impl Into<String>, reader: R, size: usize) -> Pieces<R> {
        Pieces { file: file.into(), reader, size: size.max(16), before: 0, held: Vec::new(), at_end: false }
    }

    fn read(&mut self) -> Result<Option<String>, EvaluateError> {
        if !self.at_end {
            let wanted = (self.size - self.held.len()) as u64;
            let read = self.reader.by_ref().take(wanted).read_to_end(&mut self.held);
            let read = read.map_err(|source| EvaluateError::Io { file: self.file.clone(), source })?;
            self.at_end = (read as u64) < wanted;
        }
        let valid = match std::str::from_utf8(&self.held) {
            Ok(text) => text,
            // The piece ends within a character.
            Err(e) if e.error_len().is_none() && !self.at_end => {
                std::str::from_utf8(&self.held[..e.valid_up_to()]).expect("it is valid up to there")
            }
            Err(e) => return Err(EvaluateError::NotUtf8 { file: self.file.clone(), at: self.before + e.valid_up_to() as u64 }),
        };
        let end = if self.at_end { valid.len() } else { end_of_piece(valid) };
        let piece = valid[..end].to_string();
        self.held.drain(..end);
        self.before += end as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Result<String, EvaluateError>;

    fn next(&mut self) -> Option<Result<String, EvaluateError>> {
        self.read().transpose()
    }
}

/// Where to part a text that goes on. Between two line ends or spaces is no such place: tokenizers join them.
fn end_of_piece(text: &str) -> usize {
    let bytes = text.as_bytes();
    let word = |i: usize| bytes.get(i).is_some_and(|b| !b.is_ascii_whitespace());
    let second_half = || (text.len() / 2 + 2..text.len()).rev();
    let after_line = |i: &usize| word(i - 2) && bytes[i - 1] == b'\n' && word(*i);
    let before_space = |i: &usize| word(i - 1) && bytes[*i] == b' ' && word(i + 1);
    second_half().find(after_line).or_else(|| second_half().find(before_space)).unwrap_or(text.len())
}

/// The tokens of texts, one text after the other.
pub struct Tokens<'a, R, T> {
    tokenizer: &'a Tokenizer,
    texts: T,
    pieces: Option<Pieces<R>>,
    tokens: std::vec::IntoIter<Measured>,
}

impl<'a, R: Read, T: Iterator<Item = Result<Pieces<R>, EvaluateError>>> Tokens<'a, R, T> {
    /// The tokens of texts, which are opened when their turn comes.
    pub fn new(tokenizer: &'a Tokenizer, texts: T) -> Tokens<'a, R, T> {
        Tokens { tokenizer, texts, pieces: None, tokens: Vec::new().into_iter() }
    }
}

impl<R: Read, T: Iterator<Item = Result<Pieces<R>, EvaluateError>>> Iterator for Tokens<'_, R, T> {
    type Item = Result<Measured, EvaluateError>;

    fn next(&mut self) -> Option<Result<Measured, EvaluateError>> {
        loop {
            if let Some(token) = self.tokens.next() {
                return Some(Ok(token));
            }
            match self.pieces.as_mut().and_then(Iterator::next) {
                Some(Ok(piece)) => match self.tokenizer.encode_measured(&piece) {
                    Ok(tokens) => self.tokens = tokens.into_iter(),
                    Err(error) => return Some(Err(error.into())),
                },
                Some(Err(error)) => return Some(Err(error)),
                None => match self.texts.next()? {
                    Ok(pieces) => self.pieces = Some(pieces),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}
