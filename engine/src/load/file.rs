//! Checkpoints on disk.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::folder::{Folder, Listing, Opened, Opening, open_folder};
use super::{LoadError, Reading, Source, truncated};

/// A file that is read in pieces.
pub struct FileSource {
    name: String,
    length: u64,
    file: Mutex<File>,
}

fn io_error(path: &Path, source: std::io::Error) -> LoadError {
    LoadError::Io { file: path.display().to_string(), source }
}

impl FileSource {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<FileSource, LoadError> {
        let (file, length) = open_regular(path)?;
        Ok(FileSource { name: path.display().to_string(), length, file: Mutex::new(file) })
    }
}

/// Opens a file that has an end, and tells its length. (To open a pipe would wait for whoever writes into it.)
fn open_regular(path: &Path) -> Result<(File, u64), LoadError> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    if metadata.is_dir() {
        return Err(io_error(path, ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(LoadError::invalid(&path.display().to_string(), "it", "a device or a pipe", "a regular file"));
    }
    let file = File::open(path).map_err(|e| io_error(path, e))?;
    Ok((file, metadata.len()))
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: usize) -> Reading<'_> {
        let read = || {
            if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
                return Err(truncated(self, "a read", offset, length));
            }
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = vec![0; length];
            let result = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes));
            result.map_err(|source| LoadError::Io { file: self.name.clone(), source })?;
            Ok(bytes)
        };
        Box::pin(std::future::ready(read()))
    }
}

/// A folder on disk.
struct DiskFolder {
    name: String,
    path: PathBuf,
}

impl DiskFolder {
    fn names(&self) -> Result<Vec<String>, LoadError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|e| io_error(&self.path, e))? {
            let path = entry.map_err(|e| io_error(&self.path, e))?.path();
            if path.is_file() {
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Folder for DiskFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Listing<'_> {
        Box::pin(std::future::ready(self.names().map(Some)))
    }

    fn open<'a>(&'a self, name: &'a str) -> Opening<'a> {
        let opened = match FileSource::open(&self.path.join(name)) {
            Ok(source) => Ok(Some(Box::new(source) as Box<dyn Source>)),
            Err(LoadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Box::pin(std::future::ready(opened))
    }
}

/// Opens a model on disk: a folder, or one of its weight files. See [`open_folder`].
pub async fn open_path(path: &Path) -> Result<Opened, LoadError> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    let (folder, file) = match path.file_name() {
        Some(file) if !metadata.is_dir() => (path.parent().unwrap_or(Path::new("")), Some(file.to_string_lossy().into_owned())),
        _ => (path, None),
    };
    let folder = DiskFolder { name: folder.display().to_string(), path: folder.to_path_buf() };
    open_folder(&folder, file.as_deref()).await
}
