//! What is on this machine.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::choose::choose;
use super::{Name, home, is_hex, is_part, is_path, variable};

/// The folder of all models.
pub(crate) struct Cache(PathBuf);

/// A model in the cache.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cached {
    /// `hf:org/name`.
    pub(crate) name: String,
    /// The commit of its main revision, if it was fetched.
    pub(crate) commit: Option<String>,
    /// Its files in that commit.
    pub(crate) files: Vec<String>,
    /// Bytes on disk, other commits included.
    pub(crate) bytes: u64,
}

/// A model's folder within the cache.
pub(super) struct Repository {
    pub(super) folder: PathBuf,
}

impl Cache {
    pub(crate) fn open() -> anyhow::Result<Cache> {
        match variable("HF_HUB_CACHE") {
            Some(folder) => Ok(Cache(folder.into())),
            None => Ok(Cache(home()?.join("hub"))),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn repository(&self, name: &Name) -> Repository {
        Repository { folder: self.0.join(format!("models--{}", name.repository.replace('/', "--"))) }
    }

    /// The path of a model of which all files are there.
    pub(super) fn find(&self, name: &Name) -> anyhow::Result<Option<PathBuf>> {
        let repository = self.repository(name);
        let Some(commit) = repository.commit(&name.revision) else { return Ok(None) };
        let names = repository.files(&commit);
        let index = |file: &str| {
            let path = repository.snapshot(&commit).join(file);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Ok(fastweight::load::safetensors::index_files(&path.display().to_string(), &bytes)?)
        };
        // What is not here can be fetched.
        let Ok(choice) = choose(name, &names, index) else { return Ok(None) };
        let folder = repository.snapshot(&commit);
        Ok(Some(choice.opened.map_or(folder.clone(), |file| folder.join(file))))
    }

    /// All models of the cache.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Cached>> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| self.0.display().to_string())?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let folder = entry.file_name().to_string_lossy().into_owned();
            let Some((org, model)) = folder.strip_prefix("models--").and_then(|rest| rest.split_once("--")) else { continue };
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let repository = Repository { folder: entry.path() };
            let commit = repository.commit("main");
            let files = commit.as_deref().map(|commit| repository.files(commit)).unwrap_or_default();
            found.push(Cached { name: format!("hf:{org}/{model}"), commit, files, bytes: repository.bytes() });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Removes a model, or one file of it. Returns the bytes that are free again.
    pub(crate) fn remove(&self, name: &Name) -> anyhow::Result<u64> {
        let repository = self.repository(name);
        let folder = &repository.folder;
        if !fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir()) {
            bail!("{name} is not in the cache {}", self.0.display());
        }
        let before = repository.bytes();
        let Some(file) = &name.file else {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
            return Ok(before);
        };
        let commit = repository.commit(&name.revision);
        let path = commit.map(|commit| repository.snapshot(&commit).join(file));
        let Some(path) = path.filter(|path| fs::symlink_metadata(path).is_ok_and(|m| !m.is_dir())) else {
            bail!("{name} is not in the cache {}", self.0.display());
        };
        let blob = fs::canonicalize(&path).ok();
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
        // Another commit may have the same file.
        let blobs = fs::canonicalize(folder.join("blobs")).ok();
        if let Some(blob) = blob.filter(|blob| blob.parent() == blobs.as_deref() && !repository.is_used(blob)) {
            fs::remove_file(&blob).with_context(|| blob.display().to_string())?;
        }
        Ok(before.saturating_sub(repository.bytes()))
    }
}

impl Repository {
    /// The commit of a revision, if it was fetched.
    fn commit(&self, revision: &str) -> Option<String> {
        if is_hex(revision) && self.snapshot(revision).is_dir() {
            return Some(revision.into());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_hex(commit))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, checksum: &str) -> PathBuf {
        self.folder.join("blobs").join(checksum)
    }

    /// The files of a commit that are here whole, by their names in the repository. A link that leads out of the repository's folder is none.
    fn files(&self, commit: &str) -> Vec<String> {
        let mut files = Vec::new();
        if let Ok(inside) = fs::canonicalize(&self.folder) {
            walk(&self.snapshot(commit), "", &mut |name, path| {
                if fs::canonicalize(path).is_ok_and(|file| file.starts_with(&inside) && file.is_file()) {
                    files.push(name.to_string());
                }
            });
        }
        files.sort();
        files
    }

    /// Whether a file of any commit leads to this blob.
    fn is_used(&self, blob: &Path) -> bool {
        let mut used = false;
        walk(&self.folder.join("snapshots"), "", &mut |_, path| used |= fs::canonicalize(path).is_ok_and(|file| file == blob));
        used
    }

    /// Bytes of all files; links count nothing.
    fn bytes(&self) -> u64 {
        let mut bytes = 0;
        walk(&self.folder, "", &mut |_, path| {
            bytes += fs::symlink_metadata(path).map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        });
        bytes
    }

    /// Puts a fetched blob into a commit's folder.
    pub(super) fn link(&self, commit: &str, file: &str, checksum: &str) -> anyhow::Result<()> {
        if !is_path(file) || !is_hex(commit) || !is_hex(checksum) {
            bail!("{file:?} names no file within the cache");
        }
        let place = self.snapshot(commit).join(file);
        let folder = place.parent().expect("a file in a folder is in one");
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        match fs::remove_file(&place) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).with_context(|| place.display().to_string()),
            _ => {}
        }
        link(&self.blob(checksum), &place, file.split('/').count()).with_context(|| place.display().to_string())
    }

    /// Notes which commit a revision is.
    pub(super) fn note(&self, revision: &str, commit: &str) -> anyhow::Result<()> {
        if !revision.split('/').all(is_part) || !is_hex(commit) {
            bail!("{revision:?} at {commit:?} names no commit");
        }
        let file = self.folder.join("refs").join(revision);
        let folder = file.parent().expect("a file in a folder is in one");
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&file, commit).with_context(|| file.display().to_string())
    }
}

/// A link as the hub's tools make it: relative, from `snapshots/<commit>/…` with so many parts to `blobs`.
#[cfg(unix)]
fn link(blob: &Path, place: &Path, parts: usize) -> std::io::Result<()> {
    let up = "../".repeat(parts + 1);
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), place)
}

/// Where links are a privilege: a second name of the file, or a copy of it.
#[cfg(not(unix))]
fn link(blob: &Path, place: &Path, _: usize) -> std::io::Result<()> {
    fs::hard_link(blob, place).or_else(|_| fs::copy(blob, place).map(|_| ()))
}

/// Calls `each` with all files below a folder, by their names from there. Links are not followed into folders.
fn walk(folder: &Path, before: &str, each: &mut impl FnMut(&str, &Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{name}/"), each),
            Ok(_) => each(&name, &entry.path()),
            Err(_) => {}
        }
    }
}
