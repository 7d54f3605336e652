//! Models by name: `hf:org/name`, fetched from a Hugging Face hub into the cache that its own tools use.
//!
//! The cache is theirs (`HF_HOME`, `HF_HUB_CACHE`), so that what one tool fetched the other finds:
//! `models--org--name/{blobs/<checksum>, refs/<revision>, snapshots/<commit>/<file>}`.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::args::Args;

mod cache;
mod choose;
mod fetch;

pub(crate) use cache::Cache;

/// What begins the name of a model on the hub.
const PREFIX: &str = "hf:";

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// `org/name`.
    pub(crate) repository: String,
    /// A branch, a tag or a commit.
    pub(crate) revision: String,
    /// A file, or the name of a quantisation.
    pub(crate) file: Option<String>,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", self.repository)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.file.iter().try_for_each(|file| write!(f, ":{file}"))
    }
}

impl Name {
    /// Reads `hf:org/name[@revision][:file or quantisation]`; none if the text is no name on a hub. A web address is explained.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Option<Name>> {
        if let Some(address) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            let mut parts = address.split('/').skip(1).filter(|p| !p.is_empty());
            let name = match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(org), Some(name), Some("blob" | "resolve"), Some(_)) => {
                    let file = parts.collect::<Vec<_>>().join("/");
                    let file = file.split('?').next().unwrap_or_default();
                    format!("{PREFIX}{org}/{name}:{file}")
                }
                (Some(org), Some(name), ..) => format!("{PREFIX}{org}/{name}"),
                _ => format!("{PREFIX}org/name"),
            };
            bail!("{text} is the address of a web page or a file, and models are named otherwise: try -m {name}");
        }
        let Some(rest) = text.strip_prefix(PREFIX) else { return Ok(None) };
        Name::parse_rest(rest).map(Some)
    }

    /// The same, where nothing but a name on a hub will do and `hf:` may be left out.
    pub(crate) fn parse_any(text: &str) -> anyhow::Result<Name> {
        match Name::parse(text)? {
            Some(name) => Ok(name),
            None => Name::parse_rest(text),
        }
    }

    fn parse_rest(rest: &str) -> anyhow::Result<Name> {
        let (name, file) = rest.split_once(':').map_or((rest, None), |(name, file)| (name, Some(file)));
        let (repository, revision) = name.split_once('@').unwrap_or((name, "main"));
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|p| is_part(p)) || !revision.split('/').all(is_part) {
            bail!("hf:{rest} names no model: wanted hf:org/name, with @revision and :file or :quantisation if need be");
        }
        if file.is_some_and(|file| !is_path(file)) {
            bail!("hf:{rest}: {:?} names no file", file.unwrap_or_default());
        }
        let (repository, revision) = (repository.to_string(), revision.to_string());
        Ok(Name { repository, revision, file: file.map(String::from) })
    }
}

/// Whether a text can be one part of a path, and nothing else, on every system.
fn is_part(part: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_. +()[],=~".contains(c);
    !part.is_empty() && part.len() <= 200 && !part.starts_with('.') && !part.ends_with(['.', ' ']) && part.chars().all(allowed)
}

/// Whether a text is a path that goes down only.
fn is_path(path: &str) -> bool {
    path.len() <= 1000 && path.split('/').all(is_part)
}

/// Whether a text is a checksum or a commit in hexadecimal digits.
fn is_hex(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The path of a model that was named, fetched if it is not in the cache.
pub(crate) fn path(name: &Name, args: &Args) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    if let Some(path) = cache.find(name)? {
        return Ok(path);
    }
    if args.offline {
        bail!("{name} is not in the cache {}, and --offline forbids to fetch it", cache.folder().display());
    }
    fetch::pull(&cache, name, args)
}

/// Fetches a model, or what of it is new.
pub(crate) fn pull(name: &Name, args: &Args) -> anyhow::Result<PathBuf> {
    if args.offline {
        bail!("--offline forbids to fetch {name}");
    }
    fetch::pull(&Cache::open()?, name, args)
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder for what programs can make or fetch anew.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let user = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| PathBuf::from(home).join(".cache"));
    variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(user)
}

/// The folder of the hub's tools.
fn home() -> anyhow::Result<PathBuf> {
    let home = variable("HF_HOME").map(PathBuf::from).or_else(|| Some(user_cache()?.join("huggingface")));
    home.context("no place for fetched models: set HF_HOME")
}
