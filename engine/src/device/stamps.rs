//! The device's own clock, read at the beginning and the end of a pass.

use std::time::Duration;

use super::{DeviceError, Gpu};

/// Room for two stamps.
pub(crate) struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Seconds of a tick.
    period: f64,
}

const BYTES: u64 = 16;

impl Gpu {
    /// Seconds of a tick, where the device can stamp.
    pub(crate) fn stamps_period(&self) -> Option<f64> {
        let can = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        can.then(|| f64::from(self.queue.get_timestamp_period()) * 1e-9)
    }

    /// Room for the stamps of a pass, where the device can stamp.
    pub(crate) fn stamps(&self) -> Option<Stamps> {
        let period = self.stamps_period()?;
        let buffer = |label, usage| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Stamps {
            queries: self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("stamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer("stamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer("stamps to read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period,
        })
    }
}

impl Stamps {
    /// What a pass needs to be stamped.
    pub(crate) fn around_pass(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Makes the stamps readable once the pass is done.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, BYTES);
    }

    /// The time between the stamps; none if the second is not after the first, as drivers and browsers have it now and then.
    pub(crate) async fn read(&self, gpu: &Gpu) -> Result<Option<Duration>, DeviceError> {
        let words = gpu.read(&self.staging, BYTES).await?;
        let stamp = |i: usize| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32;
        let ticks = stamp(1).checked_sub(stamp(0)).filter(|ticks| *ticks > 0);
        Ok(ticks.map(|ticks| Duration::from_secs_f64(ticks as f64 * self.period)))
    }
}
