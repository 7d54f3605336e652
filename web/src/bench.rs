//! Measuring a device in a browser: [`fastweight::bench`], with what the page knows of its surroundings.

use fastweight::bench::results::{Results, ResultsError, Section, Settings, System};
use fastweight::bench::{BenchError, ModelOptions, Observer, Surroundings, run};
use fastweight::error::Error;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::device::Device;
use crate::error::{Failure, thrown};
use crate::model::option;

#[wasm_bindgen]
extern "C" {
    /// `BenchObserver` of `lib/worker/bench.ts`.
    #[wasm_bindgen(typescript_type = "BenchObserver")]
    pub type JsObserver;
    #[wasm_bindgen(method)]
    fn begins(this: &JsObserver, section: JsValue);
    #[wasm_bindgen(method)]
    fn progress(this: &JsObserver, done: f64, what: &str);
    #[wasm_bindgen(method)]
    fn cancelled(this: &JsObserver) -> bool;
    #[wasm_bindgen(method)]
    fn disturbed(this: &JsObserver) -> Option<String>;
    #[wasm_bindgen(method)]
    fn note(this: &JsObserver, text: &str);
    #[wasm_bindgen(method)]
    fn partial(this: &JsObserver, results: &str);
}

struct Watching<'a>(&'a JsObserver);

impl Observer for Watching<'_> {
    fn begins(&mut self, section: Section) {
        let name = serde_json::to_value(section).expect("a name is JSON");
        self.0.begins(name.as_str().into());
    }

    fn progress(&mut self, done: f64, what: &str) {
        self.0.progress(done, what);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn disturbed(&self) -> Option<String> {
        self.0.disturbed()
    }

    fn note(&mut self, text: &str) {
        self.0.note(text);
    }

    fn partial(&mut self, results: &Results) {
        self.0.partial(&results.to_json());
    }
}

/// `BenchRequest` of `lib/worker/bench.ts`.
#[derive(Deserialize)]
struct Request {
    settings: Settings,
    sections: Vec<Section>,
    system: System,
    /// Bytes that models may use.
    memory: u64,
}

impl Request {
    fn parse(text: &str) -> Result<Request, Failure> {
        let request: Request =
            serde_json::from_str(text).map_err(|e| Failure(option("bench options", &e.to_string(), "those of BenchOptions")))?;
        let Settings { repetitions, delay, sustain, .. } = request.settings;
        if !(1..=10_000).contains(&repetitions) {
            return Err(Failure(option("repetitions", &repetitions.to_string(), "1 to 10000")));
        }
        for (name, time) in [("delay", delay), ("sustain", sustain)] {
            if !(0.0..=86_400.0).contains(&time) {
                return Err(Failure(option(name, &time.to_string(), "0 to 86400 seconds")));
            }
        }
        Ok(request)
    }
}

/// Measures a device. Cancelled or failed half-way, it gives what there is to `observer.partial` and throws.
#[wasm_bindgen]
pub async fn bench(device: &Device, request: &str, observer: &JsObserver) -> Result<String, JsValue> {
    let Request { settings, sections, system, memory } = Request::parse(request)?;
    let surroundings = Surroundings { system, commit: option_env!("FASTWEIGHT_COMMIT").map(str::to_string) };
    let usual = ModelOptions::usual(&device.inner, settings.quick).await.map_err(failed)?;
    let models = ModelOptions { memory: Some(memory), ..usual };
    let (results, error) = run(&device.inner, surroundings, &settings, &sections, &models, &mut Watching(observer)).await;
    match error {
        None => Ok(results.to_json()),
        Some(error) => {
            observer.partial(&results.to_json());
            Err(failed(error))
        }
    }
}

fn failed(error: BenchError) -> JsValue {
    match error {
        BenchError::Cancelled => Failure(Error::Cancelled { taken: 0 }).into(),
        BenchError::Engine(error) => Failure(error).into(),
        wrong => thrown("device", "shader", &wrong.to_string()),
    }
}

pub(crate) fn read(file: &str, text: &str) -> Result<Results, JsValue> {
    Results::parse(file, text).map_err(|error: ResultsError| thrown("file", "bad-results", &error.to_string()))
}

/// Checks a file of results; throws what is wrong with it.
#[wasm_bindgen(js_name = checkResults)]
pub fn check_results(file: &str, text: &str) -> Result<(), JsValue> {
    read(file, text).map(|_| ())
}
