//! Files that the package reads for the engine: `Folder` and `Source` of `lib/files.ts`.

use std::cell::RefCell;

use fastweight::load::{Folder, Listing, LoadError, Opening, Reading, Source};
use js_sys::{Array, JsString, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// `Source` of `lib/files.ts`.
    #[wasm_bindgen(typescript_type = "Source")]
    pub type JsSource;
    #[wasm_bindgen(method, getter)]
    fn name(this: &JsSource) -> String;
    #[wasm_bindgen(method, getter)]
    fn size(this: &JsSource) -> f64;
    #[wasm_bindgen(method, catch)]
    fn read(this: &JsSource, offset: f64, length: f64) -> Result<Promise, JsValue>;

    /// `Folder` of `lib/files.ts`.
    #[wasm_bindgen(typescript_type = "Folder")]
    #[derive(Clone)]
    pub type JsFolder;
    #[wasm_bindgen(method, getter, js_name = name)]
    fn folder_name(this: &JsFolder) -> String;
    #[wasm_bindgen(method, getter, js_name = file)]
    fn folder_file(this: &JsFolder) -> Option<String>;
    #[wasm_bindgen(method, catch)]
    fn list(this: &JsFolder) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn open(this: &JsFolder, name: &str) -> Result<Promise, JsValue>;
}

thread_local! {
    /// What the last call of the package's files was rejected with.
    static ERROR: RefCell<Option<JsValue>> = const { RefCell::new(None) };
}

/// What the last call of the package's files was rejected with, once.
pub(crate) fn take_error() -> Option<JsValue> {
    ERROR.take()
}

fn failed(file: &str, error: JsValue) -> LoadError {
    ERROR.set(Some(error));
    LoadError::Io { file: file.into(), source: std::io::Error::other("the page could not read it") }
}

async fn settled(file: &str, promise: Result<Promise, JsValue>) -> Result<JsValue, LoadError> {
    let promise = promise.map_err(|e| failed(file, e))?;
    JsFuture::from(promise).await.map_err(|e| failed(file, e))
}

/// A file.
struct File {
    name: String,
    length: u64,
    source: JsSource,
}

impl Source for File {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: usize) -> Reading<'_> {
        Box::pin(async move {
            // Files of up to 2^53 bytes are exact in a number of JavaScript.
            let bytes = settled(&self.name, self.source.read(offset as f64, length as f64)).await?;
            let bytes = bytes.dyn_into::<Uint8Array>().map_err(|found| failed(&self.name, found))?;
            match bytes.length() as usize == length {
                true => Ok(bytes.to_vec()),
                false => Err(LoadError::Truncated {
                    file: self.name.clone(),
                    what: "a read".into(),
                    wanted: offset.saturating_add(length as u64),
                    found: offset.saturating_add(u64::from(bytes.length())),
                }),
            }
        })
    }
}

/// A folder.
pub(crate) struct Files {
    name: String,
    folder: JsFolder,
}

impl Files {
    pub(crate) fn new(folder: JsFolder) -> Files {
        Files { name: folder.folder_name(), folder }
    }

    /// The weight file that was named, if one was.
    pub(crate) fn file(&self) -> Option<String> {
        self.folder.folder_file()
    }
}

impl Folder for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Listing<'_> {
        Box::pin(async move {
            let names = settled(&self.name, self.folder.list()).await?;
            if names.is_null() || names.is_undefined() {
                return Ok(None);
            }
            let names = names.dyn_into::<Array>().map_err(|found| failed(&self.name, found))?;
            Ok(Some(names.iter().filter_map(|name| name.dyn_into::<JsString>().ok()).map(String::from).collect()))
        })
    }

    fn open<'a>(&'a self, name: &'a str) -> Opening<'a> {
        Box::pin(async move {
            let source = settled(name, self.folder.open(name)).await?;
            if source.is_null() || source.is_undefined() {
                return Ok(None);
            }
            let source: JsSource = source.unchecked_into();
            let file = File { name: source.name(), length: source.size() as u64, source };
            Ok(Some(Box::new(file) as Box<dyn Source>))
        })
    }
}
