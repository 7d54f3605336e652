//! Whole models of random weights: time of a token, read and written, against the context, and what is moved and held for it. The figure of the TTT
//! paper (arXiv 2407.04620, latency) on any device.

use std::collections::BTreeMap;

use web_time::Instant;

use super::bed::unmeasured;
use super::results::{Measurement, ModelFacts, Section, Settings, Work};
use super::sampling::Course;
use super::sizes::{Family, MINI_BATCH, Size};
use super::{BenchError, Observer};
use crate::device::Device;
use crate::error::Error;
use crate::generate::{Batch, LoadOptions, Memory, Model, Purpose, Sampling, estimate, outline};
use crate::models::Architecture;
use crate::tensor::DType;
use crate::verify::product_seconds;

/// Which models are measured, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// The families.
    pub families: Vec<Family>,
    /// Their sizes.
    pub sizes: Vec<Size>,
    /// Tokens of context before the measured ones, ascending; each is rounded up to whole mini-batches.
    pub contexts: Vec<usize>,
    /// Sequences side by side.
    pub batches: Vec<usize>,
    /// Tokens that are read.
    pub prompt: usize,
    /// Tokens that are written.
    pub predict: usize,
    /// Type of the matrices. A Transformer's cache is in f32 where they are, else in f16.
    pub dtype: DType,
    /// Bytes that may be used, if that is known: what takes more is left out.
    pub memory: Option<u64>,
    /// Tokens of the long run.
    pub long: usize,
}

impl ModelOptions {
    /// What is usual on a device: the paper's sizes and contexts on a GPU; on the CPU and on a software device the tiny size, since it would be at the others for
    /// hours. A device whose kind the browser hides is taken for software if it is slower than the CPU at a small product.
    pub async fn usual(device: &Device, quick: bool) -> Result<ModelOptions, BenchError> {
        let slow = quick
            || match device.identity().kind.as_str() {
                "cpu" | "software" => true,
                "other" => product_seconds(&Device::cpu()).await? <= product_seconds(device).await?,
                _ => false,
            };
        let (sizes, contexts): (_, &[usize]) = match (quick, slow) {
            (true, _) => (vec![Size::TINY], &[256, 4 << 10]),
            (_, true) => (vec![Size::TINY], &[256, 1 << 10, 4 << 10, 16 << 10]),
            _ => (Size::ALL[1..].to_vec(), &[1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10]),
        };
        Ok(ModelOptions {
            families: Family::ALL.to_vec(),
            sizes,
            contexts: contexts.to_vec(),
            // Sixteen sequences with much context keep a Transformer on a slow device for minutes.
            batches: if quick { vec![1] } else { vec![1, 16] },
            prompt: if slow { 32 } else { 512 },
            predict: match (quick, slow) {
                (true, _) => 8,
                (_, true) => 32,
                _ => 128,
            },
            dtype: DType::F16,
            memory: None,
            long: if quick { 10_000 } else { 1_000_000 },
        })
    }

    /// Every family at every size.
    pub(super) fn architectures(&self) -> Result<Vec<Box<dyn Architecture>>, Error> {
        let open = |(family, size): (&Family, &Size)| {
            let opened = size.opened(*family, self.dtype);
            Ok(crate::models::open(&opened.checkpoint, opened.config.as_ref())?)
        };
        self.sizes.iter().flat_map(|size| self.families.iter().map(move |family| (family, size))).map(open).collect()
    }

    /// What is to be known of each model, by what it is called.
    pub(super) fn facts(&self, device: &Device) -> Result<BTreeMap<String, ModelFacts>, Error> {
        let mut facts = BTreeMap::new();
        for (size, family) in self.sizes.iter().flat_map(|size| self.families.iter().map(move |family| (size, family))) {
            let opened = size.opened(*family, self.dtype);
            let parameters = opened.checkpoint.tensors.values().map(|tensor| tensor.len() as u64).sum();
            let architecture = crate::models::open(&opened.checkpoint, opened.config.as_ref())?;
            let bytes = outline(&*architecture, Purpose::Decode, 1, device.caps())?.plan.weight_bytes();
            facts.insert(self.subject(*family, size), ModelFacts { parameters, bytes });
        }
        Ok(facts)
    }

    /// The type of a cache beside these matrices.
    fn cache(&self) -> DType {
        if self.dtype == DType::F32 { DType::F32 } else { DType::F16 }
    }

    /// The contexts, of whole mini-batches.
    fn contexts(&self) -> Vec<usize> {
        let mut contexts: Vec<usize> = self.contexts.iter().map(|n| n.next_multiple_of(MINI_BATCH)).collect();
        contexts.sort_unstable();
        contexts.dedup();
        contexts
    }

    /// Positions that are reached from a context on.
    fn ends(&self, context: usize) -> usize {
        context + self.prompt.max(self.predict)
    }

