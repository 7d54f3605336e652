//! What the conformance check tells of a kernel.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::{Outcome, VerifyError, check_launches, variants};
use crate::device::{Device, DeviceError, yield_now};
use crate::kernels::Case;

/// How a kernel did in its cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The kernel.
    pub kernel: String,
    /// Cases that were run.
    pub cases: usize,
    /// The variants that were tried, by [`crate::kernels::Launch::name`].
    pub variants: BTreeSet<String>,
    /// Variants of some case that were not run there, because the driver would cut off their loops.
    pub skipped: BTreeSet<String>,
    /// The largest error as a share of its bound; over 1 is a failure.
    pub worst: f32,
    /// Whether nothing failed.
    pub passed: bool,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// One variant that failed one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The variant; none if the case could not be run at all.
    pub variant: Option<String>,
    /// The largest error, `f32::MAX` for what is no number or did not run.
    pub error: f32,
    /// The error allowed.
    pub bound: f32,
    /// Where the error is: output, element, found and wanted. Or why it did not run.
    pub at: String,
}

impl Outcome {
    /// How it failed the case, if it did.
    pub fn failure(&self, case: &Case) -> Option<Failure> {
        let (variant, at) = (Some(self.variant.clone()), self.at.clone());
        let failure = Failure { case: case.name.clone(), variant, error: self.worst, bound: self.bound, at };
        (!self.passed()).then_some(failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variant) = &self.variant {
            write!(f, "{variant}, ")?;
        }
        write!(f, "case {}: ", self.case)?;
        if self.error < f32::MAX {
            write!(f, "error {:.2e} over {:.2e} at ", self.error, self.bound)?;
        }
        f.write_str(&self.at)
    }
}

impl Line {
    /// A kernel of which nothing was run yet.
    pub fn new(kernel: impl Into<String>) -> Line {
        let (variants, skipped) = (BTreeSet::new(), BTreeSet::new());
        Line { kernel: kernel.into(), cases: 0, variants, skipped, worst: 0.0, passed: true, failures: Vec::new() }
    }

    /// Adds how the variants did on a case.
    pub fn add(&mut self, case: &Case, outcomes: Vec<Outcome>) {
        self.cases += 1;
        for outcome in outcomes {
            let share = outcome.worst / outcome.bound.max(f32::MIN_POSITIVE);
            self.worst = self.worst.max(share.min(f32::MAX));
            self.failures.extend(outcome.failure(case));
            self.variants.insert(outcome.variant);
        }
        self.passed = self.failures.is_empty();
    }
}

/// Checks a kernel by these cases, in every variant that the device can run. `go_on` is asked after each case; on its no, the line is of the cases
/// so far. What a case fails with is told in the line, but for a lost device.
pub async fn kernel(device: &Device, name: &str, cases: &[Case], mut go_on: impl FnMut() -> bool) -> Result<Line, VerifyError> {
    let mut line = Line::new(name);
    for case in cases {
        let checked = match variants(case, device.caps()) {
            Ok((run, cut_off)) => {
                line.skipped.extend(cut_off.iter().map(|v| v.name()));
                check_launches(device, case, run).await
            }
            Err(error) => Err(error),
        };
        match checked {
            Ok(outcomes) => line.add(case, outcomes),
            Err(error @ VerifyError::Device(DeviceError::Lost(_))) => return Err(error),
            Err(error) => {
                let (name, at) = (case.name.clone(), error.to_string());
                line.failures.push(Failure { case: name, variant: None, error: f32::MAX, bound: case.bound, at });
                line.add(case, Vec::new());
            }
        }
        yield_now().await;
        if !go_on() {
            break;
        }
    }
    Ok(line)
}
