//! `fastweight verify`.

use std::io::Write;

use anyhow::bail;
use fastweight::caps::Caps;
use fastweight::device::{Device, Identity};
use fastweight::kernels::{Case, KERNELS};
use fastweight::verify::{self, Line};
use serde::Serialize;

use crate::Ended;
use crate::args::{Args, Verify};
use crate::commands::print_json;
use crate::interrupt::Interrupt;
use crate::{open, progress};

/// The report as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// Who the device is.
    device: Identity,
    /// What it allows, or was left of that.
    caps: &'a Caps,
    /// The engine's version.
    engine: &'static str,
    /// Whether only the start-up cases were run.
    quick: bool,
    /// Whether the user interrupted it; what follows is then of a part only.
    interrupted: bool,
    /// Whether nothing failed.
    passed: bool,
    /// Each kernel.
    kernels: &'a [Line],
}

pub(crate) async fn run(args: &Args, options: &Verify) -> anyhow::Result<Ended> {
    let device = open::device(args).await?;
    if device.is_cpu() {
        bail!(
            "there is nothing to verify: the device is the CPU ({}), and its results are those that GPUs are compared with; name a GPU with --device, \
             as `fastweight devices` lists them",
            device.why()
        );
    }
    let device = if options.without_features { device.with_caps(|caps| *caps = caps.without_features()) } else { device };
    let interrupt = Interrupt::new()?;
    let kernels = kernels(options);
    let bar = progress::bar(args, "{msg:16} {pos} of {len} cases {wide_bar} {eta}");
    bar.set_length(kernels.iter().map(|(_, cases)| cases.len() as u64).sum());
    let mut lines: Vec<Line> = Vec::new();
    for (name, cases) in &kernels {
        bar.set_message(*name);
        let go_on = || {
            bar.inc(1);
            !interrupt.heard()
        };
        lines.push(verify::kernel(&device, name, cases, go_on).await?);
        if interrupt.heard() {
            break;
        }
    }
    bar.finish_and_clear();
    report(args, options, &device, &lines, interrupt.heard())?;
    judge(&lines, device.name())?;
    Ok(if interrupt.heard() { Ended::Interrupted } else { Ended::Normally })
}

/// Fails, and the program with it, if a kernel did.
fn judge(lines: &[Line], device: &str) -> anyhow::Result<()> {
    let failed: Vec<&str> = lines.iter().filter(|line| !line.passed).map(|line| line.kernel.as_str()).collect();
    match &failed[..] {
        [] => Ok(()),
        [one] => bail!("{one} gives wrong results on {device}"),
        several => bail!("{} give wrong results on {device}", several.join(", ")),
    }
}

/// The kernels and cases that were asked for.
fn kernels(options: &Verify) -> Vec<(&'static str, Vec<Case>)> {
    let wanted = |name: &str| options.kernel.is_empty() || options.kernel.iter().any(|kernel| kernel == name);
    let cases = |cases: fn() -> Vec<Case>| cases().into_iter().filter(|case| case.startup || !options.quick).collect();
    KERNELS.iter().filter(|(name, _)| wanted(name)).map(|(name, of)| (*name, cases(*of))).collect()
}

fn report(args: &Args, options: &Verify, device: &Device, lines: &[Line], interrupted: bool) -> anyhow::Result<()> {
    let passed = lines.iter().all(|line| line.passed);
    if args.json {
        let (identity, engine) = (device.identity(), env!("CARGO_PKG_VERSION"));
        let (caps, quick) = (device.caps(), options.quick);
        return print_json(&Report { device: identity, caps, engine, quick, interrupted, passed, kernels: lines });
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<18} {:>5} {:>9} {:>14}", "kernel", "cases", "variants", "error / bound")?;
    for line in lines {
        let worst = match line.worst {
            0.0 => "none".to_string(),
            worst if worst < 1e4 => format!("{worst:.4}"),
            _ => "> 10000".to_string(),
        };
        let verdict = if line.passed { "" } else { "  FAILED" };
        writeln!(out, "{:<18} {:>5} {:>9} {worst:>14}{verdict}", line.kernel, line.cases, line.variants.len())?;
        for failure in &line.failures {
            writeln!(out, "    {failure}")?;
        }
        if !line.skipped.is_empty() {
            let names: Vec<&str> = line.skipped.iter().map(String::as_str).collect();
            writeln!(out, "    not in every case, since the driver ends long loops: {}", names.join(", "))?;
        }
    }
    let cases: usize = lines.iter().map(|line| line.cases).sum();
    let failed = lines.iter().filter(|line| !line.passed).count();
    let (all, end) = (lines.len(), if interrupted { ", then interrupted" } else { "" });
    writeln!(out, "{} of {all} kernels passed, {cases} cases{end}", all - failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_failed_is_an_error_that_names_the_kernel() {
        let (right, mut wrong) = (Line::new("add"), Line::new("rope"));
        wrong.passed = false;
        assert!(judge(std::slice::from_ref(&right), "gpu").is_ok());
        let error = judge(&[right, wrong], "gpu").expect_err("rope failed");
        assert_eq!(error.to_string(), "rope gives wrong results on gpu");
    }
}
