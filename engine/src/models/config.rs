//! What the families read alike: the fields of a config file, and the sizes that follow from the tensors.

use serde_json::Value;

use crate::load::{Checkpoint, LoadError};

/// The config file, if there is one.
pub(super) struct Json<'a> {
    file: &'a str,
    value: Option<&'a Value>,
}

impl<'a> Json<'a> {
    /// Wraps the config of `file`, which must be an object.
    pub(super) fn new(file: &'a str, value: Option<&'a Value>) -> Result<Json<'a>, LoadError> {
        match value {
            Some(value) if !value.is_object() => Err(LoadError::invalid(file, "the config", "no object", "a JSON object")),
            _ => Ok(Json { file, value }),
        }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// The first of these fields that is there and not null.
    pub(super) fn get(&self, names: &[&str]) -> Option<(String, &'a Value)> {
        let value = self.value?;
        names.iter().find_map(|n| value.get(n).filter(|v| !v.is_null()).map(|v| (n.to_string(), v)))
    }

    /// The error for a field that is not `wanted`.
    pub(super) fn invalid(&self, name: String, found: &Value, wanted: &str) -> LoadError {
        LoadError::invalid(self.file, format!("config field {name}"), found, wanted)
    }

    /// A size.
    pub(super) fn size(&self, names: &[&str], most: u64) -> Result<Option<usize>, LoadError> {
        let Some((name, found)) = self.get(names) else { return Ok(None) };
        match found.as_u64().filter(|n| (1..=most).contains(n)) {
            Some(n) => Ok(Some(n as usize)),
            None => Err(self.invalid(name, found, &format!("an integer from 1 to {most}"))),
        }
    }

    /// A positive number.
    pub(super) fn number(&self, names: &[&str]) -> Result<Option<f64>, LoadError> {
        let Some((name, found)) = self.get(names) else { return Ok(None) };
        match found.as_f64().filter(|x| *x > 0.0 && *x < 1e30) {
            Some(x) => Ok(Some(x)),
            None => Err(self.invalid(name, found, "a positive number")),
        }
    }

    /// A switch.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        match self.get(&[name]) {
            None => Ok(None),
            Some((name, found)) => found.as_bool().map(Some).ok_or_else(|| self.invalid(name, found, "true or false")),
        }
    }

    /// Refuses a field that contradicts the tensors.
    pub(super) fn agree<T: PartialEq + ToString>(&self, name: &str, found: Option<T>, tensors: T) -> Result<(), LoadError> {
        match found {
            Some(found) if found != tensors => {
                let wanted = format!("{}, as its tensors have it", tensors.to_string());
                Err(LoadError::invalid(self.file, format!("config field {name}"), found.to_string(), wanted))
            }
            _ => Ok(()),
        }
    }
}

/// The shape of a tensor that must be there, with this many axes of sane sizes.
pub(super) fn shape<'a>(checkpoint: &'a Checkpoint, name: &str, axes: usize) -> Result<&'a [usize], LoadError> {
    let missing = || LoadError::MissingTensor { file: checkpoint.name().into(), name: name.into() };
    let shape = &checkpoint.tensors.get(name).ok_or_else(missing)?.shape;
    if shape.len() != axes || shape.iter().any(|n| *n == 0 || *n > 1 << 24) {
        let (what, found) = (format!("the shape of {name}"), format!("{shape:?}"));
        return Err(LoadError::invalid(checkpoint.name(), what, found, format!("{axes} axes")));
    }
    Ok(shape)
}

/// How many layers the tensors named `{prefix}{layer}.…` make.
pub(super) fn layers(checkpoint: &Checkpoint, prefix: &str) -> usize {
    let layer_of = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    checkpoint.tensors.keys().filter_map(layer_of).max().map_or(0, |last| last.saturating_add(1))
}

/// Whether the output matrix is the embedding: there is no `lm_head.weight`, and the config must not contradict.
pub(super) fn tied(checkpoint: &Checkpoint, json: &Json<'_>) -> Result<bool, LoadError> {
    let file = checkpoint.name();
    let tied = !checkpoint.tensors.contains_key("lm_head.weight");
    match json.flag("tie_word_embeddings")? {
        Some(true) if !tied => {
            Err(LoadError::invalid(file, "config field tie_word_embeddings", true, "false, as there is an lm_head.weight"))
        }
        Some(false) if tied => Err(LoadError::MissingTensor { file: file.into(), name: "lm_head.weight".into() }),
        _ => Ok(tied),
    }
}

/// Refuses a vocabulary that can't be sampled, and a depth that no model has.
pub(super) fn check_depth(file: &str, vocabulary: usize, layers: usize) -> Result<(), LoadError> {
    let most = crate::kernels::sample::MAX_VOCABULARY;
    if vocabulary > most {
        return Err(LoadError::invalid(file, "the vocabulary", vocabulary, format!("at most {most}")));
    }
    if layers == 0 || layers > 1000 {
        return Err(LoadError::invalid(file, "the number of layers", layers, "1 to 1000"));
    }
    Ok(())
}
