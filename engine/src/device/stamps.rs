//! The device's own clock, read at the beginnings and the ends of passes.

use super::{DeviceError, Gpu};

/// Room for the two stamps of each of some passes.
pub(crate) struct Stamps {
    /// WebGPU allows 4096 queries a set.
    sets: Vec<wgpu::QuerySet>,
    passes: usize,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Seconds of a tick.
    period: f64,
}

/// Bytes of a stamp.
const STAMP: u64 = 8;

/// Passes of one set; their stamps fill whole multiples of the 256 bytes at which a set may be resolved.
const PASSES: usize = 2048;

impl Gpu {
    /// Seconds of a tick, where the device can stamp.
    pub(crate) fn stamps_period(&self) -> Option<f64> {
        let can = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        can.then(|| f64::from(self.queue.get_timestamp_period()) * 1e-9)
    }

    /// Room for the stamps of so many passes, where the device can stamp.
    pub(crate) fn stamps(&self, passes: usize) -> Option<Stamps> {
        let period = self.stamps_period()?;
        let size = 2 * passes.max(1) as u64 * STAMP;
        let buffer = |label, usage| {
            self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
        };
        let set = |first: usize| {
            let count = 2 * PASSES.min(passes - first) as u32;
            let descriptor = wgpu::QuerySetDescriptor { label: Some("stamps"), ty: wgpu::QueryType::Timestamp, count };
            self.device.create_query_set(&descriptor)
        };
        Some(Stamps {
            sets: (0..passes).step_by(PASSES).map(set).collect(),
            passes,
            resolved: buffer("stamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer("stamps to read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period,
        })
    }
}

impl Stamps {
    /// What pass number `pass` needs to be stamped.
    pub(crate) fn around(&self, pass: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * (pass % PASSES) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[pass / PASSES],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Makes the stamps readable once the passes are done.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for (i, set) in self.sets.iter().enumerate() {
            let count = 2 * PASSES.min(self.passes - i * PASSES) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, (i * PASSES) as u64 * 2 * STAMP);
        }
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, self.staging.size());
    }

    /// Seconds of each pass's beginning and end, on the device's clock.
    pub(crate) async fn read(&self, gpu: &Gpu) -> Result<Vec<f64>, DeviceError> {
        let words = gpu.read(&self.staging, 2 * self.passes as u64 * STAMP).await?;
        let ticks = words.as_chunks::<2>().0.iter().map(|[low, high]| u64::from(*low) | u64::from(*high) << 32);
        Ok(ticks.map(|ticks| ticks as f64 * self.period).collect())
    }
}
