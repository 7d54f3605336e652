//! Results side by side in a browser: [`fastweight::bench::report`] and [`fastweight::bench::compare`].

use fastweight::bench::compare::Comparison;
use fastweight::bench::report::{self, Entry};
use wasm_bindgen::prelude::*;

use crate::bench::read;
use crate::error::thrown;

/// The page of these files, whose texts are in the same order.
#[wasm_bindgen]
pub fn report(files: Vec<String>, texts: Vec<String>) -> Result<String, JsValue> {
    let entry = |(file, text): (String, &String)| read(&file, text).map(|results| Entry { file, results });
    let entries = files.into_iter().zip(&texts).map(entry).collect::<Result<Vec<Entry>, JsValue>>()?;
    Ok(report::html(&entries))
}

/// What changed from the first of two files to the second: `BenchComparison` of `lib/results.ts` as JSON.
#[wasm_bindgen]
pub fn compare(files: Vec<String>, texts: Vec<String>, forced: bool) -> Result<String, JsValue> {
    let ([a, b], [first, second]) = (&files[..], &texts[..]) else { return Err(JsError::new("wanted two files").into()) };
    let comparison = Comparison::new(&read(a, first)?, &read(b, second)?, forced);
    let comparison = comparison.map_err(|error| thrown("other", "bad-option", &error.to_string()))?;
    Ok(serde_json::to_string(&comparison).map_err(|e| JsError::new(&e.to_string()))?)
}
