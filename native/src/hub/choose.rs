//! Which files of a repository are the model.

use anyhow::bail;

use super::Name;

/// The file that lists the others.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// What belongs to weights in the Hugging Face layout.
const BESIDE: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
];

/// What to fetch, and what to open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The files, what is small first, so that whoever has the weights has all.
    pub(super) files: Vec<String>,
    /// The file to open; none for the folder.
    pub(super) opened: Option<String>,
}

impl Choice {
    /// With these weights in one folder.
    fn beside(names: &[String], weights: &str, opened: Option<String>) -> Choice {
        let folder = weights.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let beside = BESIDE.iter().map(|name| format!("{folder}{name}"));
        let mut files: Vec<String> = beside.filter(|name| names.contains(name)).collect();
        files.push(weights.into());
        Choice { files, opened }
    }
}

/// Chooses by what was asked for. `index` reads the shards of an index file.
pub(super) fn choose(
    name: &Name,
    names: &[String],
    index: impl FnOnce(&str) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Choice> {
    let weights = |extension: &str| names.iter().filter(|n| n.ends_with(extension)).collect::<Vec<_>>();
    let (safetensors, ggufs) = (weights(".safetensors"), weights(".gguf"));
    let list = || {
        let all = safetensors.iter().chain(&ggufs).map(|n| format!("\n  {n}")).collect::<String>();
        if all.is_empty() { " no weights in a format that is read here (.safetensors, .gguf)".into() } else { all }
    };
    if let Some(wanted) = &name.file {
        if names.contains(wanted) {
            return Ok(match wanted.ends_with(".safetensors") {
                true => Choice::beside(names, wanted, Some(wanted.clone())),
                false => Choice { files: vec![wanted.clone()], opened: Some(wanted.clone()) },
            });
        }
        let found: Vec<_> = ggufs.iter().filter(|file| has_part(file, wanted)).collect();
        return match found.as_slice() {
            [] => bail!("{} has no file and no quantisation {wanted}; it has{}", name.repository, list()),
            [file] => Ok(Choice { files: vec![file.to_string()], opened: Some(file.to_string()) }),
            several => {
                let several = several.iter().map(|n| format!("\n  {n}")).collect::<String>();
                bail!("{} has several files with {wanted}: name one after the colon{several}", name.repository)
            }
        };
    }
    if names.iter().any(|n| n == INDEX) {
        let mut choice = Choice::beside(names, INDEX, None);
        for shard in index(INDEX)? {
            if !names.contains(&shard) {
                bail!("{}: {INDEX} names {shard:?}, which is not there", name.repository);
            }
            choice.files.push(shard);
        }
        return Ok(choice);
    }
    let whole = names.iter().find(|n| *n == "model.safetensors");
    match (whole, safetensors.as_slice(), ggufs.as_slice()) {
        (Some(file), ..) => Ok(Choice::beside(names, file, None)),
        (None, [file], []) => Ok(Choice::beside(names, file, Some(file.to_string()))),
        (None, [], [file]) => Ok(Choice { files: vec![file.to_string()], opened: Some(file.to_string()) }),
        (None, [], []) => bail!("{} has{}", name.repository, list()),
        _ => bail!("{} has several models: name a file or a quantisation after a colon{}", name.repository, list()),
    }
}

/// Whether a file's name has this part between its dots and dashes, in large or small letters.
fn has_part(file: &str, wanted: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(['-', '.']).any(|part| part.eq_ignore_ascii_case(wanted))
}
