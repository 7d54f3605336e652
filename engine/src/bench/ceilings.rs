//! What a device can do at best: bandwidth by working set, multiply-adds, and what a dispatch, a submit and a read-back cost.

use super::bed::{Bed, Planned, unmeasured};
use super::results::{Bandwidth, Ceilings, Measurement, Section, Settings, Work};
use super::sampling::{Course, Order, clocked, sample};
use super::{BenchError, Observer};
use crate::device::Device;
use crate::kernels::multiply_add::MultiplyAdd;
use crate::kernels::stream_copy::{self, StreamCopy};
use crate::kernels::stream_read::{self, StreamRead};
use crate::kernels::{Case, CaseInput, Fill, Op};
use crate::tensor::{DType, Desc};

/// A launch moves at least so many bytes, going over a small working set several times: less would not keep a large device busy.
const TRAFFIC: usize = 32 << 20;

/// The largest working set of a full run, and of a quick one.
const LARGEST: usize = 256 << 20;
const LARGEST_QUICK: usize = 64 << 20;

/// A fall below this share of the caches' rate is the knee.
const KNEE: f64 = 0.7;

/// Invocations of the multiply-adds, and their rounds: enough for every unit of a large device, about a millisecond on a small one.
const INVOCATIONS: usize = 1 << 17;
const ROUNDS: usize = 64;

/// Floats in a stream of so many bytes, in whole chunks of both streams.
fn stream(bytes: usize) -> CaseInput {
    let floats = (bytes / 4).next_multiple_of(stream_read::CHUNK);
    CaseInput::activation(Desc::fixed(DType::F32, &[floats / stream_read::CHUNK, stream_read::CHUNK]), Fill::uniform(1, 1.0))
}

/// A stream of `bytes` that is read.
fn reading(bytes: usize) -> Case {
    let passes = TRAFFIC.div_ceil(bytes);
    Case::new("read", StreamRead { passes }, 1, vec![stream(bytes)])
}

/// A stream that is copied, of `bytes` with its copy.
fn copying(bytes: usize) -> Case {
    const { assert!(stream_read::CHUNK.is_multiple_of(stream_copy::CHUNK)) }
    let passes = TRAFFIC.div_ceil(bytes);
    Case::new("copy", StreamCopy { passes }, 1, vec![stream(bytes / 2)]).bound(0.0)
}

/// Multiply-adds that stay within small integers.
fn multiplying(invocations: usize, rounds: usize) -> Case {
    let x = CaseInput::activation(Desc::fixed(DType::F32, &[invocations, 1]), Fill::Below { seed: 1, n: 50 });
    let factors = CaseInput::activation(Desc::fixed(DType::F32, &[2, 1]), Fill::Constant(-1.0));
    Case::new("multiply-add", MultiplyAdd { rounds }, 1, vec![x, factors]).bound(0.0)
}

/// The figure of a case before it is measured: bytes are what is moved, over a working set.
fn figure(name: &str, subject: String, case: &Case, planned: &Planned) -> Measurement {
    let working_set = match &case.op {
        Op::StreamRead(_) => case.inputs[0].desc.bytes() as f64,
        _ => planned.operands,
    };
    let work = Work {
        operations: planned.cost.operations,
        least: planned.cost.moved,
        moved: planned.cost.moved,
        working_set,
        ..Work::default()
    };
    unmeasured(Section::Device, name, subject, None, work)
}

/// A bed of one launch of a case, checked against the reference.
async fn bed(device: &Device, case: &Case, launch: usize, name: &str, subject: String) -> Result<Bed, BenchError> {
    let planned = Planned::new(device, case)?;
    let mut figure = figure(name, subject, case, &planned);
    // Bytes of a multiply-add are no figure of interest.
    if matches!(case.op, Op::MultiplyAdd(_)) {
        (figure.work.least, figure.work.moved) = (0.0, 0.0);
    }
    Bed::new(device, case, &planned, launch, 1, figure).await
}

/// Working sets of the curves: powers of two from one chunk to what a binding holds.
fn sizes(device: &Device, quick: bool) -> Vec<usize> {
    let largest = if quick { LARGEST_QUICK } else { LARGEST };
    let most = usize::try_from(device.caps().binding_bytes.min(device.caps().buffer_bytes)).unwrap_or(usize::MAX).min(largest);
    let step = if quick { 4 } else { 2 };
    std::iter::successors(Some(stream_read::CHUNK * 4 * 2), |bytes| Some(bytes * step))
        .take_while(|bytes| *bytes <= most)
        .collect()
}

