//! `fastweight convert`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fastweight::load::{Container, Conversion, LoadError, open_path};

use crate::Ended;
use crate::args::{Args, Convert};
use crate::commands::bytes;
use crate::progress;

pub(crate) async fn run(args: &Args, options: &Convert) -> anyhow::Result<Ended> {
    let output = &options.output;
    let Some(container) = Container::of(output) else {
        bail!("{}: wanted a name that ends with .gguf or .safetensors", output.display());
    };
    let opened = open_path(&options.input).await?;
    let conversion = Conversion::new(&opened, container, options.outtype)?;
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside: Vec<(PathBuf, &[u8])> = conversion.beside().iter().map(|(name, bytes)| (folder.join(name), &bytes[..])).collect();
    let all = || std::iter::once(output).chain(beside.iter().map(|(path, _)| path));
    if let Some(there) = all().find(|path| path.exists() && !options.force) {
        bail!("{} exists; --force replaces it", there.display());
    }

    let bar = progress::bar(args, "writing {bytes} of {total_bytes} {wide_bar} {eta}");
    bar.set_length(conversion.bytes());
    let partial = Partial::new(output)?;
    let mut writer = BufWriter::with_capacity(1 << 20, &partial.file);
    let failed = |source| LoadError::Io { file: output.display().to_string(), source };
    let mut write = |piece: &[u8]| {
        bar.inc(piece.len() as u64);
        writer.write_all(piece).map_err(failed)
    };
    conversion.write(&mut write).await?;
    writer.flush().map_err(failed)?;
    drop(writer);
    partial.file.sync_all().map_err(failed)?;
    partial.keep(output)?;
    for (path, content) in beside {
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    bar.finish_and_clear();
    if !args.quiet {
        eprintln!("{}: {} as {}", output.display(), bytes(conversion.bytes()), options.outtype);
    }
    Ok(Ended::Normally)
}

/// A file that is being written beside its place; it goes away unless it is kept.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn new(place: &Path) -> anyhow::Result<Partial> {
        let mut path = place.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Partial { path, file })
    }

    /// Moves it to its place.
    fn keep(self, place: &Path) -> anyhow::Result<()> {
        fs::rename(&self.path, place).with_context(|| place.display().to_string())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone already if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}
