//! A conversation: a session that keeps its state from turn to turn, so that each turn costs only its own tokens.

use serde::{Deserialize, Serialize};

use super::{Finish, Piece, Session, SnapshotError, Usage, WritingOptions};
use crate::error::Error;
use crate::quote::shown;
use crate::text::{Message, Template};

/// A conversation with a model.
pub struct Chat {
    session: Session,
    /// None for a model without: its turns then follow each other as paragraphs.
    template: Option<Template>,
    messages: Vec<Message>,
    /// All tokens that the session has read and written.
    ids: Vec<u32>,
    /// The session as it was before the last answer, and how many tokens it had.
    before_answer: Option<(Session, usize)>,
}

/// Where a turn went on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WentOn {
    /// From the session as it was: the new conversation begins with all of its tokens.
    FromHere,
    /// From before the last answer, which is written down otherwise than it was drawn.
    FromBeforeAnswer,
    /// From the start: the template writes the beginning otherwise than before.
    FromStart,
}

/// What reading a turn took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Where it went on from.
    pub went_on: WentOn,
    /// Tokens read.
    pub read: usize,
    /// Tokens of the conversation now.
    pub tokens: usize,
}

/// The first line of a saved conversation; the session's state follows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    fastweight_chat: u32,
    messages: Vec<Message>,
    ids: Vec<u32>,
}

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

impl Chat {
    /// A conversation on a fresh session, after what the system says, if anything. A model without a template gets its turns as they are.
    pub fn new(session: Session, template: Option<Template>, system: Option<&str>) -> Chat {
        let messages = system.map(|text| Message::new("system", text)).into_iter().collect();
        Chat { session, template, messages, ids: Vec::new(), before_answer: None }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to set its options.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What was said so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Reads what the user says. On an error, [`Error::Cancelled`] too, it counts as not said.
    pub async fn say(&mut self, text: &str) -> Result<Turn, Error> {
        self.messages.push(Message::new("user", text));
        let read = self.read().await;
        if read.is_err() {
            self.messages.pop();
        }
        read
    }

    /// Reads what of the conversation the session has not read yet.
    async fn read(&mut self) -> Result<Turn, Error> {
        let ids = self.written_down()?;
        let same = self.ids.iter().zip(&ids).take_while(|(a, b)| a == b).count();
        let before = self.before_answer.take().filter(|(_, tokens)| *tokens <= same);
        let (went_on, from) = match before {
            _ if same == self.ids.len() => (WentOn::FromHere, same),
            Some((session, tokens)) => {
                self.session.take_past(session);
                (WentOn::FromBeforeAnswer, tokens)
            }
            None => {
                self.session.reset().await?;
                (WentOn::FromStart, 0)
            }
        };
        let read = self.session.prefill(&ids[from..]).await;
        self.ids = ids;
        // A cancelled read has taken a part.
        self.ids.truncate(self.session.len());
        read?;
        self.before_answer = Some((self.session.fork().await?, self.ids.len()));
        Ok(Turn { went_on, read: self.ids.len() - from, tokens: self.ids.len() })
    }

    /// The conversation as tokens.
    fn written_down(&self) -> Result<Vec<u32>, Error> {
        let tokenizer = self.session.model().tokenizer()?;
        if let Some(template) = &self.template {
            return Ok(tokenizer.encode_plain(&template.render(&self.messages)?)?);
        }
        // Without a template all that was read and written stays as it is, and the new turn is a paragraph of its own.
        let said = match self.messages.as_slice() {
            [.., last] if !self.ids.is_empty() => format!("\n\n{}", last.content),
            all => all.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n\n"),
        };
        let new = if self.ids.is_empty() { tokenizer.encode(&said)? } else { tokenizer.encode_plain(&said)? };
        Ok([&self.ids[..], &new].concat())
    }

    /// Writes the model's answer; `show` gets it piece by piece. What was written when the text ended, however it ended, is what was said.
    pub async fn answer(&mut self, options: WritingOptions, mut show: impl FnMut(&Piece)) -> Result<(Finish, Usage), Error> {
        let mut writing = self.session.write(options);
        let mut text = String::new();
        let written = loop {
            match writing.next().await {
                Ok(Some(piece)) => {
                    show(&piece);
                    self.ids.extend(piece.id);
                    text.push_str(&piece.text);
                }
                Ok(None) => break Ok((writing.finish_reason().unwrap_or(Finish::Length), writing.usage())),
                Err(error) => break Err(error),
            }
        };
        self.messages.push(Message::new("assistant", text));
        written
    }

    /// Forgets the conversation, except for what the system said.
    pub async fn reset(&mut self) -> Result<(), Error> {
        self.session.reset().await?;
        self.messages.retain(|message| message.role == "system");
        (self.ids, self.before_answer) = (Vec::new(), None);
        Ok(())
    }

    /// The conversation and the session's state as bytes.
    pub async fn save(&mut self) -> Result<Vec<u8>, Error> {
        let saved = Saved { fastweight_chat: VERSION, messages: self.messages.clone(), ids: self.ids.clone() };
        let mut bytes = serde_json::to_vec(&saved).map_err(|e| SnapshotError::Head(e.to_string()))?;
        bytes.push(b'\n');
        bytes.extend(self.session.snapshot().await?);
        Ok(bytes)
    }

    /// Goes on from what [`Chat::save`] gave. Options of the session are those of the saved one. On an error nothing has changed.
    pub async fn load(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let no_head = || SnapshotError::Head("no conversation: its first line is missing".into());
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(no_head)?;
        let saved: Saved = serde_json::from_slice(&bytes[..end]).map_err(|e| SnapshotError::Head(shown(e)))?;
        if saved.fastweight_chat != VERSION {
            return Err(SnapshotError::Version { found: saved.fastweight_chat }.into());
        }
        let mut session = self.session.model().session().await?;
        session.restore(&bytes[end + 1..]).await?;
        if session.len() != saved.ids.len() {
            let (found, wanted) = (saved.ids.len().to_string(), session.len().to_string());
            return Err(SnapshotError::Invalid { what: "number of tokens".into(), found, wanted }.into());
        }
        session.batch.check_tokens(&saved.ids)?;
        self.session.set_sampling(*session.sampling())?;
        self.session.set_learning(session.learning())?;
        self.session.take_past(session);
        (self.messages, self.ids, self.before_answer) = (saved.messages, saved.ids, None);
        Ok(())
    }
}
