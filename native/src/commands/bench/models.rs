//! `fastweight bench models`.

use fastweight::bench::ModelOptions;
use fastweight::bench::results::Section;

use super::measure;
use crate::Ended;
use crate::args::Args;
use crate::args::bench::Models;

pub(crate) async fn run(args: &Args, options: &Models) -> anyhow::Result<Ended> {
    let sections: &[Section] = match options.long {
        Some(_) => &[Section::Long],
        None => &[Section::Models, Section::Forms],
    };
    measure::run(args, &options.measure, sections, |usual| choose(options, usual)).await
}

/// Puts what was asked for in the place of what is usual.
fn choose(options: &Models, usual: &mut ModelOptions) {
    // Each once, whatever is typed.
    fn given<T: Copy + PartialEq>(given: &[T], usual: &mut Vec<T>) {
        if !given.is_empty() {
            usual.clear();
        }
        for one in given {
            if !usual.contains(one) {
                usual.push(*one);
            }
        }
    }
    given(&options.families, &mut usual.families);
    given(&options.sizes, &mut usual.sizes);
    given(&options.contexts, &mut usual.contexts);
    given(&options.batch, &mut usual.batches);
    for (given, usual) in
        [(options.prompt, &mut usual.prompt), (options.predict, &mut usual.predict), (options.long, &mut usual.long)]
    {
        *usual = given.map_or(*usual, |n| n as usize);
    }
}
