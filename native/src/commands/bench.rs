//! `fastweight bench`.

use crate::Ended;
use crate::args::{Args, Bench, BenchWhat};

mod models;
mod watch;

pub(crate) async fn run(args: &Args, options: &Bench) -> anyhow::Result<Ended> {
    match &options.what {
        BenchWhat::Models(options) => models::run(args, options).await,
    }
}
