//! A safetensors header, a whole file, an index of files.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("safetensors", data));
