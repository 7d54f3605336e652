//! One module a command.

use std::io::Write;

use clap::CommandFactory;

use crate::Ended;

pub(crate) mod convert;
pub(crate) mod devices;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod logits;
pub(crate) mod tokenize;

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
