//! Compiled pipelines: many at a time where the platform lets us, and kept from run to run where the driver has no store of its own.

use std::sync::Arc;

use super::gpu::{Gpu, Pipeline};
use super::{Device, DeviceError, Kind};
use crate::kernels::Launch;

/// A launch, and the group and binding of each of its operands.
pub(crate) type Placed<'a> = (&'a Launch, Vec<(u32, u32)>);

impl Gpu {
    /// The pipeline of each launch. Those that are not there yet are compiled side by side.
    pub(crate) async fn pipelines(&self, wanted: &[Placed<'_>]) -> Result<Vec<Arc<Pipeline>>, DeviceError> {
        let mut distinct: Vec<&Placed<'_>> = Vec::new();
        for placed in wanted {
            if !distinct.contains(&placed) {
                distinct.push(placed);
            }
        }
        #[cfg(not(target_arch = "wasm32"))]
        let compiled = {
            use rayon::prelude::*;
            let compile = |(launch, places): &&Placed<'_>| pollster::block_on(self.pipeline(launch, places));
            distinct.par_iter().map(compile).collect::<Result<Vec<_>, _>>()?
        };
        #[cfg(target_arch = "wasm32")]
        let compiled =
            futures::future::try_join_all(distinct.iter().map(|(launch, places)| self.pipeline(launch, places))).await?;
        let of = |placed: &Placed<'_>| distinct.iter().position(|other| *other == placed).map(|i| compiled[i].clone());
        Ok(wanted.iter().filter_map(of).collect())
    }
}

impl Device {
    /// Compiles pipelines from now on by way of what [`Device::compiled`] gave before, or of an empty store. Where the driver keeps none, or `data` is of another
    /// device or driver, this changes nothing.
    ///
    /// # Safety
    ///
    /// The driver trusts `data`: it must be, byte for byte, what [`Device::compiled`] gave.
    #[expect(unsafe_code, reason = "it hands bytes to the driver, as wgpu's own function does")]
    pub unsafe fn take_compiled(&self, data: Option<&[u8]>) {
        if let Kind::Gpu(gpu) = &self.kind {
            // SAFETY: the caller's promise.
            unsafe { gpu.take_cache(data) };
        }
    }

    /// What the driver made of the pipelines so far, if it gives that away.
    pub fn compiled(&self) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Cpu(_) => None,
            Kind::Gpu(gpu) => gpu.cache()?.get_data(),
        }
    }
}