fn fastest(m: &Measurement) -> f64 {
    m.samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Measures the ceilings of a device; the figures that they are of go to `found` as they are finished.
pub async fn ceilings(
    device: &Device,
    settings: &Settings,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<Ceilings, BenchError> {
    let sizes = sizes(device, settings.quick);
    let mut course = Course::new(settings, 1, 2 * sizes.len() + 5);
    // One size at a time, so that the largest are not all on the device at once; the order among them is random.
    let (mut read, mut copy) = (Vec::new(), Vec::new());
    for i in Order::new(settings.seed).shuffled(sizes.len()) {
        let bytes = sizes[i];
        let mut beds = [
            bed(device, &reading(bytes), 0, "read", bytes.to_string()).await?,
            bed(device, &copying(bytes), 0, "copy", bytes.to_string()).await?,
        ];
        let finished = finish(&mut beds, &mut course, observer).await?;
        for (m, curve) in finished.into_iter().zip([&mut read, &mut copy]) {
            curve.push(Bandwidth { bytes: bytes as u64, rate: m.work.moved / fastest(&m) });
            found.push(m);
        }
    }
    read.sort_by_key(|point| point.bytes);
    copy.sort_by_key(|point| point.bytes);

    let multiply = multiplying(INVOCATIONS, ROUNDS);
    let names = ["f32", "f16"];
    let variants = Planned::new(device, &multiply)?.launches.len();
    let mut beds = Vec::new();
    for (launch, name) in names.iter().enumerate().take(variants) {
        beds.push(bed(device, &multiply, launch, "multiply-add", name.to_string()).await?);
    }
    beds.push(bed(device, &multiplying(1, 1), 0, "dispatch", "one invocation".into()).await?);
    let finished = finish(&mut beds, &mut course, observer).await?;
    let rate = |m: &Measurement| m.work.operations / fastest(m);
    let (f32, f16) = (rate(&finished[0]), (variants > 1).then(|| rate(&finished[1])));
    let dispatch = fastest(&finished[variants]);
    found.extend(finished);

    let mut idle = bed(device, &multiplying(1, 1), 0, "submit", "one dispatch".into()).await?;
    let [submit, read_back] = latencies(&mut idle, &mut course, observer).await?;
    let ceilings =
        Ceilings { knee: knee(&read), read, copy, f32, f16, dispatch, submit: fastest(&submit), read_back: fastest(&read_back) };
    found.extend([submit, read_back]);
    Ok(ceilings)
}

/// Samples beds side by side and checks them again.
pub(super) async fn finish(
    beds: &mut [Bed],
    course: &mut Course<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<Measurement>, BenchError> {
    sample(beds.iter_mut().map(|bed| &mut bed.item), course, observer).await?;
    let mut found = Vec::new();
    for bed in beds {
        bed.check_again().await?;
        found.push(bed.item.measurement.clone());
    }
    Ok(found)
}

/// Seconds of a submit, and of one with a read-back, by the clock.
async fn latencies(idle: &mut Bed, course: &mut Course<'_>, observer: &mut dyn Observer) -> Result<[Measurement; 2], BenchError> {
    /// A wait is short and its length varies: a sample is the mean of so many.
    const TIMES: usize = 8;
    let start = &idle.item.measurement;
    let mut figures = [start.clone(), Measurement { name: "read-back".into(), ..start.clone() }];
    for _ in 0..course.settings.repetitions {
        for i in course.order.shuffled(2) {
            course.pause("latencies", observer).await?;
            let seconds = clocked(async {
                for _ in 0..TIMES {
                    idle.once(i == 1).await?;
                }
                Ok(())
            });
            figures[i].samples.push(seconds.await? / TIMES as f64);
            figures[i].order.push(course.taken);
            course.taken += 1;
        }
    }
    Ok(figures)
}

/// The largest working set before the rate of reading falls off, if it does.
fn knee(read: &[Bandwidth]) -> Option<u64> {
    let best = read.iter().map(|point| point.rate).fold(0.0, f64::max);
    let last = read.iter().rposition(|point| point.rate >= KNEE * best)?;
    (last + 1 < read.len()).then(|| read[last].bytes)
}

impl Ceilings {
    /// Bytes a second that a kernel with this working set can have at best: the higher curve at the largest size that is not above it,
    /// or of any larger one.
    pub fn bandwidth(&self, working_set: f64) -> f64 {
        let curve = |points: &[Bandwidth]| {
            let from = points.iter().rposition(|p| p.bytes as f64 <= working_set).unwrap_or(0);
            points[from..].iter().map(|p| p.rate).fold(0.0, f64::max)
        };
        curve(&self.read).max(curve(&self.copy))
    }

    /// The share of the ceiling that a figure reaches, by bytes or by operations, whichever is higher.
    pub fn share(&self, m: &Measurement) -> f64 {
        let seconds = fastest(m);
        let by_bytes = m.work.least / seconds / self.bandwidth(m.work.working_set);
        by_bytes.max(m.work.operations / seconds / self.f32)
    }
}

/// The fixed work of a sentinel: bytes a second of a copy, operations a second of multiply-adds.
pub(super) struct Watch {
    copy: Bed,
    multiply: Bed,
}

impl Watch {
    /// Bytes that are copied, with their copy: beyond most caches.
    const COPIED: usize = 64 << 20;

    pub(super) async fn new(device: &Device) -> Result<Watch, BenchError> {
        let copy = bed(device, &copying(Self::COPIED), 0, "copy", "sentinel".into()).await?;
        let multiply = bed(device, &multiplying(INVOCATIONS, ROUNDS), 0, "multiply-add", "sentinel".into()).await?;
        Ok(Watch { copy, multiply })
    }

    /// Looks once: the best of a few bursts of each.
    pub(super) async fn look(&mut self, settings: &Settings, observer: &mut dyn Observer) -> Result<(f64, f64), BenchError> {
        let settings = Settings { repetitions: 5, delay: 0.0, ..settings.clone() };
        let mut course = Course::new(&settings, 0, 2);
        let beds = [&mut self.copy.item, &mut self.multiply.item];
        for item in &beds {
            debug_assert!(item.measurement.samples.is_empty());
        }
        sample(beds, &mut course, observer).await?;
        let (copy, multiply) = (&mut self.copy.item.measurement, &mut self.multiply.item.measurement);
        let rates = (copy.work.moved / fastest(copy), multiply.work.operations / fastest(multiply));
        for m in [copy, multiply] {
            (m.samples, m.clock, m.order) = Default::default();
        }
        Ok(rates)
    }
}
