//! Chat templates: how a model wants a conversation written down.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};

use super::{TextError, guarded};
use crate::quote::shown;

/// What a rendering may use up, in steps and in pieces of 64 bytes: many times what known templates need for a long conversation.
const FUEL: u64 = 1_000_000;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn.
    pub fn new(role: &str, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// A template in Jinja, as `tokenizer_config.json`, `chat_template.jinja` and GGUF files hold it.
///
/// It is rendered as Hugging Face's `apply_chat_template` does: blocks are trimmed, strings have Python's methods, and there are
/// `raise_exception`, `strftime_now` (in UTC), `messages`, `add_generation_prompt`, `bos_token` and `eos_token`.
pub struct Template {
    environment: Environment<'static>,
    file: String,
    bos: Option<String>,
    eos: Option<String>,
}

/// The template's name in its environment.
const NAME: &str = "chat";

impl Template {
    /// Compiles a template; `file` names it in messages. `bos` and `eos` are the tokens that begin and end a text.
    pub fn parse(file: &str, source: &str, bos: Option<String>, eos: Option<String>) -> Result<Template, TextError> {
        let refused = |reason: String| TextError::Template { file: file.into(), reason };
        let mut environment = Environment::new();
        let syntax = environment.syntax().to_builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| refused(shown(e)))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", |format: String| -> Result<String, Error> { now(&format) });
        let add = || environment.add_template_owned(NAME, source.to_string());
        guarded(add).map_err(refused)?;
        Ok(Template { environment, file: file.into(), bos, eos })
    }

    /// Writes a conversation down, up to where the model's answer begins.
    pub fn render(&self, messages: &[Message]) -> Result<String, TextError> {
        // One that the model lacks is written as nothing.
        let token = |token: &Option<String>| token.as_deref().map_or(Value::UNDEFINED, Value::from);
        let render = || {
            self.environment.get_template(NAME)?.render(context! {
                messages => Serde(messages),
                add_generation_prompt => true,
                bos_token => token(&self.bos),
                eos_token => token(&self.eos),
            })
        };
        guarded(render).map_err(|reason| TextError::Template { file: self.file.clone(), reason })
    }
}

/// The time now in UTC, written as the format of C's `strftime` tells.
fn now(format: &str) -> Result<String, Error> {
    let refused = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    let since = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_err(|e| refused(e.to_string()))?;
    let time = jiff::Timestamp::from_second(since.as_secs() as i64).map_err(|e| refused(e.to_string()))?;
    jiff::fmt::strtime::format(format, time).map_err(|e| refused(e.to_string()))
}
