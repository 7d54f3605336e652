//! A checkpoint's config as the families read it: fields by any of their names, refused by an error that names them.

use serde_json::Value;

use crate::load::LoadError;

/// The config file, if there is one.
pub(super) struct Json<'a> {
    /// Its name in messages.
    pub(super) file: &'a str,
    /// Its content.
    pub(super) value: Option<&'a Value>,
}

impl<'a> Json<'a> {
    /// The first of these fields that is there and not null.
    pub(super) fn get(&self, names: &[&str]) -> Option<(String, &'a Value)> {
        let value = self.value?;
        names.iter().find_map(|n| value.get(n).filter(|v| !v.is_null()).map(|v| (n.to_string(), v)))
    }

    /// Refuses the field `name`.
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

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        match self.get(&[name]) {
            None => Ok(None),
            Some((name, found)) => found.as_bool().map(Some).ok_or_else(|| self.invalid(name, found, "true or false")),
        }
    }
}
