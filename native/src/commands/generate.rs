//! `fastweight generate`.

use std::fs;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, bail};
use fastweight::generate::{Finish, Piece, Sampling, Session, Usage};
use serde::Serialize;

use crate::Ended;
use crate::args::{Args, Generate};
use crate::commands::{check_writable, print_json, save};
use crate::interrupt::Interrupt;
use crate::open;
use crate::profile::ProfileLine;
use crate::progress;

/// Tokens of the prompt between two steps of the progress bar.
const STRIDE: usize = 512;

pub(crate) async fn run(args: &Args, options: &Generate) -> anyhow::Result<Ended> {
    // A prompt may be left out when a session goes on; stdin is then left alone.
    let prompt = open::text(&options.prompt, options.load_state.is_none())?;
    if prompt.is_none() && options.load_state.is_none() {
        bail!("no prompt: give it as an argument, with --file or on stdin");
    }
    let (device, profiler) = options.profiling.start(open::device(args).await?)?;
    let model = open::model(args, &device).await?;
    let mut session = model.session().await?;
    if let Some(file) = &options.load_state {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        session.restore(&bytes).await.with_context(|| file.display().to_string())?;
    }
    let sampling = options.writing.apply(&mut session, options.load_state.is_some())?;
    if let Some(file) = &options.save_state {
        // A long text must not end at a folder that can't be written.
        check_writable(file)?;
    }
    Interrupt::new()?.watch(&session);
    if !args.quiet {
        eprintln!("model: {}", model.name());
        eprintln!(
            "sampling: temp {} top-k {} top-p {} min-p {} repeat-penalty {} repeat-last-n {} seed {}; learning {}; predict {}",
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            sampling.repeat_penalty,
            sampling.repeat_last_n,
            sampling.seed,
            session.learning(),
            options.writing.predict,
        );
    }

    let ids = model.tokenizer()?.encode(prompt.as_deref().unwrap_or_default())?;
    let before = session.len();
    let start = Instant::now();
    let interrupted = prefill(args, &mut session, &ids).await?;
    let prefill_seconds = start.elapsed().as_secs_f64();
    // The last token is read with the first that is drawn; a session that goes on has one that waited for this.
    let read = (session.len() - before).saturating_sub(usize::from(before == 0));
    let start = Instant::now();
    let (finish, usage) = match interrupted {
        true => (Finish::Cancelled, Usage::default()),
        false => write(args, options, &mut session).await?,
    };
    let decode_seconds = start.elapsed().as_secs_f64();

    if let Some(file) = &options.save_state {
        save(file, &session.snapshot().await?)?;
    }
    let profile = match profiler {
        Some(profiler) => profiler.finish(args.json).await?,
        None => Vec::new(),
    };
    let summary = Summary {
        finish,
        device: device.name(),
        sampling,
        learning: session.learning(),
        prompt_tokens: ids.len(),
        tokens: usage.tokens,
        prefill_seconds,
        decode_seconds,
        prefill_tokens_per_second: (read > 0).then_some(read as f64 / prefill_seconds),
        decode_tokens_per_second: usage.tokens as f64 / decode_seconds,
        profile,
    };
    if args.json {
        print_json(&summary)?;
    }
    if !args.quiet {
        let prefill = summary.prefill_tokens_per_second.map(|rate| format!(", {rate:.1} tokens/s")).unwrap_or_default();
        eprintln!(
            "prefill: {} tokens{prefill}; decode: {} tokens, {:.1} tokens/s",
            summary.prompt_tokens, summary.tokens, summary.decode_tokens_per_second
        );
    }
    Ok(if finish == Finish::Cancelled { Ended::Interrupted } else { Ended::Normally })
}

/// What `--json` ends with.
#[derive(Serialize)]
struct Summary<'a> {
    finish: Finish,
    device: &'a str,
    sampling: Sampling,
    learning: f32,
    prompt_tokens: usize,
    tokens: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
    /// Without the prompt's last token, which is read with the first that is drawn; none if there was no other.
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<ProfileLine>,
}

/// Reads the prompt. Whether the user interrupted it.
async fn prefill(args: &Args, session: &mut Session, ids: &[u32]) -> anyhow::Result<bool> {
    let bar = progress::bar(args, "reading {pos} of {len} tokens {wide_bar} {eta}");
    bar.set_length(ids.len() as u64);
    for chunk in ids.chunks(STRIDE) {
        match session.prefill(chunk).await {
            Err(fastweight::error::Error::Cancelled { .. }) => return Ok(true),
            done => done?,
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(false)
}

/// Writes the text to stdout.
async fn write(args: &Args, options: &Generate, session: &mut Session) -> anyhow::Result<(Finish, Usage)> {
    let mut writing = session.write(options.writing.options(options.logprobs, options.save_state.is_some()));
    let mut out = std::io::stdout().lock();
    let mut show = |piece: &Piece| -> std::io::Result<()> {
        if args.json {
            serde_json::to_writer(&mut out, piece)?;
            out.write_all(b"\n")?;
        } else {
            out.write_all(piece.text.as_bytes())?;
        }
        out.flush()
    };
    while let Some(piece) = writing.next().await? {
        match show(&piece) {
            // Whoever reads has seen enough: the text ends here, and what was asked for is still saved.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok((Finish::Stop, writing.usage())),
            done => done?,
        }
        if !args.json && !piece.top.is_empty() {
            let likely = piece.top.iter().map(|t| format!("{:?} {:.3}", t.text, t.logprob)).collect::<Vec<_>>().join("  ");
            eprintln!("{:>8.3}  {:<16} | {likely}", piece.logprob.unwrap_or_default(), format!("{:?}", piece.text));
        }
    }
    // The next prompt of a shell starts a line of its own; a file or a pipe gets the text as it is.
    if !args.json && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        let newline = out.write_all(b"\n").and_then(|()| out.flush());
        newline?;
    }
    Ok((writing.finish_reason().unwrap_or(Finish::Length), writing.usage()))
}
