//! The authors' stream: the heads, and the catalogue of a whole file.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("stream", data));
