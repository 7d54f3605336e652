//! A model's folder: which of its files are the weights, and what lies beside them. Where the folder is (on disk, behind a web address, in a
//! browser's storage) is its own matter.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;

use super::{Checkpoint, LoadError, Source, gguf, safetensors, stream};

/// The largest tokenizer or index that is read whole.
const MAX_TEXT: u64 = 64 << 20;
/// The largest config.
const MAX_CONFIG: u64 = 1 << 20;

/// What [`Folder::list`] returns.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<String>>, LoadError>> + 'a>>;

/// What [`Folder::open`] returns.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Option<Box<dyn Source>>, LoadError>> + 'a>>;

/// Files by name.
pub trait Folder {
    /// Its name in messages.
    fn name(&self) -> &str;
    /// The names of its files; none where they can't be listed, and have to be tried.
    fn list(&self) -> Listing<'_>;
    /// A file, if there is one of this name.
    fn open<'a>(&'a self, name: &'a str) -> Opening<'a>;
}

/// What was found at a path.
pub struct Opened {
    /// The weights.
    pub checkpoint: Checkpoint,
    /// `config.json`, or what a GGUF says in its place, if there is one.
    pub config: Option<serde_json::Value>,
    /// `tokenizer.json`, if there is one.
    pub tokenizer: Option<Vec<u8>>,
    /// `generation_config.json`, if there is one.
    pub generation: Option<serde_json::Value>,
    /// `tokenizer_config.json`, if there is one.
    pub tokenizer_config: Option<serde_json::Value>,
    /// How the model wants a conversation written down, in Jinja: of `chat_template.jinja` or else of `tokenizer_config.json`.
    pub chat_template: Option<String>,
}

/// Opens a model: a folder in the Hugging Face layout, with the authors' stream or with a GGUF. `file` is the weight file that is meant,
/// if one was named.
pub async fn open_folder(folder: &dyn Folder, file: Option<&str>) -> Result<Opened, LoadError> {
    let files = match file {
        Some(file) => vec![(file.to_string(), expect(folder, file).await?)],
        None => weight_files(folder).await?,
    };
    let mut checkpoint = Checkpoint { sources: Vec::new(), tensors: Default::default(), dtype: None };
    let alone = files.len() == 1;
    for (i, (name, source)) in files.into_iter().enumerate() {
        if alone && is_gguf(&name) {
            return gguf::open(source).await;
        }
        refuse_web_page(&*source).await?;
        let tensors = if name.ends_with(".safetensors") {
            safetensors::catalogue(&*source, i).await?
        } else if is_stream(&name) {
            stream::catalogue(&*source).await?
        } else {
            let wanted = "a .safetensors file, a .gguf, a streaming_train_state or a folder with one of them";
            return Err(LoadError::invalid(source.name(), "the kind of file", "unknown", wanted));
        };
        for (name, info) in tensors {
            if checkpoint.tensors.insert(name.clone(), info).is_some() {
                return Err(LoadError::invalid(source.name(), format!("tensor {name}"), "in two files", "one"));
            }
        }
        checkpoint.sources.push(source);
    }
    let tokenizer_config = json(folder, "tokenizer_config.json").await?;
    let chat_template = match text(folder, "chat_template.jinja", MAX_CONFIG).await? {
        Some((file, bytes)) => Some(String::from_utf8(bytes).map_err(|e| LoadError::invalid(&file, "its content", e, "UTF-8"))?),
        None => tokenizer_config.as_ref().and_then(chat_template),
    };
    Ok(Opened {
        config: json(folder, "config.json").await?,
        generation: json(folder, "generation_config.json").await?,
        tokenizer: text(folder, "tokenizer.json", MAX_TEXT).await?.map(|(_, bytes)| bytes),
        tokenizer_config,
        chat_template,
        checkpoint,
    })
}

/// A file that must be there.
async fn expect(folder: &dyn Folder, name: &str) -> Result<Box<dyn Source>, LoadError> {
    let missing = || LoadError::Io { file: format!("{}/{name}", folder.name()), source: ErrorKind::NotFound.into() };
    folder.open(name).await?.ok_or_else(missing)
}

