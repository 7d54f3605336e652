//! `fastweight bench report`.

use std::io::Write;
use std::path::{Path, PathBuf};

use fastweight::bench::report::{self, Entry};

use super::read;
use crate::Ended;
use crate::args::Args;
use crate::args::bench::Report;
use crate::commands::{check_writable, save};

/// The page's name, if none is given.
const PAGE: &str = "report.html";

pub(super) fn run(args: &Args, options: &Report) -> anyhow::Result<Ended> {
    let stdout = Path::new("-");
    let page = options.out.clone().or_else(|| options.markdown.is_none().then(|| PathBuf::from(PAGE)));
    let markdown = options.markdown.as_deref();
    for file in page.as_deref().into_iter().chain(markdown.filter(|file| *file != stdout)) {
        check_writable(file)?;
    }
    let entries: Vec<Entry> = options.files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?;
    let mut written = Vec::new();
    if let Some(file) = &page {
        save(file, report::html(&entries).as_bytes())?;
        written.push(file.display().to_string());
    }
    match markdown {
        Some(file) if file == stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(report::markdown(&entries).as_bytes())?;
            out.flush()?;
        }
        Some(file) => {
            save(file, report::markdown(&entries).as_bytes())?;
            written.push(file.display().to_string());
        }
        None => {}
    }
    if !args.quiet && !written.is_empty() {
        eprintln!("written: {}", written.join(", "));
        eprintln!("{}", report::SEND);
    }
    Ok(Ended::Normally)
}