    /// What a model is called in results.
    pub(super) fn subject(&self, family: Family, size: &Size) -> String {
        format!("{family} {size} {}", self.dtype)
    }
}

/// What a sample does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Read,
    Write,
}

/// A model as far as it fits on the device.
struct Fitting {
    family: Family,
    size: Size,
    /// Sequences side by side, and the longest context that they fit with.
    batches: Vec<(usize, usize)>,
    memory: Memory,
}

/// A figure to be taken.
struct Row {
    /// Position of the batch among those that are there.
    batch: usize,
    task: Task,
    context: usize,
    measurement: Measurement,
}

/// Measures reading and writing of every model that fits, at every context that it fits with. All models of a size are there side by side if they can be, and
/// samples of all of them and of all contexts are taken in turn, in a random order. What was sampled is in `found`, however it ends.
pub async fn models(
    device: &Device,
    settings: &Settings,
    options: &ModelOptions,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    for (i, group) in groups(device, options, observer).into_iter().enumerate() {
        together(device, settings, options, &group, i as u64, found, observer).await?;
    }
    Ok(())
}

/// The models in groups of one size that fit side by side.
fn groups(device: &Device, options: &ModelOptions, observer: &mut dyn Observer) -> Vec<Vec<Fitting>> {
    let mut groups: Vec<Vec<Fitting>> = Vec::new();
    for size in &options.sizes {
        let (mut group, mut taken) = (Vec::new(), 0);
        for family in &options.families {
            match fitting(device, options, *family, size, observer) {
                Err(reason) => observer.note(&format!("{} is left out: {reason}", options.subject(*family, size))),
                Ok(fitting) => {
                    let bytes = fitting.memory.total();
                    if options.memory.is_some_and(|had| taken + bytes > had) {
                        groups.push(std::mem::take(&mut group));
                        taken = 0;
                    }
                    taken += bytes;
                    group.push(fitting);
                }
            }
        }
        groups.push(group);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// How far a model fits; the error says why it does not at all.
fn fitting(
    device: &Device,
    options: &ModelOptions,
    family: Family,
    size: &Size,
    observer: &mut dyn Observer,
) -> Result<Fitting, Error> {
    let opened = size.opened(family, options.dtype);
    let architecture = crate::models::open(&opened.checkpoint, opened.config.as_ref())?;
    let (mut batches, mut memory) = (Vec::new(), Memory::default());
    let mut refused = None;
    for sequences in &options.batches {
        let mut longest = None;
        for context in [0].into_iter().chain(options.contexts()) {
            let room = (options.ends(context), options.ends(options.contexts().last().copied().unwrap_or(0)));
            let needed = estimate(&*architecture, device, *sequences, room, options.cache()).and_then(|needed| {
                Memory { weights: 0, ..memory }.plus(&needed).within(options.memory)?;
                Ok(needed)
            });
            match needed {
                Ok(needed) => longest = Some((context, needed)),
                Err(reason) => {
                    if longest.is_some() {
                        let what = options.subject(family, size);
                        observer.note(&format!("{what}, {sequences} sequences at {context}: left out: {reason}"));
                    }
                    refused = Some(reason);
                    break;
                }
            }
        }
        if let Some((context, needed)) = longest {
            batches.push((*sequences, context));
            // All of them share the weights.
            memory = Memory { weights: 0, ..memory }.plus(&needed);
        }
    }
    match (batches.is_empty(), refused) {
        (true, Some(reason)) => Err(reason),
        _ => Ok(Fitting { family, size: *size, batches, memory }),
    }
}

/// Measures a group of models side by side.
async fn together(
    device: &Device,
    settings: &Settings,
    options: &ModelOptions,
    group: &[Fitting],
    number: u64,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let mut course = Course::new(settings, 3 + (number << 8), 0);
    let (mut batches, mut rows) = (Vec::new(), Vec::new());
    for fitting in group {
        let subject = options.subject(fitting.family, &fitting.size);
        let longest = options.ends(fitting.batches.iter().map(|b| b.1).max().unwrap_or(0));
        let mut model = None;
        for (sequences, most) in &fitting.batches {
            for task in [Task::Read, Task::Write] {
                for context in [0].into_iter().chain(options.contexts()).filter(|context| context <= most) {
                    let name = name(options, task, context);
                    if !course.wants(&format!("{name} {subject}")) {
                        continue;
                    }
                    if model.is_none() {
                        course.pause(&format!("making {subject}"), observer).await?;
                        model = Some(make(device, settings, options, fitting, longest).await?);
                    }
                    let model: &Model = model.as_ref().expect("it was made a line ago");
                    let measurement = Measurement {
                        batch: *sequences,
                        ..unmeasured(
                            Section::Models,
                            &name,
                            subject.clone(),
                            None,
                            work(model, options, task, *sequences, context)?,
                        )
                    };
                    if !batches.iter().any(|(s, n, _): &(String, usize, Batch)| *s == subject && n == sequences) {
                        batches.push((subject.clone(), *sequences, model.batch(*sequences).await?));
                    }
                    let batch = batches.iter().position(|(s, n, _)| *s == subject && n == sequences);
                    rows.push(Row { batch: batch.expect("it was added a line ago"), task, context, measurement });
                }
            }
        }
    }
    // Once without being timed, the longest context first, so that nothing grows later.
    course.total = rows.len() * (settings.repetitions + 1);
    rows.sort_by_key(|row| std::cmp::Reverse(row.context));
    for row in &rows {
        course.pause(&format!("{} {}: warming up", row.measurement.name, row.measurement.subject), observer).await?;
        sample(&mut batches[row.batch].2, options, row.task, row.context).await?;
        course.taken += 1;
    }
    let warm = course.taken;
    let taken = async {
        for _ in 0..settings.repetitions {
            for i in course.order.shuffled(rows.len()) {
                let row = &mut rows[i];
                course.pause(&format!("{} {}", row.measurement.name, row.measurement.subject), observer).await?;
                let seconds = sample(&mut batches[row.batch].2, options, row.task, row.context).await?;
                row.measurement.samples.push(seconds);
                row.measurement.order.push(course.taken - warm);
                course.taken += 1;
            }
        }
        Ok(())
    };
    let taken = taken.await;
    rows.sort_by_key(|row| (row.batch, row.task == Task::Write, row.context));
    found.extend(rows.into_iter().map(|row| row.measurement).filter(|m| !m.samples.is_empty()));
    taken
}

/// What a row is called: as llama.cpp's bench calls it.
fn name(options: &ModelOptions, task: Task, context: usize) -> String {
    let name = match task {
        Task::Read => format!("pp{}", options.prompt),
        Task::Write => format!("tg{}", options.predict),
    };
    if context == 0 { name } else { format!("{name} @ d{context}") }
}

/// A model of random weights with room for `longest` positions.
async fn make(
    device: &Device,
    settings: &Settings,
    options: &ModelOptions,
    fitting: &Fitting,
    longest: usize,
) -> Result<Model, BenchError> {
    let load = LoadOptions { cache: Some(options.cache()), context_size: Some(longest), ..LoadOptions::default() };
    Ok(Model::random(fitting.size.opened(fitting.family, options.dtype), settings.seed, device, load).await?)
}

/// The work of a sample, as its plans tell it.
fn work(model: &Model, options: &ModelOptions, task: Task, sequences: usize, context: usize) -> Result<Work, BenchError> {
    let (purpose, tokens) = match task {
        Task::Read => (Purpose::Prefill, options.prompt),
        Task::Write => (Purpose::Decode, options.predict),
    };
    work_of(model, purpose, sequences, tokens, context)
}

/// The work of so many tokens of each sequence, read or written behind a context.
pub(super) fn work_of(
    model: &Model,
    purpose: Purpose,
    sequences: usize,
    tokens: usize,
    context: usize,
) -> Result<Work, BenchError> {
    let (plan, room) = model.plan_at(purpose, sequences, tokens * sequences, context + tokens)?;
    let tokens = (tokens * sequences) as f64;
    let (cost, runs) = (plan.cost(), tokens / room as f64);
    let state = plan.states.bytes() as f64;
    Ok(Work {
        tokens,
        context: context as f64,
        operations: cost.operations * runs,
        least: cost.least * runs,
        moved: cost.moved * runs,
        state,
        working_set: plan.weight_bytes() as f64 + state,
    })
}

/// Seconds that a batch takes to read or to write from a context on.
async fn sample(batch: &mut Batch, options: &ModelOptions, task: Task, context: usize) -> Result<f64, BenchError> {
    let n = batch.positions().len();
    batch.stand_at(context).await?;
    match task {
        Task::Read => {
            let ids = ids(batch, options.prompt);
            let tokens = vec![&ids[..]; n];
            let start = Instant::now();
            batch.prefill(&tokens).await?;
            Ok(start.elapsed().as_secs_f64())
        }
        Task::Write => {
            let (tokens, sampling) = (ids(batch, n), vec![Sampling::default(); n]);
            let start = Instant::now();
            batch.write(&tokens, &sampling, options.predict).await?;
            Ok(start.elapsed().as_secs_f64())
        }
    }
}

/// Some tokens.
pub(super) fn ids(batch: &Batch, n: usize) -> Vec<u32> {
    let vocabulary = batch.model().architecture().vocabulary() as u32;
    (0..n as u32).map(|i| i.wrapping_mul(0x9e37_79b1) % vocabulary).collect()
}
