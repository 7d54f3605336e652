//! A whole run: the kernels are verified, the sections follow one another with fixed work between them, and the results say how far they can be trusted.

use std::collections::BTreeMap;

use super::ceilings::{Watch, ceilings};
use super::results::{
    DeviceFacts, Engine, Measurement, Results, SCHEMA, SUITE_VERSION, Section, Sentinel, Settings, System, Timer, TimerKind,
    Verified,
};
use super::{BenchError, ModelOptions, Observer, Size, kernels};
use crate::device::Device;
use crate::generate::{Purpose, outline};
use crate::kernels::{Case, KERNELS};
use crate::verify;

/// A change of the sentinels above this share flags the sections beside it.
const DRIFT: f64 = 0.05;

/// A kernel faster than this share of its ceiling is a mistake of the measurement.
const ABOVE: f64 = 1.05;

/// What the program around the engine knows, and the engine can't.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// System, browser, power.
    pub system: System,
    /// The commit that the program was built of.
    pub commit: Option<String>,
}

/// Runs sections on a device, in their order. Cancelled or failed half-way, it returns what there is as incomplete, with the error.
pub async fn run(
    device: &Device,
    surroundings: Surroundings,
    settings: &Settings,
    sections: &[Section],
    models: &ModelOptions,
    observer: &mut dyn Observer,
) -> (Results, Option<BenchError>) {
    let mut results = empty(device, surroundings, settings);
    let error = fill(device, settings, sections, models, &mut results, observer).await.err();
    results.complete = error.is_none();
    judge(&mut results, observer);
    (results, error)
}

fn empty(device: &Device, surroundings: Surroundings, settings: &Settings) -> Results {
    let caps = device.caps();
    let limits: BTreeMap<String, u64> = [
        ("binding_bytes", caps.binding_bytes),
        ("buffer_bytes", caps.buffer_bytes),
        ("workgroup_bytes", caps.workgroup_bytes.into()),
        ("workgroup_invocations", caps.workgroup_invocations.into()),
        ("workgroups_axis", caps.workgroups_axis.into()),
        ("storage_buffers", caps.storage_buffers.into()),
    ]
    .into_iter()
    // What has no limit is left out: few readers of JSON hold such a number.
    .filter(|(_, n)| *n != u64::MAX)
    .map(|(name, n)| (name.to_string(), n))
    .collect();
    let stamps = device.stamps_period();
    let mut features: Vec<String> = Vec::new();
    features.extend(caps.shader_f16.then(|| "shader-f16".into()));
    features.extend(caps.subgroups.map(|(min, max)| format!("subgroups {min} to {max}")));
    features.extend(stamps.map(|_| "timestamp-query".into()));
    let since = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).unwrap_or_default();
    let date = jiff::Timestamp::from_second(since.as_secs() as i64).unwrap_or_default();
    Results {
        schema: SCHEMA.into(),
        suite_version: SUITE_VERSION,
        engine: Engine {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: surroundings.commit,
            wgsl: crate::shader::fingerprint(),
        },
        device: {
            let identity = device.identity();
            DeviceFacts {
                name: identity.name,
                vendor: identity.vendor,
                backend: identity.backend,
                kind: identity.kind,
                driver: identity.driver,
                limits,
                features,
            }
        },
        system: surroundings.system,
        timer: match stamps {
            Some(period) => Timer { kind: TimerKind::Timestamps, quantum: period },
            None => Timer { kind: TimerKind::Clock, quantum: quantum() },
        },
        settings: settings.clone(),
        date: date.strftime("%Y-%m-%d").to_string(),
        valid: false,
        invalid: Vec::new(),
        complete: false,
        verified: None,
        sentinels: Vec::new(),
        ceilings: None,
        models: BTreeMap::new(),
        measurements: Vec::new(),
    }
}

/// Seconds of the clock's smallest step.
fn quantum() -> f64 {
    let steps = (0..16).map(|_| {
        let start = web_time::Instant::now();
        loop {
            let step = start.elapsed();
            if !step.is_zero() {
                break step.as_secs_f64();
            }
        }
    });
    steps.fold(f64::INFINITY, f64::min)
}

async fn fill(
    device: &Device,
    settings: &Settings,
    sections: &[Section],
    models: &ModelOptions,
    results: &mut Results,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    results.verified = Some(verified(device, observer).await?);
    sustain(device, settings, observer).await?;
    let mut watch = Watch::new(device).await?;
    let mut after = "start".to_string();
    look(&mut watch, settings, results, after, observer).await?;
    for section in sections {
        observer.begins(*section);
        let mut found = Vec::new();
        let measured = match section {
            Section::Device => ceilings(device, settings, &mut found, observer).await.map(|c| results.ceilings = Some(c)),
            Section::Kernels => {
                let shapes = shapes(device, settings, models)?;
                kernels::measure(device, settings, results.ceilings.as_ref(), &shapes, &mut found, observer).await
            }
            Section::Models => super::models(device, settings, models, &mut found, observer).await,
            Section::Forms => super::forms(device, settings, models, &mut found, observer).await,
            Section::Long => super::long(device, settings, models, &mut found, observer).await,
        };
        if *section == Section::Models {
            results.models = models.facts(device)?;
            results.models.retain(|subject, _| found.iter().any(|m| m.subject == *subject));
        }
        if let Err(error) = measured {
            // What was finished outlives the interruption.
            found.retain(|m| !m.samples.is_empty());
            results.measurements.extend(found);
            return Err(error);
        }
        after = name(*section);
        look(&mut watch, settings, results, after, observer).await?;
        let drifted = results.sentinels.iter().rev().take(2).any(|s| s.drift > DRIFT);
        found.iter_mut().for_each(|m| m.flagged = drifted);
        results.measurements.extend(found);
        judge(results, observer);
        observer.partial(results);
    }
    Ok(())
}

