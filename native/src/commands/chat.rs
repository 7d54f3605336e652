//! `fastweight chat`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fastweight::error::Error;
use fastweight::generate::{Cancel, Chat, Finish, Turn, WentOn};
use fastweight::text::TextError;
use rustyline::error::ReadlineError;
use serde::Serialize;

use crate::Ended;
use crate::args::{self, Args};
use crate::commands::{check_writable, print_json, save};
use crate::interrupt::Interrupt;
use crate::open;

const HELP: &str = "\
/save FILE        save the conversation and what the model has learned
/load FILE        go on from a saved conversation
/reset            forget the conversation; the model is as new
/learning SCALE   scale the inner learning rate: 1 learns as trained, 0 not at all
/help             this
/bye              end; so does Ctrl-D. Ctrl-C stops an answer";

/// What `--json` prints a turn.
#[derive(Serialize)]
struct Answer<'a> {
    answer: &'a str,
    finish: Finish,
    tokens: usize,
    turn: Turn,
}

pub(crate) async fn run(args: &Args, options: &args::Chat) -> anyhow::Result<Ended> {
    let device = open::device(args).await?;
    let model = open::model(args, &device).await?;
    let template = match model.template() {
        Err(TextError::NoTemplate(_)) => {
            log::warn!("{} has no chat template: it goes on with the text, turn by turn", model.name());
            None
        }
        template => Some(template?),
    };
    let mut session = model.session().await?;
    let sampling = options.writing.apply(&mut session, false)?;
    let interrupt = Interrupt::new()?;
    interrupt.watch(&session);
    let cancel = session.cancel_handle();
    let mut chat = Chat::new(session, template, options.system.as_deref());
    let mut input = Input::open()?;
    if !args.quiet {
        eprintln!("model: {}; seed {}; /help lists the commands", model.name(), sampling.seed);
    }
    while let Some(line) = input.read()? {
        cancel.clear();
        match line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), "")) {
            ("", _) => {}
            ("/bye", _) => break,
            (command, rest) if command.starts_with('/') => match obey(args, &mut chat, command, rest.trim()).await {
                // A mistyped command must not end a conversation; where nobody can mend it, it must not pass unseen.
                Err(error) if input.is_terminal() => eprintln!("error: {error:#}"),
                done => done?,
            },
            _ => match turn(args, options, &mut chat, &cancel, &line).await {
                Err(error) if input.is_terminal() && !super::is_broken_pipe(&error) => eprintln!("error: {error:#}"),
                done => done?,
            },
        }
    }
    Ok(Ended::Normally)
}

/// One turn: the user's words, then the model's.
async fn turn(args: &Args, options: &args::Chat, chat: &mut Chat, cancel: &Cancel, line: &str) -> anyhow::Result<()> {
    let turn = match chat.say(line).await {
        Err(Error::Cancelled { .. }) => {
            eprintln!("(not said: interrupted while the model read it)");
            return Ok(());
        }
        turn => turn?,
    };
    match turn.went_on {
        WentOn::FromHere => {}
        WentOn::FromBeforeAnswer => log::info!("the last answer was read again, as the template writes it down"),
        WentOn::FromStart => {
            log::warn!("the template changed what was said before: all {} tokens were read again", turn.read);
        }
    }
    let mut out = std::io::stdout().lock();
    let mut shown = Ok(());
    let mut answer = String::new();
    let show = |piece: &fastweight::generate::Piece| {
        answer.push_str(&piece.text);
        if !args.json && shown.is_ok() {
            shown = out.write_all(piece.text.as_bytes()).and_then(|()| out.flush());
            if shown.is_err() {
                cancel.cancel();
            }
        }
    };
    let (finish, usage) = chat.answer(options.writing.options(0, false), show).await?;
    shown?;
    if args.json {
        drop(out);
        return print_json(&Answer { answer: &answer, finish, tokens: usage.tokens, turn });
    }
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Does what a line that begins with a slash says.
async fn obey(args: &Args, chat: &mut Chat, command: &str, rest: &str) -> anyhow::Result<()> {
    let file = || match rest {
        "" => bail!("{command} wants a file"),
        file => Ok(Path::new(file)),
    };
    let done = match command {
        "/help" => HELP.to_string(),
        "/reset" => {
            chat.reset().await?;
            "the conversation is forgotten".into()
        }
        "/learning" => {
            let scale: f32 = rest.parse().ok().with_context(|| format!("/learning wants a number, found {rest:?}"))?;
            chat.session_mut().set_learning(scale)?;
            format!("learning {scale}")
        }
        "/save" => {
            let file = file()?;
            check_writable(file)?;
            save(file, &chat.save().await?)?;
            format!("saved to {}", file.display())
        }
        "/load" => {
            let file = file()?;
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            chat.load(&bytes).await.with_context(|| file.display().to_string())?;
            format!("{} messages, {} tokens", chat.messages().len(), chat.session().len())
        }
        _ => bail!("{command} is no command; /help lists them"),
    };
    if !args.quiet {
        eprintln!("{done}");
    }
    Ok(())
}

/// Where the user's lines come from.
enum Input {
    /// A terminal, with line editing; and where its history is kept.
    Terminal(Box<rustyline::DefaultEditor>, Option<PathBuf>),
    /// A file or a pipe: one message a line.
    Lines(std::io::StdinLock<'static>),
}

impl Input {
    fn open() -> anyhow::Result<Input> {
        if !std::io::stdin().is_terminal() {
            return Ok(Input::Lines(std::io::stdin().lock()));
        }
        let mut editor = Box::new(rustyline::DefaultEditor::new()?);
        let history = open::data_folders().next().map(|folder| folder.join("chat_history"));
        if let Some(file) = &history {
            // The first conversation has none.
            let _ = editor.load_history(file);
        }
        Ok(Input::Terminal(editor, history))
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Input::Terminal(..))
    }

    /// The next line; none at the end.
    fn read(&mut self) -> anyhow::Result<Option<String>> {
        match self {
            Input::Lines(lines) => {
                let mut line = String::new();
                let read = lines.read_line(&mut line).context("stdin")?;
                let line = line.trim_end_matches(['\n', '\r']).to_string();
                Ok((read > 0).then_some(line))
            }
            Input::Terminal(editor, _) => loop {
                match editor.readline("> ") {
                    Ok(line) => {
                        let _ = editor.add_history_entry(&line);
                        return Ok(Some(line));
                    }
                    Err(ReadlineError::Interrupted) => eprintln!("(/bye or Ctrl-D ends)"),
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            },
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Input::Terminal(editor, Some(file)) = self {
            let folder = file.parent().map(std::fs::create_dir_all);
            let saved = folder.map(|made| made.map_err(ReadlineError::from).and_then(|()| editor.save_history(file)));
            if let Some(Err(error)) = saved {
                log::warn!("{}: the history is not kept: {error}", file.display());
            }
        }
    }
}
