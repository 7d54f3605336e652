//! `fastweight tokenize`.

use std::io::Write;

use anyhow::bail;
use fastweight::models;
use fastweight::text::{TextError, Tokenizer};
use serde_json::json;

use crate::Ended;
use crate::args::{Args, Tokenize};
use crate::commands::print_json;
use crate::open;

pub(crate) async fn run(args: &Args, options: &Tokenize) -> anyhow::Result<Ended> {
    let Some(text) = open::text(&options.text, true)? else {
        bail!("no text: give it as an argument, with --file or on stdin");
    };
    let opened = open::files(args).await?;
    let architecture = models::open(&opened.checkpoint, opened.config.as_ref())?;
    let name = opened.checkpoint.name().to_string();
    let bytes = opened.tokenizer.ok_or_else(|| TextError::Missing(name.clone()))?;
    let tokenizer = Tokenizer::parse(&format!("{name}: tokenizer.json"), &bytes, architecture.vocabulary())?;
    let ids = tokenizer.encode(&text)?;
    if args.json {
        let tokens: Vec<_> = ids.iter().map(|id| tokenizer.token(*id)).collect();
        print_json(&json!({ "ids": ids, "tokens": tokens }))?;
        return Ok(Ended::Normally);
    }
    let mut out = std::io::stdout().lock();
    for id in ids {
        writeln!(out, "{id}\t{}", tokenizer.token(id).unwrap_or_default())?;
    }
    Ok(Ended::Normally)
}
