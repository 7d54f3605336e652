//! A long run: a million tokens through a model whose state has one size, as fast at the end as at the beginning, in the same memory.

use web_time::Instant;

use super::bed::unmeasured;
use super::models::{ModelOptions, ids, work_of};
use super::results::{Measurement, Section, Settings};
use super::sampling::Course;
use super::{BenchError, Observer};
use crate::device::Device;
use crate::generate::{LoadOptions, Model, Purpose};

/// Parts of the run, each a sample.
const PARTS: usize = 100;

/// Reads [`ModelOptions::long`] tokens, one model after the other, of each family with a state of fixed size, in the first of the sizes. A sample is a hundredth
/// of them, in order; a model's are in `found` as they are taken. Buffers that a device makes after the first hundredth are an error: memory is to be flat.
pub async fn long(
    device: &Device,
    settings: &Settings,
    options: &ModelOptions,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let recurrent: Vec<_> = options.families.iter().filter(|family| family.is_recurrent()).collect();
    let mut course = Course::new(settings, 5, 0);
    course.total = recurrent.len() * PARTS;
    for (size, family) in options.sizes.first().into_iter().flat_map(|size| recurrent.iter().map(move |family| (size, **family)))
    {
        let (subject, name) = (options.subject(family, size), format!("read {}", options.long));
        if !course.wants(&format!("{name} {subject}")) {
            continue;
        }
        course.pause(&format!("making {subject}"), observer).await?;
        let opened = size.opened(family, options.dtype);
        let model = Model::random(opened, settings.seed, device, LoadOptions::default()).await?;
        let mut batch = model.batch(1).await?;
        let tokens = ids(&batch, (options.long / PARTS).max(1));
        let work = work_of(&model, Purpose::Prefill, 1, tokens.len(), 0)?;
        let m = unmeasured(Section::Long, &name, subject.clone(), None, work);
        // The first chunks find the device's pace; then the run begins anew.
        batch.prefill(&[&tokens[..tokens.len().min(4096)]]).await?;
        batch.reset().await?;
        found.push(m);
        let mut made = None;
        for part in 0..PARTS {
            course.pause(&format!("{name} {subject}: {part} %"), observer).await?;
            let start = Instant::now();
            batch.prefill(&[&tokens]).await?;
            let m = found.last_mut().expect("it was pushed before the first part");
            m.samples.push(start.elapsed().as_secs_f64());
            m.order.push(course.taken);
            course.taken += 1;
            let now = device.counters().bytes_made;
            let first = *made.get_or_insert(now);
            if now > first {
                let reason = format!("{} bytes of buffers were made after the first {} tokens", now - first, tokens.len());
                return Err(BenchError::Wrong { name, subject, variant: "memory".into(), reason });
            }
        }
    }
    Ok(())
}
