//! Samples: items in a random order, round after round, each in submits of a length that the timer can tell.

use std::time::Duration;

use web_time::Instant;

use super::results::{Measurement, Settings, TimerKind};
use super::{BenchError, Observer, Program, States};
use crate::device::yield_now;
use crate::exec::{Elapsed, burst};
use crate::step::Step;

/// A burst lasts about this long, in a full run and in a quick one: long against the timer's step and the cost of a submit, short against what a system
/// takes for a hang.
const BURST: Duration = Duration::from_millis(80);
const QUICK_BURST: Duration = Duration::from_millis(50);

/// Most runs of one burst: beyond it the encoding takes longer than the work.
const MOST: usize = 20_000;

/// Something to be timed: programs that run in turn on the same step values.
pub(super) struct Item {
    pub(super) programs: Vec<(Program, States)>,
    pub(super) step: Step,
    /// Where the samples go.
    pub(super) measurement: Measurement,
    /// Runs of a burst, once that is known.
    times: usize,
}

impl Item {
    pub(super) fn new(programs: Vec<(Program, States)>, step: Step, measurement: Measurement) -> Item {
        Item { programs, step, measurement, times: 0 }
    }

    async fn burst(&mut self, times: usize) -> Result<Elapsed, BenchError> {
        let mut runs: Vec<(&Program, &mut States)> = self.programs.iter_mut().map(|(p, s)| (&*p, s)).collect();
        Ok(burst(&mut runs, &self.step, times).await?)
    }

    /// Finds how many runs make a burst, which also warms up; and who tells the time.
    async fn calibrate(&mut self, target: Duration) -> Result<(), BenchError> {
        let mut times = self.programs.len();
        self.burst(times).await?;
        loop {
            let elapsed = self.burst(times).await?;
            // Some drivers stamp what they like: over a whole burst the device can't have been idle for most of the time.
            let believed = elapsed.device.is_some_and(|device| 2 * device >= elapsed.clock);
            self.measurement.timer = if believed { TimerKind::Timestamps } else { TimerKind::Clock };
            // Growing by steps: the first figures are of a cold machine, or of the timer's step.
            let wanted = target.as_secs_f64() / elapsed.clock.as_secs_f64().max(1e-9);
            if wanted < 1.2 || times >= MOST {
                break;
            }
            times = ((times as f64 * wanted.min(10.0)).ceil() as usize).min(MOST);
        }
        self.times = times;
        Ok(())
    }

    /// Takes one sample; `false` if the timer made no sense of it.
    async fn sample(&mut self, place: usize) -> Result<bool, BenchError> {
        let elapsed = self.burst(self.times).await?;
        let seconds = |d: Duration| d.as_secs_f64() / self.times as f64;
        let m = &mut self.measurement;
        match (m.timer, elapsed.device) {
            (TimerKind::Timestamps, Some(device)) => {
                m.samples.push(seconds(device));
                m.clock.push(seconds(elapsed.clock));
            }
            (TimerKind::Timestamps, None) => return Ok(false),
            (TimerKind::Clock, _) => m.samples.push(seconds(elapsed.clock)),
        }
        m.order.push(place);
        Ok(true)
    }
}

/// The bench's random order: SplitMix64.
pub(super) struct Order(u64);

impl Order {
    pub(super) fn new(seed: u64) -> Order {
        Order(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The numbers below `n`, shuffled.
    pub(super) fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            all.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
        all
    }
}

/// Where a section is: how many samples it took, of how many.
pub(super) struct Course<'a> {
    pub(super) settings: &'a Settings,
    pub(super) order: Order,
    pub(super) taken: usize,
    pub(super) total: usize,
}

impl<'a> Course<'a> {
    /// The beginning of a section that will time so many items.
    pub(super) fn new(settings: &'a Settings, section: u64, items: usize) -> Course<'a> {
        let total = (items * settings.repetitions).max(1);
        Course { settings, order: Order::new(settings.seed ^ section.wrapping_mul(0x9e37_79b9_7f4a_7c15)), taken: 0, total }
    }

    /// Whether a figure of this name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.settings.only.is_empty() || self.settings.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Reports where it is, lets the browser breathe, rests, and ends where the observer says so.
    pub(super) async fn pause(&mut self, what: &str, observer: &mut dyn Observer) -> Result<(), BenchError> {
        observer.progress((self.taken as f64 / self.total as f64).min(1.0), what);
        yield_now().await;
        if observer.cancelled() {
            return Err(BenchError::Cancelled);
        }
        crate::device::rest(Duration::from_secs_f64(self.settings.delay)).await;
        Ok(())
    }
}

/// Times items side by side: in every round each once, in a new order.
pub(super) async fn sample<'a>(
    items: impl IntoIterator<Item = &'a mut Item>,
    course: &mut Course<'_>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    /// Stamps that make no sense are taken again so often.
    const TRIES: usize = 3;
    let target = if course.settings.quick { QUICK_BURST } else { BURST };
    let mut items: Vec<&mut Item> = items.into_iter().collect();
    for item in &mut items {
        item.calibrate(target).await?;
    }
    for _ in 0..course.settings.repetitions {
        for i in course.order.shuffled(items.len()) {
            let item = &mut items[i];
            let what = format!("{} {}", item.measurement.name, item.measurement.subject);
            course.pause(&what, observer).await?;
            let mut tries = 0;
            while !item.sample(course.taken).await? {
                tries += 1;
                if tries == TRIES {
                    let Measurement { name, subject, variant, .. } = item.measurement.clone();
                    let reason = "the device's stamps make no sense".into();
                    return Err(BenchError::Wrong { name, subject, variant: variant.unwrap_or_default(), reason });
                }
            }
            course.taken += 1;
        }
    }
    Ok(())
}

/// Seconds that the clock says some work takes, once.
pub(super) async fn clocked(work: impl Future<Output = Result<(), BenchError>>) -> Result<f64, BenchError> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed().as_secs_f64())
}
