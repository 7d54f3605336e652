//! The command line of Fastweight: text, state and measurements on stdout, everything else on stderr.

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

mod args;
mod commands;
mod compiled;
mod device_cache;
mod hub;
mod interrupt;
mod open;
mod profile;
mod progress;
mod tuning;

/// A run that the user interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    let level = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = format!("{level},wgpu_core=error,wgpu_hal=error,naga=error");
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(filter)).init();
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().expect("the pool is built once, before its first use");
    }
    let done = pollster::block_on(async {
        match &args.command {
            Command::Generate(options) => commands::generate::run(&args, options).await,
            Command::Chat(options) => commands::chat::run(&args, options).await,
            Command::Eval(options) => commands::eval::run(&args, options).await,
            Command::Bench(options) => commands::bench::run(&args, options).await,
            Command::Devices => commands::devices::run(&args).await,
            Command::Verify(options) => commands::verify::run(&args, options).await,
            Command::Inspect(options) => commands::inspect::run(&args, options).await,
            Command::Tokenize(options) => commands::tokenize::run(&args, options).await,
            Command::Logits(options) => commands::logits::run(&args, options).await,
            Command::Convert(options) => commands::convert::run(&args, options).await,
            Command::Pull(options) => commands::models::pull(&args, options),
            Command::List => commands::models::list(&args),
            Command::Rm(options) => commands::models::remove(&args, options),
            Command::Completions { shell } => commands::completions(*shell),
        }
    });
    compiled::remember();
    match done {
        Ok(Ended::Normally) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) if commands::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How a command ended.
enum Ended {
    Normally,
    Interrupted,
}
