//! `fastweight eval`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fastweight::error::Error;
use fastweight::evaluate::{self, Estimate, EvaluateError, PIECE, Pieces, Ratio, Report, Tally, Tokens, Window, Windows};
use fastweight::generate::{Model, Session};
use serde::Serialize;

use crate::Ended;
use crate::args::{Args, Eval};
use crate::commands::{check_writable, print_json};
use crate::interrupt::Interrupt;
use crate::open;
use crate::profile::ProfileLine;
use crate::progress;

mod figure;
mod memory;

/// Tokens of a window, if nothing else is asked for.
const WINDOW: usize = 2048;

/// One model with one setting on one corpus.
#[derive(Serialize)]
struct Row {
    model: String,
    corpus: String,
    /// Scale of the inner learning rate; none for a model that doesn't learn.
    learning: Option<f32>,
    #[serde(flatten)]
    windows: Windows,
    #[serde(flatten)]
    report: Report,
    /// This setting's loss less that of the model's first one, in nats a token, paired over windows.
    difference: Option<Estimate>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Results<'a> {
    device: &'a str,
    interrupted: bool,
    results: &'a [Row],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    profile: &'a [ProfileLine],
}

pub(crate) async fn run(args: &Args, options: &Eval) -> anyhow::Result<Ended> {
    for file in [&options.csv, &options.svg].into_iter().flatten() {
        check_writable(file)?;
    }
    let (device, profiler) = options.profiling.start(open::device(args).await?)?;
    let interrupt = Interrupt::new()?;
    let corpora: Vec<&[PathBuf]> = if options.each { options.files.chunks(1).collect() } else { vec![&options.files] };
    let (mut rows, mut passages) = (Vec::new(), Vec::new());
    let mut interrupted = false;
    for name in std::iter::once(args.model.as_deref()).chain(options.against.iter().map(|name| Some(name.as_str()))) {
        if interrupted {
            break;
        }
        let model = open::model_of(args, name, &device).await?;
        let label = label(Path::new(model.name()));
        if options.memory {
            interrupted |= memory::measure(args, options, &model, &label, &interrupt, &mut passages).await?;
            continue;
        }
        for corpus in &corpora {
            interrupted |= measure(args, options, &model, &label, corpus, &interrupt, &mut rows).await?;
        }
    }
    let profile = match profiler {
        Some(profiler) => profiler.finish(args.json).await?,
        None => Vec::new(),
    };
    if options.memory {
        memory::show(args, options, device.name(), interrupted, &passages, &profile)?;
    } else {
        show(args, options, device.name(), interrupted, &rows, &profile)?;
    }
    Ok(if interrupted { Ended::Interrupted } else { Ended::Normally })
}

/// Evaluates a model on a corpus, each setting on the same windows. Whether the user interrupted it.
async fn measure(
    args: &Args,
    options: &Eval,
    model: &Model,
    label: &str,
    corpus: &[PathBuf],
    interrupt: &Interrupt,
    rows: &mut Vec<Row>,
) -> anyhow::Result<bool> {
    let tokenizer = model.tokenizer()?;
    let windows = Windows::new(args.ctx_size.unwrap_or(WINDOW), options.stride, options.scored, &tokenizer.opening()?)?;
    let mut session = model.session().await?;
    interrupt.watch(&session);
    let settings = settings(options, model);
    let mut tallies = vec![(Tally::default(), Ratio::default()); settings.len()];
    let bytes: u64 = corpus.iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
    let bar = progress::bar(args, "{msg} {wide_bar} {percent} % {eta}");
    bar.set_length(options.chunks.map_or(bytes, |n| n as u64));
    let texts = corpus.iter().map(|file| pieces(file));
    let mut tokens = 0;
    let mut stream = Tokens::new(tokenizer, texts).inspect(|token| tokens += u64::from(token.is_ok()));
    let mut interrupted = false;
    for (i, window) in windows.cut(&mut stream).take(options.chunks.unwrap_or(usize::MAX)).enumerate() {
        let window = window?;
        let Some(losses) = losses(&mut session, &settings, &window).await? else {
            interrupted = true;
            break;
        };
        let sums: Vec<f64> =
            losses.iter().map(|l| l[window.first_scored..].iter().flatten().map(|x| f64::from(*x)).sum()).collect();
        let scored = losses[0][window.first_scored..].iter().flatten().count() as f64;
        for (((tally, difference), losses), sum) in tallies.iter_mut().zip(&losses).zip(&sums) {
            tally.add(&window, losses);
            difference.add(sum - sums[0], scored);
        }
        bar.inc(if options.chunks.is_some() { 1 } else { window.fresh_bytes() });
        let mean = tallies[0].0.report().map_or(0.0, |report| report.loss.mean);
        bar.set_message(format!("{} windows, {mean:.3} nats/token", i + 1));
    }
    bar.finish_and_clear();
    let files = name(corpus);
    if !interrupted && tallies[0].0.report().is_none() {
        let wanted = windows.window - windows.scored + 1 - windows.opening.len();
        return Err(
            EvaluateError::TooShort { file: files, found: tokens, wanted: wanted.max(2 - windows.opening.len().min(1)) }.into()
        );
    }
    for (i, ((tally, difference), learning)) in tallies.iter().zip(settings).enumerate() {
        let Some(report) = tally.report() else { continue };
        let difference = difference.estimate().filter(|_| i > 0);
        rows.push(Row { model: label.into(), corpus: files.clone(), learning, windows: windows.clone(), report, difference });
    }
    Ok(interrupted)
}

