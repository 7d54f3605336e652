//! What the families read alike: the fields of a config file, and the sizes that follow from the tensors.

use serde_json::Value;

use crate::load::{Checkpoint, LoadError};

/// The config file, if there is one.
pub(super) struct Json<'a> {
    /// Its name in messages.
    pub(super) file: &'a str,
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

    /// What these fields say: the dialects' names of one thing, which must not contradict each other.
    fn one_of<T: PartialEq + ToString>(
        &self,
        names: &[&str],
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let mut said: Option<T> = None;
        for (name, found) in names.iter().filter_map(|name| self.get(&[name])) {
            let value = read(found).ok_or_else(|| self.invalid(name.clone(), found, wanted))?;
            if let Some(said) = said.as_ref().filter(|said| **said != value) {
                return Err(self.invalid(name, found, &format!("{}, as another field has it", said.to_string())));
            }
            said = Some(value);
        }
        Ok(said)
    }

    /// A size.
    pub(super) fn size(&self, names: &[&str], most: u64) -> Result<Option<usize>, LoadError> {
        let read = |v: &Value| v.as_u64().filter(|n| (1..=most).contains(n)).map(|n| n as usize);
        self.one_of(names, &format!("an integer from 1 to {most}"), read)
    }

    /// A positive number that f32 holds.
    pub(super) fn number(&self, names: &[&str]) -> Result<Option<f64>, LoadError> {
        self.one_of(names, "a positive number", |v| v.as_f64().filter(|x| *x > 1e-30 && *x < 1e30))
    }

    /// A switch.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        self.one_of(&[name], "true or false", Value::as_bool)
    }

    /// A word; `wanted` says which would do.
    pub(super) fn text(&self, name: &str, wanted: &str) -> Result<Option<&'a str>, LoadError> {
        self.one_of(&[name], wanted, Value::as_str)
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
