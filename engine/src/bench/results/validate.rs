//! Reading results from anyone: every figure is looked at before it is used.

use super::{Measurement, Results, SCHEMA, SUITE_VERSION};

/// A file of results is not larger than this.
pub const MAX_BYTES: usize = 64 << 20;

/// Why a file of results is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// Too much to be results.
    #[error("{file}: {found} bytes, wanted at most {MAX_BYTES}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        found: usize,
    },
    /// No JSON, or of another form.
    #[error("{file}: no results of fastweight bench: {reason}")]
    Form {
        /// The file.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// Of another version.
    #[error("{file}: {what} is {found}, this version reads {wanted}")]
    Version {
        /// The file.
        file: String,
        /// Schema or suite.
        what: &'static str,
        /// What it says.
        found: String,
        /// What this version reads.
        wanted: String,
    },
    /// A value that can't be.
    #[error("{file}: {what} is {found}, wanted {wanted}")]
    Value {
        /// The file.
        file: String,
        /// Which value.
        what: String,
        /// What it is.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
}

pub(super) fn parse(file: &str, text: &str) -> Result<Results, ResultsError> {
    if text.len() > MAX_BYTES {
        return Err(ResultsError::TooLarge { file: file.into(), found: text.len() });
    }
    let form = |e: serde_json::Error| ResultsError::Form { file: file.into(), reason: e.to_string() };
    // The version first: another one may have other fields.
    let value: serde_json::Value = serde_json::from_str(text).map_err(form)?;
    let version = |what, found: &serde_json::Value, wanted: String| ResultsError::Version {
        file: file.into(),
        what,
        found: crate::quote::shown(found.to_string()),
        wanted,
    };
    match value.get("schema") {
        Some(schema) if schema == SCHEMA => {}
        Some(schema) => return Err(version("schema", schema, SCHEMA.into())),
        None => return Err(ResultsError::Form { file: file.into(), reason: "there is no field schema".into() }),
    }
    match value.get("suite_version") {
        Some(suite) if *suite == SUITE_VERSION => {}
        Some(suite) => return Err(version("suite_version", suite, SUITE_VERSION.to_string())),
        None => return Err(ResultsError::Form { file: file.into(), reason: "there is no field suite_version".into() }),
    }
    let results: Results = serde_json::from_value(value).map_err(form)?;
    check(file, &results)?;
    Ok(results)
}

fn check(file: &str, results: &Results) -> Result<(), ResultsError> {
    let value = |what: String, found: &dyn std::fmt::Display, wanted| {
        Err(ResultsError::Value { file: file.into(), what, found: crate::quote::shown(found.to_string()), wanted })
    };
    let positive = |what: &str, x: f64| match x.is_finite() && x > 0.0 {
        true => Ok(()),
        false => value(what.into(), &x, "a positive number"),
    };
    if results.date.len() != 10 || results.date.parse::<jiff::civil::Date>().is_err() {
        return value("date".into(), &results.date, "a day such as 2026-11-25");
    }
    if results.valid != results.invalid.is_empty() {
        return value("valid".into(), &results.valid, "true without reasons under invalid, or false with some");
    }
    positive("timer.quantum", results.timer.quantum)?;
    for sentinel in &results.sentinels {
        positive("the copy of a sentinel", sentinel.copy)?;
        positive("the multiply_add of a sentinel", sentinel.multiply_add)?;
    }
    if let Some(ceilings) = &results.ceilings {
        for (name, curve) in [("read", &ceilings.read), ("copy", &ceilings.copy)] {
            if curve.is_empty() || !curve.is_sorted_by(|a, b| a.bytes < b.bytes) {
                return value(format!("ceilings.{name}"), &format!("{} points", curve.len()), "points by ascending bytes");
            }
            for point in curve {
                positive(name, point.rate)?;
            }
        }
        for (name, x) in [
            ("ceilings.f32", ceilings.f32),
            ("ceilings.f16", ceilings.f16.unwrap_or(1.0)),
            ("ceilings.dispatch", ceilings.dispatch),
            ("ceilings.submit", ceilings.submit),
            ("ceilings.read_back", ceilings.read_back),
        ] {
            positive(name, x)?;
        }
    }
    for m in &results.measurements {
        check_measurement(file, m)?;
    }
    let mut seen = std::collections::HashSet::new();
    for m in &results.measurements {
        if !seen.insert((m.key(), &m.variant)) {
            return value(format!("the measurement {} of {}", m.name, m.subject), &"there twice", "each once");
        }
    }
    Ok(())
}

fn check_measurement(file: &str, m: &Measurement) -> Result<(), ResultsError> {
    let value = |what: &str, found: &dyn std::fmt::Display, wanted| {
        let what = crate::quote::shown(format!("{what} of {} {}", m.name, m.subject));
        Err(ResultsError::Value { file: file.into(), what, found: found.to_string(), wanted })
    };
    if m.samples.is_empty() || m.samples.len() > 100_000 {
        return value("the number of samples", &m.samples.len(), "1 to 100000");
    }
    if let Some(bad) = m.samples.iter().chain(&m.clock).find(|s| !(s.is_finite() && **s > 0.0)) {
        return value("a sample", bad, "a positive number of seconds");
    }
    if m.order.len() != m.samples.len() {
        return value("the length of order", &m.order.len(), "one place a sample");
    }
    if !m.clock.is_empty() && m.clock.len() != m.samples.len() {
        return value("the length of clock", &m.clock.len(), "one a sample, or none");
    }
    if m.batch == 0 {
        return value("batch", &m.batch, "at least 1");
    }
    let w = &m.work;
    let sizes = [w.tokens, w.context, w.operations, w.least, w.moved, w.state, w.working_set];
    if let Some(bad) = sizes.iter().chain(&m.share).find(|x| !(x.is_finite() && **x >= 0.0)) {
        return value("the work or share", bad, "numbers that are not negative");
    }
    Ok(())
}