/// The losses of a window, setting by setting; none if the user interrupted.
async fn losses(
    session: &mut Session,
    settings: &[Option<f32>],
    window: &Window,
) -> anyhow::Result<Option<Vec<Vec<Option<f32>>>>> {
    let ids: Vec<u32> = window.tokens.iter().map(|token| token.id).collect();
    let mut losses = Vec::new();
    for learning in settings {
        session.set_learning(learning.unwrap_or(1.0))?;
        match evaluate::losses(session, &ids).await {
            Err(Error::Cancelled { .. }) => return Ok(None),
            read => losses.push(read?),
        }
    }
    Ok(Some(losses))
}

/// The scales of the inner learning rate to compare; one setting without any for a model that doesn't learn.
fn settings(options: &Eval, model: &Model) -> Vec<Option<f32>> {
    match model.architecture().learns() {
        false => vec![None],
        true if options.learning.is_empty() => vec![Some(1.0)],
        true => options.learning.iter().copied().map(Some).collect(),
    }
}

fn pieces(file: &Path) -> Result<Pieces<File>, EvaluateError> {
    let name = file.display().to_string();
    match File::open(file) {
        Ok(opened) => Ok(Pieces::new(name, opened, PIECE)),
        Err(source) => Err(EvaluateError::Io { file: name, source }),
    }
}

/// A model's name for people: its folder's where the file is named as all are.
fn label(file: &Path) -> String {
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    match file.parent().and_then(Path::file_name) {
        Some(folder) if stem.starts_with("model") || stem.starts_with("streaming_") => folder.to_string_lossy().into_owned(),
        _ => stem,
    }
}

/// A model with its setting.
fn with_learning(model: &str, learning: Option<f32>) -> String {
    learning.map_or(model.to_string(), |scale| format!("{model}, learning {scale}"))
}

/// A corpus's name.
fn name(files: &[PathBuf]) -> String {
    match files {
        [file] => file.display().to_string(),
        files => format!("{} texts", files.len()),
    }
}

fn show(
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
        write_csv(file, rows).with_context(|| file.display().to_string())?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, figure::draw(rows)?).with_context(|| file.display().to_string())?;
    }
    if args.json {
        return print_json(&Results { device, interrupted, results: rows, profile });
    }
    let mut out = std::io::stdout().lock();
    for row in rows {
        let Row { windows, report, .. } = row;
        writeln!(out, "{}: {}", row.corpus, with_learning(&row.model, row.learning))?;
        let opening = match windows.opening.len() {
            0 => "no opening token (the tokenizer adds none)".to_string(),
            _ => format!("opening token {:?} as the tokenizer adds it", windows.opening),
        };
        let Windows { window, stride, scored, .. } = windows;
        writeln!(out, "  windows         {} of {window}, stride {stride}, last {scored} scored, {opening}", report.loss.units)?;
        writeln!(out, "  scored          {} tokens, {} bytes", report.tokens, report.bytes)?;
        writeln!(out, "  loss            {} nats/token", with_error(&report.loss))?;
        writeln!(out, "  perplexity      {}", with_error(&report.perplexity))?;
        if let Some(bits) = &report.bits_per_byte {
            writeln!(out, "  bits per byte   {}", with_error(bits))?;
        }
        if let Some(difference) = &row.difference {
            writeln!(out, "  against first   {} nats/token, paired", with_error(difference))?;
        }
        writeln!(out, "  tokens before   loss ± standard error over windows")?;
        for bucket in &report.positions {
            let error = bucket.loss.standard_error.map_or(String::new(), |e| format!(" ± {e:.4}"));
            writeln!(out, "  {:>6}-{:<8} {:.4}{error} ({} tokens)", bucket.from, bucket.to, bucket.loss.mean, bucket.tokens)?;
        }
    }
    Ok(())
}

/// An estimate for people.
fn with_error(estimate: &Estimate) -> String {
    match (estimate.standard_error, estimate.interval) {
        (Some(e), Some([low, high])) => format!("{:.4} ± {e:.4} (95 %: {low:.4} to {high:.4})", estimate.mean),
        _ => format!("{:.4} (a single unit: no uncertainty)", estimate.mean),
    }
}

/// One line a bucket of positions.
fn write_csv(file: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_path(file)?;
    out.write_record(["corpus", "model", "learning", "from", "to", "tokens", "loss", "standard_error", "windows"])?;
    for row in rows {
        for bucket in &row.report.positions {
            let loss = bucket.loss;
            out.serialize((
                (&row.corpus, &row.model, row.learning),
                (bucket.from, bucket.to, bucket.tokens, loss.mean, loss.standard_error, loss.units),
            ))?;
        }
    }
    Ok(out.flush()?)
}
