//! Progress of long work, on stderr.

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Args;

/// A bar on stderr that appears only on a terminal.
pub(crate) fn bar(args: &Args, template: &str) -> ProgressBar {
    if args.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    bar.with_style(ProgressStyle::with_template(template).expect("the templates are our own"))
}
