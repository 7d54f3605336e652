//! `fastweight logits`.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::json;

use crate::Ended;
use crate::args::{Args, Logits};
use crate::commands::{check_writable, print_json};
use crate::open;

/// The likeliest tokens that are shown to people.
const SHOWN: usize = 5;

#[derive(Serialize)]
struct Found<'a> {
    positions: &'a [usize],
    logits: Vec<&'a [f32]>,
}

pub(crate) async fn run(args: &Args, options: &Logits) -> anyhow::Result<Ended> {
    let n = options.ids.len();
    if !options.split.is_sorted() || options.split.iter().any(|place| *place > n) {
        bail!("--split wants places in order, at most {n}; found {:?}", options.split);
    }
    if let Some(position) = options.positions.iter().find(|p| **p >= n) {
        bail!("--positions wants positions below {n}, found {position}");
    }
    if let Some(file) = &options.out {
        check_writable(file)?;
    }
    let device = open::device(args).await?;
    let model = open::model(args, &device).await?;
    let mut session = model.session().await?;
    let mut all = Vec::new();
    let mut start = 0;
    for end in options.split.iter().copied().chain([n]) {
        all.extend(session.logits(&options.ids[start..end]).await?);
        start = end;
    }
    let positions: Vec<usize> = if options.positions.is_empty() { (0..n).collect() } else { options.positions.clone() };
    let vocabulary = model.architecture().vocabulary();
    let row = |position: &usize| &all[position * vocabulary..][..vocabulary];
    let logits: Vec<&[f32]> = positions.iter().map(row).collect();
    if let Some(file) = &options.out {
        let written = File::create(file).and_then(|opened| write(opened, &logits));
        written.with_context(|| file.display().to_string())?;
        if args.json {
            print_json(&json!({ "positions": positions, "vocabulary": vocabulary }))?;
        }
        return Ok(Ended::Normally);
    }
    if args.json {
        print_json(&Found { positions: &positions, logits })?;
        return Ok(Ended::Normally);
    }
    let mut out = std::io::stdout().lock();
    for (position, logits) in positions.iter().zip(logits) {
        let mut ids: Vec<usize> = (0..vocabulary).collect();
        ids.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        let likely: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("{id} {:.6}", logits[*id])).collect();
        writeln!(out, "{position}\t{}", likely.join("\t"))?;
    }
    Ok(Ended::Normally)
}

/// Writes rows of numbers in f32, little-endian, without a header.
fn write(file: File, rows: &[&[f32]]) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    for number in rows.iter().copied().flatten() {
        out.write_all(&number.to_le_bytes())?;
    }
    out.flush()
}
