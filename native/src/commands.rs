//! One module a command.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, bail};
use clap::CommandFactory;

use crate::Ended;

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod convert;
pub(crate) mod devices;
mod drawing;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod logits;
pub(crate) mod models;
pub(crate) mod tokenize;
pub(crate) mod verify;

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::Args::command(), "fastweight", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Ended::Normally)
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Bytes for people.
fn bytes(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}

/// Refuses a file that could not be written later.
pub(crate) fn check_writable(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        bail!("{}: the folder {} does not exist", file.display(), folder.display());
    }
    if file.is_dir() {
        bail!("{} is a folder", file.display());
    }
    Ok(())
}

/// Writes a file whole or not at all: beside its place, then into it. Of two programs that do so at once, one's file stays.
pub(crate) fn save(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&name);
    std::fs::write(part, bytes).with_context(|| part.display().to_string())?;
    std::fs::rename(part, file).with_context(|| file.display().to_string())
}

/// Whoever reads the output has seen enough.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}
