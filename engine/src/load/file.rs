//! Checkpoints on disk: a file or a folder, and what lies beside it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Checkpoint, LoadError, Reading, Source, gguf, safetensors, stream, truncated};

/// The largest tokenizer or index that is read whole.
const MAX_TEXT: u64 = 64 << 20;
/// The largest config.
const MAX_CONFIG: u64 = 1 << 20;

/// A file that is read in pieces.
pub struct FileSource {
    name: String,
    length: u64,
    file: Mutex<File>,
}

fn io_error(path: &Path, source: std::io::Error) -> LoadError {
    LoadError::Io { file: path.display().to_string(), source }
}

impl FileSource {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<FileSource, LoadError> {
        let (file, length) = open_regular(path)?;
        Ok(FileSource { name: path.display().to_string(), length, file: Mutex::new(file) })
    }
}

/// Opens a file that has an end, and tells its length. (To open a pipe would wait for whoever writes into it.)
fn open_regular(path: &Path) -> Result<(File, u64), LoadError> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    if metadata.is_dir() {
        return Err(io_error(path, ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(LoadError::invalid(&path.display().to_string(), "it", "a device or a pipe", "a regular file"));
    }
    let file = File::open(path).map_err(|e| io_error(path, e))?;
    Ok((file, metadata.len()))
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: usize) -> Reading<'_> {
        let read = || {
            if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
                return Err(truncated(self, "a read", offset, length));
            }
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = vec![0; length];
            let result = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes));
            result.map_err(|source| LoadError::Io { file: self.name.clone(), source })?;
            Ok(bytes)
        };
        Box::pin(std::future::ready(read()))
    }
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

/// Opens a model: a folder in the Hugging Face layout, with the authors' stream or with a GGUF, or one of its weight files.
pub async fn open_path(path: &Path) -> Result<Opened, LoadError> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    let (folder, files) = if metadata.is_dir() {
        (path.to_path_buf(), weight_files(path)?)
    } else {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder.to_path_buf(), vec![path.to_path_buf()])
    };
    if let [file] = &files[..]
        && is_gguf(file)
    {
        return gguf::open(Box::new(FileSource::open(file)?)).await;
    }
    let mut checkpoint = Checkpoint { sources: Vec::new(), tensors: Default::default(), dtype: None };
    for (i, file) in files.iter().enumerate() {
        let source = FileSource::open(file)?;
        refuse_web_page(&source).await?;
        let tensors = if file.extension().is_some_and(|e| e == "safetensors") {
            safetensors::catalogue(&source, i).await?
        } else if is_stream(file) {
            stream::catalogue(&source).await?
        } else {
            let wanted = "a .safetensors file, a .gguf, a streaming_train_state or a folder with one of them";
            return Err(LoadError::invalid(&file.display().to_string(), "the kind of file", "unknown", wanted));
        };
        for (name, info) in tensors {
            if checkpoint.tensors.insert(name.clone(), info).is_some() {
                return Err(LoadError::invalid(source.name(), format!("tensor {name}"), "in two files", "one"));
            }
        }
        checkpoint.sources.push(Box::new(source));
    }
    let json = |name: &str| -> Result<Option<serde_json::Value>, LoadError> {
        let Some(bytes) = text(&folder.join(name), MAX_CONFIG)? else { return Ok(None) };
        let file = folder.join(name).display().to_string();
        let value: serde_json::Value =
            serde_json::from_slice(&standard(&bytes)).map_err(|e| LoadError::invalid(&file, "its content", e, "JSON"))?;
        if !value.is_object() {
            return Err(LoadError::invalid(&file, "its content", value, "a JSON object"));
        }
        Ok(Some(value))
    };
    let tokenizer_config = json("tokenizer_config.json")?;
    let chat_template = match text(&folder.join("chat_template.jinja"), MAX_CONFIG)? {
        Some(bytes) => {
            let file = folder.join("chat_template.jinja").display().to_string();
            Some(String::from_utf8(bytes).map_err(|e| LoadError::invalid(&file, "its content", e, "UTF-8"))?)
        }
        None => tokenizer_config.as_ref().and_then(chat_template),
    };
    Ok(Opened {
        config: json("config.json")?,
        generation: json("generation_config.json")?,
        tokenizer: text(&folder.join("tokenizer.json"), MAX_TEXT)?,
        tokenizer_config,
        chat_template,
        checkpoint,
    })
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

/// A saved page of a hub often has the name of the file that it shows.
async fn refuse_web_page(source: &FileSource) -> Result<(), LoadError> {
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

/// The chat template of a `tokenizer_config.json`: the only one, or the one named `default`.
fn chat_template(config: &serde_json::Value) -> Option<String> {
    let field = config.get("chat_template")?;
    let named = |list: &Vec<serde_json::Value>| Some(list.iter().find(|t| t["name"] == "default")?["template"].clone());
    let template = field.as_array().map_or(Some(field.clone()), named)?;
    template.as_str().map(String::from)
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

fn is_stream(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("streaming_"))
}

/// The weight files of a folder.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let index = folder.join("model.safetensors.index.json");
    if let Some(bytes) = text(&index, MAX_TEXT)? {
        let files = safetensors::index_files(&index.display().to_string(), &bytes)?;
        return Ok(files.into_iter().map(|f| folder.join(f)).collect());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| io_error(folder, e))?;
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| io_error(folder, e))?.path();
        if path.is_file() && (path.extension().is_some_and(|e| e == "safetensors") || is_gguf(&path) || is_stream(&path)) {
            found.push(path);
        }
    }
    found.sort();
    let whole = folder.join("model.safetensors");
    if found.contains(&whole) {
        return Ok(vec![whole]);
    }
    match found.len() {
        1 => Ok(found),
        n => {
            let wanted = "model.safetensors, model.safetensors.index.json or one weight file";
            Err(LoadError::invalid(&folder.display().to_string(), "the folder", format!("with {n} weight files"), wanted))
        }
    }
}

/// A file read whole, if it is there.
fn text(path: &Path, most: u64) -> Result<Option<Vec<u8>>, LoadError> {
    let (file, length) = match open_regular(path) {
        Err(LoadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if length > most {
        let found = format!("{length} bytes long");
        return Err(LoadError::invalid(&path.display().to_string(), "the file", found, format!("at most {most} bytes")));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(most).read_to_end(&mut bytes).map_err(|e| io_error(path, e))?;
    Ok(Some(bytes))
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
