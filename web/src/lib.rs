//! Fastweight in the browser: what the npm package's worker calls. Thin bindings over [`fastweight::generate`]; what is more than that
//! (downloads, storage, the worker) is TypeScript, in `lib/`.

mod bench;
mod device;
mod error;
mod files;
mod model;
mod product;
mod report;
mod session;
mod verify;

pub use bench::{bench, check_results};
pub use device::Device;
pub use model::{Model, inspect};
pub use product::Product;
pub use report::{compare, report};
pub use session::Session;
pub use verify::verify;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Called once, when the module was instantiated. A panic ends the program on wasm; its message is all that is left of it.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}