/// The weight files of a folder.
async fn weight_files(folder: &dyn Folder) -> Result<Vec<(String, Box<dyn Source>)>, LoadError> {
    if let Some((index, bytes)) = text(folder, "model.safetensors.index.json", MAX_TEXT).await? {
        let mut files = Vec::new();
        for name in safetensors::index_files(&index, &bytes)? {
            let source = expect(folder, &name).await?;
            files.push((name, source));
        }
        return Ok(files);
    }
    const WHOLE: &str = "model.safetensors";
    let listed = folder.list().await?;
    let name = match &listed {
        None => WHOLE,
        Some(names) if names.iter().any(|name| name == WHOLE) => WHOLE,
        Some(names) => {
            let weights = |name: &&String| name.ends_with(".safetensors") || is_gguf(name) || is_stream(name);
            match names.iter().filter(weights).collect::<Vec<_>>()[..] {
                [name] => name,
                ref found => {
                    let wanted = "model.safetensors, model.safetensors.index.json or one weight file";
                    let found = format!("with {} weight files", found.len());
                    return Err(LoadError::invalid(folder.name(), "the folder", found, wanted));
                }
            }
        }
    };
    Ok(vec![(name.to_string(), expect(folder, name).await?)])
}

fn is_gguf(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"))
}

fn is_stream(name: &str) -> bool {
    name.starts_with("streaming_")
}

/// A saved page of a hub often has the name of the file that it shows.
async fn refuse_web_page(source: &dyn Source) -> Result<(), LoadError> {
    let start = source.read(0, source.len().min(64) as usize).await?;
    let start = String::from_utf8_lossy(start.trim_ascii_start()).to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Err(LoadError::invalid(
            source.name(),
            "its content",
            "a web page",
            "a model: fetch the file that the page is about",
        ));
    }
    Ok(())
}

/// A file read whole and its name in messages, if it is there.
async fn text(folder: &dyn Folder, name: &str, most: u64) -> Result<Option<(String, Vec<u8>)>, LoadError> {
    let Some(source) = folder.open(name).await? else { return Ok(None) };
    let (file, length) = (source.name().to_string(), source.len());
    if length > most {
        return Err(LoadError::invalid(&file, "the file", format!("{length} bytes long"), format!("at most {most} bytes")));
    }
    let bytes = source.read(0, length as usize).await?;
    Ok(Some((file, bytes)))
}

/// A file with a JSON object, if it is there.
async fn json(folder: &dyn Folder, name: &str) -> Result<Option<serde_json::Value>, LoadError> {
    let Some((file, bytes)) = text(folder, name, MAX_CONFIG).await? else { return Ok(None) };
    let value: serde_json::Value =
        serde_json::from_slice(&standard(&bytes)).map_err(|e| LoadError::invalid(&file, "its content", e, "JSON"))?;
    if !value.is_object() {
        return Err(LoadError::invalid(&file, "its content", value, "a JSON object"));
    }
    Ok(Some(value))
}

/// A JSON text as the standard has it: Python writes infinities and NaN as bare words, which become strings.
fn standard(text: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut out, mut at, mut in_string) = (Vec::with_capacity(text.len()), 0, false);
    while at < text.len() {
        let rest = &text[at..];
        let (taken, word) = match rest[0] {
            b'\\' if in_string => (rest.len().min(2), false),
            b'"' => {
                in_string = !in_string;
                (1, false)
            }
            _ if in_string => (1, false),
            _ => WORDS.iter().find(|word| rest.starts_with(word)).map_or((1, false), |word| (word.len(), true)),
        };
        out.extend(word.then_some(b'"'));
        out.extend(&rest[..taken]);
        out.extend(word.then_some(b'"'));
        at += taken;
    }
    out
}

/// The chat template of a `tokenizer_config.json`: the only one, or the one named `default`.
fn chat_template(config: &serde_json::Value) -> Option<String> {
    let field = config.get("chat_template")?;
    let named = |list: &Vec<serde_json::Value>| Some(list.iter().find(|t| t["name"] == "default")?["template"].clone());
    let template = field.as_array().map_or(Some(field.clone()), named)?;
    template.as_str().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_infinities_become_strings_and_strings_stay() {
        for (python, wanted) in [
            (r#"{"limit": [0.0, Infinity]}"#, r#"{"limit": [0.0, "Infinity"]}"#),
            (r#"[-Infinity,NaN,1]"#, r#"["-Infinity","NaN",1]"#),
            (r#"{"a \" Infinity": "NaN \\", "b": NaN}"#, r#"{"a \" Infinity": "NaN \\", "b": "NaN"}"#),
            (r#""ends in \"#, r#""ends in \"#),
        ] {
            assert_eq!(standard(python.as_bytes()), wanted.as_bytes(), "{python}");
        }
    }
}
