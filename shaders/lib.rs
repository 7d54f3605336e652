//! The WGSL compute shaders of Fastweight, as text. A kernel is one file; `parts/` holds what several share and the fillings of
//! their holes. The engine links them; here is nothing but constants.

/// Every file: its name without `.wgsl` (`rms_norm`, `parts/step`), and its text.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// The text of a file.
pub fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}