/// A section's name in messages and files.
fn name(section: Section) -> String {
    format!("{section:?}").to_lowercase()
}

/// The start-up cases of every kernel, in every variant.
async fn verified(device: &Device, observer: &mut dyn Observer) -> Result<Verified, BenchError> {
    let mut verified = Verified { kernels: KERNELS.len(), cases: 0, variants: 0, failures: Vec::new() };
    if device.is_cpu() {
        // It is the reference.
        return Ok(verified);
    }
    for (i, (kernel, cases)) in KERNELS.iter().enumerate() {
        observer.progress(i as f64 / KERNELS.len() as f64, &format!("verifying {kernel}"));
        let startup: Vec<Case> = cases().into_iter().filter(|case| case.startup).collect();
        let line = verify::kernel(device, kernel, &startup, || !observer.cancelled()).await?;
        if observer.cancelled() {
            return Err(BenchError::Cancelled);
        }
        verified.cases += line.cases;
        verified.variants += line.variants.len();
        verified.failures.extend(line.failures.iter().map(|failure| format!("{kernel}, {failure}")));
    }
    Ok(verified)
}

/// Load before the first sample, for the clocks and temperatures that a long run has.
async fn sustain(device: &Device, settings: &Settings, observer: &mut dyn Observer) -> Result<(), BenchError> {
    if settings.sustain <= 0.0 {
        return Ok(());
    }
    let mut watch = Watch::new(device).await?;
    let start = web_time::Instant::now();
    while start.elapsed().as_secs_f64() < settings.sustain {
        observer.progress(start.elapsed().as_secs_f64() / settings.sustain, "sustained load");
        if observer.cancelled() {
            return Err(BenchError::Cancelled);
        }
        watch.look(settings, observer).await?;
    }
    Ok(())
}

/// Takes a sentinel.
async fn look(
    watch: &mut Watch,
    settings: &Settings,
    results: &mut Results,
    after: String,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let (copy, multiply_add) = watch.look(settings, observer).await?;
    let drift = results.sentinels.first().map_or(0.0, |first| {
        let change = |now: f64, then: f64| (now / then - 1.0).abs();
        change(copy, first.copy).max(change(multiply_add, first.multiply_add))
    });
    results.sentinels.push(Sentinel { after, copy, multiply_add, drift });
    Ok(())
}

/// The shapes of the kernels: of decoding, of reading, and of the loss, each at the sizes of the models given. The tiny ones are nobody's: in their place the
/// paper's smallest.
fn shapes(device: &Device, settings: &Settings, models: &ModelOptions) -> Result<kernels::Shapes, BenchError> {
    /// Where a decode step is: in the middle of a mini-batch, with some context.
    const POSITION: u32 = 1015;
    /// Where what is read ends: with a mini-batch.
    const END: u32 = 1024;
    let slow = matches!(device.identity().kind.as_str(), "cpu" | "software");
    let rows: usize = if settings.quick || slow { 64 } else { 512 };
    let mut sizes: Vec<Size> = models.sizes.iter().map(|size| if *size == Size::TINY { Size::ALL[1] } else { *size }).collect();
    sizes.dedup();
    let mut shapes = kernels::Shapes::default();
    for architecture in (ModelOptions { sizes, ..models.clone() }).architectures()? {
        for (purpose, tokens) in [(Purpose::Decode, 1), (Purpose::Prefill, rows), (Purpose::Loss, rows)] {
            let outline = outline(&*architecture, purpose, tokens, device.caps())?;
            let room = outline.plan.input("ids").map_or(1, |port| port.operand.desc.rows()) as u32;
            let position = if purpose == Purpose::Decode { POSITION } else { END - room };
            shapes.add(kernels::of_graph(&outline.fused, &kernels::step(position, room)));
        }
    }
    shapes.add_missing();
    if settings.quick {
        shapes.one_each(device);
    }
    Ok(shapes)
}

/// Says how far results can be trusted.
fn judge(results: &mut Results, observer: &dyn Observer) {
    let mut invalid = Vec::new();
    match &results.verified {
        None => invalid.push("the kernels were not verified".to_string()),
        Some(verified) => invalid.extend(verified.failures.iter().map(|failure| format!("verify: {failure}"))),
    }
    // Beside a drift, the ceilings are of another machine.
    let above = |m: &&Measurement| m.section == Section::Kernels && !m.flagged && m.share.is_some_and(|share| share > ABOVE);
    for m in results.measurements.iter().filter(above) {
        let share = 100.0 * m.share.unwrap_or_default();
        invalid.push(format!("{} {}: at {share:.0} % of its ceiling, which can't be", m.name, m.subject));
    }
    invalid.extend(observer.disturbed());
    results.valid = invalid.is_empty();
    results.invalid = invalid;
}
