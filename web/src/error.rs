//! Errors as the package throws them: JavaScript errors with a `code` (see `lib/errors.ts`).

use fastweight::device::DeviceError;
use fastweight::error::Error;
use fastweight::load::LoadError;
use fastweight::plan::PlanError;
use fastweight::text::TextError;
use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::files;

/// What a function of this crate fails with.
pub(crate) struct Failure(pub(crate) Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.into())
    }
}

/// The kind and the code of an error, as `WireError` in `lib/errors.ts` has them.
fn code(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::Device(error) => match error {
            DeviceError::NotFound { .. } | DeviceError::Refused { .. } | DeviceError::Limit { .. } => ("device", "no-webgpu"),
            DeviceError::Lost(_) => ("device", "device-lost"),
            DeviceError::OutOfMemory { .. } => ("device", "out-of-memory"),
            DeviceError::Shader { .. } => ("device", "shader"),
            DeviceError::Unreadable(_) | DeviceError::Ambiguous { .. } => ("other", "bad-option"),
            _ => ("other", "internal"),
        },
        Error::Load(LoadError::UnknownArchitecture { .. }) => ("file", "unknown-architecture"),
        Error::Load(LoadError::OutOfMemory { .. }) => ("device", "out-of-memory"),
        Error::Load(LoadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => ("file", "not-found"),
        Error::Load(_) | Error::Graph(_) | Error::NotFinite { .. } => ("file", "bad-file"),
        Error::Plan(PlanError::Wrong { .. }) => ("device", "shader"),
        Error::Plan(PlanError::TooLarge { .. } | PlanError::TooLong { .. }) => ("device", "out-of-memory"),
        Error::Text(TextError::Missing(_) | TextError::NoTemplate(_)) => ("file", "missing-part"),
        Error::Text(TextError::Failed(_)) => ("other", "internal"),
        Error::Text(_) => ("file", "bad-file"),
        Error::Snapshot(_) => ("file", "bad-state"),
        Error::BadToken { .. } | Error::Option { .. } => ("other", "bad-option"),
        Error::EmptyPrompt => ("other", "empty-prompt"),
        Error::Cancelled { .. } => ("abort", "internal"),
        Error::Context { .. } | Error::Full(_) => ("other", "context-full"),
        _ => ("other", "internal"),
    }
}

impl From<Failure> for JsValue {
    fn from(Failure(error): Failure) -> JsValue {
        // What a file's own reading failed with says more than that it failed.
        if let (Error::Load(LoadError::Io { .. }), Some(own)) = (&error, files::take_error()) {
            return own;
        }
        let (kind, code) = code(&error);
        thrown(kind, code, &error.to_string())
    }
}

/// An error of a kind and a code, as `WireError` in `lib/errors.ts` has them.
pub(crate) fn thrown(kind: &str, code: &str, message: &str) -> JsValue {
    let thrown = js_sys::Error::new(message);
    for (name, value) in [("kind", kind), ("code", code)] {
        // A fresh object takes every property.
        let _ = Reflect::set(&thrown, &name.into(), &value.into());
    }
    thrown.into()
}
