//! `fastweight pull`, `list` and `rm`.

use std::io::Write;

use serde_json::json;

use crate::Ended;
use crate::args::{Args, ByName};
use crate::commands::{bytes, print_json};
use crate::hub::{self, Cache, Name};

/// Fetches a model, and says where it is.
pub(crate) fn pull(args: &Args, options: &ByName) -> anyhow::Result<Ended> {
    let name = Name::parse_any(&options.name)?;
    let path = hub::pull(&name, args)?;
    match args.json {
        true => print_json(&json!({ "name": name.to_string(), "path": path.display().to_string() }))?,
        false => writeln!(std::io::stdout(), "{}", path.display())?,
    }
    Ok(Ended::Normally)
}

/// Lists the models of the cache.
pub(crate) fn list(args: &Args) -> anyhow::Result<Ended> {
    let models = Cache::open()?.list()?;
    if args.json {
        print_json(&models)?;
        return Ok(Ended::Normally);
    }
    let mut out = std::io::stdout().lock();
    for model in models {
        let commit = model.commit.as_deref().map_or("no main revision", |commit| &commit[..12]);
        writeln!(out, "{}  {}  {commit}", model.name, bytes(model.bytes))?;
        for file in model.files {
            writeln!(out, "  {file}")?;
        }
    }
    Ok(Ended::Normally)
}

/// Removes a model or a file of it.
pub(crate) fn remove(args: &Args, options: &ByName) -> anyhow::Result<Ended> {
    let name = Name::parse_any(&options.name)?;
    let freed = Cache::open()?.remove(&name)?;
    match args.json {
        true => print_json(&json!({ "name": name.to_string(), "freed_bytes": freed }))?,
        false => writeln!(std::io::stdout(), "{name} is removed: {} are free", bytes(freed))?,
    }
    Ok(Ended::Normally)
}
