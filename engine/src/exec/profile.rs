//! Where the time of runs goes, step by step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::json;
use web_time::Instant;

use crate::device::{DeviceError, Gpu, Stamps};
use crate::kernels::{Cost, Io};
use crate::plan::Plan;
use crate::step::{Step, StepHead};

/// Collects the times of the steps of all programs on a device ([`crate::device::Device::with_profile`]). Cheap to clone. A GPU stamps
/// each step in a pass of its own, which takes longer than a run without.
#[derive(Clone)]
pub struct Profile(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    /// The first stamp of the device's clock, from which its others are counted.
    first: Option<f64>,
    pending: Vec<Pending>,
    records: Vec<Record>,
}

/// A run whose stamps are not read yet.
struct Pending {
    gpu: Arc<Gpu>,
    stamps: Stamps,
    plan: Arc<Plan>,
    head: StepHead,
    /// The steps that were encoded.
    steps: Vec<usize>,
}

/// One step of one run.
struct Record {
    plan: Arc<Plan>,
    step: usize,
    head: StepHead,
    start: f64,
    seconds: f64,
}

/// What the steps of one kind took: one launch of one kernel at one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The kernel.
    pub kernel: &'static str,
    /// File and choices.
    pub variant: String,
    /// Live rows, and the operands.
    pub shape: String,
    /// Steps.
    pub count: usize,
    /// Seconds of all of them.
    pub seconds: f64,
    /// Their share of all steps' seconds.
    pub share: f64,
    /// Bytes that all of them need at least.
    pub least: f64,
    /// Their floating-point operations.
    pub operations: f64,
    /// Bytes of the operands of one step.
    pub working_set: f64,
}

/// Runs whose stamps wait to be read; more would hold too many buffers.
pub(super) const MOST_PENDING: usize = 64;

impl Default for Profile {
    fn default() -> Profile {
        let inner = Inner { began: Instant::now(), first: None, pending: Vec::new(), records: Vec::new() };
        Profile(Arc::new(Mutex::new(inner)))
    }
}

impl Profile {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a step that ran on the host.
    pub(super) fn note(&self, plan: &Arc<Plan>, step: usize, values: &Step, start: Instant) {
        let mut inner = self.lock();
        let seconds = start.elapsed().as_secs_f64();
        let start = (start - inner.began).as_secs_f64();
        inner.records.push(Record { plan: plan.clone(), step, head: values.head, start, seconds });
    }

    /// Notes a run whose stamps will be there once it is done.
    pub(super) fn wait_for(&self, gpu: &Arc<Gpu>, stamps: Stamps, plan: &Arc<Plan>, values: &Step, steps: Vec<usize>) {
        let pending = Pending { gpu: gpu.clone(), stamps, plan: plan.clone(), head: values.head, steps };
        self.lock().pending.push(pending);
    }

    /// Whether stamps should be read now.
    pub(super) fn is_full(&self) -> bool {
        self.lock().pending.len() >= MOST_PENDING
    }

    /// Reads the stamps of all runs so far.
    pub(super) async fn collect(&self) -> Result<(), DeviceError> {
        let pending = std::mem::take(&mut self.lock().pending);
        for Pending { gpu, stamps, plan, head, steps } in pending {
            let times = stamps.read(&gpu).await?;
            let mut inner = self.lock();
            for (step, pair) in steps.into_iter().zip(times.chunks(2)) {
                let first = *inner.first.get_or_insert(pair[0]);
                let (start, seconds) = (pair[0] - first, (pair[1] - pair[0]).max(0.0));
                inner.records.push(Record { plan: plan.clone(), step, head, start, seconds });
            }
        }
        Ok(())
    }

    /// One line a kind of step, those that took longest first.
    pub async fn lines(&self) -> Result<Vec<Line>, DeviceError> {
        self.collect().await?;
        let inner = self.lock();
        let total: f64 = inner.records.iter().map(|r| r.seconds).sum();
        let mut lines: Vec<Line> = Vec::new();
        let mut places: HashMap<(&'static str, String, String), usize> = HashMap::new();
        for record in &inner.records {
            let step = &record.plan.steps[record.step];
            let io = step.io.live(record.head);
            let (kernel, variant, shape) = (step.op.name(), step.launch.name(), shape(&io));
            let place = *places.entry((kernel, variant.clone(), shape.clone())).or_insert_with(|| {
                let (working_set, nothing) = (io.least_bytes(), 0.0);
                lines.push(Line {
                    kernel,
                    variant,
                    shape,
                    count: 0,
                    seconds: 0.0,
                    share: 0.0,
                    least: nothing,
                    operations: nothing,
                    working_set,
                });
                lines.len() - 1
            });
            let Cost { operations, least, .. } = step.op.kernel().cost(&io);
            let line = &mut lines[place];
            line.count += 1;
            line.seconds += record.seconds;
            line.least += least;
            line.operations += operations;
        }
        lines.iter_mut().for_each(|line| line.share = line.seconds / total.max(f64::MIN_POSITIVE));
        lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(lines)
    }

    /// Every step as a slice of time, in the JSON format of Chrome's traces, which <https://ui.perfetto.dev> opens.
    pub async fn trace(&self) -> Result<String, DeviceError> {
        self.collect().await?;
        let inner = self.lock();
        let events = inner.records.iter().map(|record| {
            let step = &record.plan.steps[record.step];
            let args = json!({ "node": step.label, "variant": step.launch.name(), "shape": shape(&step.io.live(record.head)) });
            let (start, length) = (record.start * 1e6, record.seconds * 1e6);
            json!({ "name": step.op.name(), "cat": "step", "ph": "X", "ts": start, "dur": length, "pid": 1, "tid": 1, "args": args })
        });
        Ok(json!({ "traceEvents": events.collect::<Vec<_>>(), "displayTimeUnit": "ms" }).to_string())
    }
}

/// The operands of a step in words.
fn shape(io: &Io) -> String {
    let mut words: Vec<String> = io.inputs.iter().map(|o| o.desc.to_string()).collect();
    words.push(io.outputs.iter().map(|o| o.desc.to_string()).collect::<Vec<_>>().join(" "));
    words.insert(words.len() - 1, "→".into());
    words.join(" ")
}
