//! `fastweight eval --memory`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use fastweight::error::Error;
use fastweight::evaluate::memory::{Losses, Memory, MemoryReport, MemoryTally, Passage, Passages};
use fastweight::evaluate::{Estimate, Tokens};
use fastweight::generate::Model;
use serde::Serialize;

use super::{pieces, settings, with_error, with_learning};
use crate::args::{Args, Eval};
use crate::commands::print_json;
use crate::interrupt::Interrupt;
use crate::profile::ProfileLine;
use crate::progress;

/// One model with one setting.
#[derive(Serialize)]
pub(super) struct Row {
    model: String,
    learning: Option<f32>,
    /// Tokens of a passage that are scored.
    scored: usize,
    opening: Vec<u32>,
    #[serde(flatten)]
    report: MemoryReport,
    #[serde(skip)]
    passages: Vec<(Passage, Losses)>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Results<'a> {
    device: &'a str,
    interrupted: bool,
    texts: Vec<String>,
    #[serde(flatten)]
    passages: Passages,
    results: &'a [Row],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    profile: &'a [ProfileLine],
}

/// Measures a model, each setting on the same passages. Whether the user interrupted it.
pub(super) async fn measure(
    args: &Args,
    options: &Eval,
    model: &Model,
    label: &str,
    interrupt: &Interrupt,
    rows: &mut Vec<Row>,
) -> anyhow::Result<bool> {
    let tokenizer = model.tokenizer()?;
    let opening = tokenizer.opening()?;
    let mut texts = Vec::new();
    for file in &options.files {
        let tokens = Tokens::new(tokenizer, std::iter::once(pieces(file)));
        texts.push(tokens.map(|token| token.map(|t| t.id)).collect::<Result<Vec<u32>, _>>()?);
    }
    let passages = Passages { context: options.context, passage: options.passage };
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let chosen = passages.choose(&lengths, options.chunks)?;
    let mut session = model.session().await?;
    interrupt.watch(&session);
    let settings = settings(options, model);
    let bar = progress::bar(args, "passage {pos} of {len} {wide_bar} {eta}");
    bar.set_length((chosen.len() * settings.len()) as u64);
    for learning in settings {
        session.set_learning(learning.unwrap_or(1.0))?;
        let mut tally = MemoryTally::new(texts.len());
        let mut measured = Vec::new();
        let mut interrupted = false;
        for passage in &chosen {
            let losses = match passages.measure(&mut session, &opening, &texts, passage).await {
                Err(Error::Cancelled { .. }) => {
                    interrupted = true;
                    break;
                }
                losses => losses?,
            };
            tally.add(passage.text, &losses);
            measured.push((*passage, losses));
            bar.inc(1);
        }
        if let Some(report) = tally.report() {
            let (model, opening, scored) = (label.to_string(), opening.clone(), passages.scored(&opening));
            rows.push(Row { model, learning, scored, opening, report, passages: measured });
        }
        if interrupted {
            return Ok(true);
        }
    }
    bar.finish_and_clear();
    Ok(false)
}

pub(super) fn show(
    args: &Args,
    options: &Eval,
    device: &str,
    interrupted: bool,
    rows: &[Row],
    profile: &[ProfileLine],
) -> anyhow::Result<()> {
    if rows.is_empty() {
        bail!("interrupted before anything was measured");
    }
    if let Some(file) = &options.csv {
        write_csv(options, file, rows).with_context(|| file.display().to_string())?;
    }
    let passages = Passages { context: options.context, passage: options.passage };
    if args.json {
        let texts = options.files.iter().map(|f| f.display().to_string()).collect();
        return print_json(&Results { device, interrupted, texts, passages, results: rows, profile });
    }
    let mut out = std::io::stdout().lock();
    for row in rows {
        writeln!(out, "{}", with_learning(&row.model, row.learning))?;
        let Memory { own, other, cold, .. } = &row.report.passages;
        let Passages { context, passage } = passages;
        writeln!(
            out,
            "  {} passages of {passage} tokens ({} scored), {context} read before them, {} apart in their text; opening {:?}",
            own.units,
            row.scored,
            context + passage,
            row.opening
        )?;
        writeln!(out, "  loss in nats a token, ± standard error over passages, 95 % by Student's t:")?;
        for (what, loss) in [("its own text", own), ("another text", other), ("nothing", cold)] {
            writeln!(out, "    after {what:<14} {}", with_error(loss))?;
        }
        let units = [("passages", Some(&row.report.passages)), ("texts", row.report.texts.as_ref())];
        for (unit, memory) in units {
            let Some(memory) = memory else { continue };
            writeln!(out, "  gain, paired, over {} {unit}:", memory.own.units)?;
            writeln!(out, "    over another text    {}", with_error(&memory.effect))?;
            writeln!(out, "    over nothing         {}", with_error(&memory.over_cold))?;
        }
        writeln!(out, "  memory effect by text (gain over another text):")?;
        for (file, memory) in options.files.iter().zip(&row.report.each) {
            let effect: Option<&Estimate> = memory.as_ref().map(|m| &m.effect);
            writeln!(out, "    {}: {}", file.display(), effect.map_or("too short".into(), with_error))?;
        }
    }
    Ok(())
}

/// One line a passage.
fn write_csv(options: &Eval, file: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_path(file)?;
    out.write_record(["model", "learning", "text", "start", "other_text", "other_start", "own", "other", "cold"])?;
    let name = |text: usize| options.files[text].display().to_string();
    for row in rows {
        for (at, losses) in &row.passages {
            out.serialize((
                (&row.model, row.learning),
                (name(at.text), at.start, name(at.other), at.other_start),
                (losses.own, losses.other, losses.cold),
            ))?;
        }
    }
    Ok(out.flush()?)
}
