//! Binds a wasm module for browsers: `fastweight-bind MODULE FOLDER`. What `wasm-bindgen --target web` does, but always in the version that the
//! module was built with, since both come from one lockfile, and with nothing to install.

use std::path::PathBuf;

use anyhow::{Context, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = &arguments[..] else { bail!("usage: fastweight-bind MODULE FOLDER") };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("fastweight").typescript(true).omit_default_module_path(true).web(true)?;
    bindgen.generate(folder).with_context(|| module.display().to_string())
}
