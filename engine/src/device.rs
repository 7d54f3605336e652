//! Devices: the GPUs that the system offers, and the CPU device that is always there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::caps::Caps;
use crate::exec::Profile;
use crate::tuning::Tuning;

mod adapters;
mod compiled;
mod gpu;
mod stamps;
#[cfg(target_arch = "wasm32")]
mod web;

pub use adapters::{AdapterReport, Identity, adapters};
pub use gpu::Counters;
pub(crate) use gpu::{CounterCells, Gpu, Pipeline, STEP_BYTES};
pub(crate) use stamps::Stamps;

/// Why a device can't be had, or what became of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No adapter is what was asked for.
    #[error("no device matches {wanted}; there are: {found}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// Several adapters are what was asked for.
    #[error("{wanted} matches several devices: {found}")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Those that match.
        found: String,
    },
    /// Not the form of a choice of device.
    #[error("{0} is no device: wanted auto, cpu, software, vulkan:N, metal:N, dx12:N or name:PART")]
    Unreadable(String),
    /// The driver refused to open the adapter.
    #[error("{adapter} can't be opened: {reason}")]
    Refused {
        /// The adapter.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The adapter is under a limit that every kernel needs.
    #[error("{adapter} allows {had} for {limit}, {needed} are needed")]
    Limit {
        /// The adapter.
        adapter: String,
        /// The limit.
        limit: &'static str,
        /// What the kernels need.
        needed: u64,
        /// What it allows.
        had: u64,
    },
    /// An optional feature that it lacks.
    #[error("{adapter} has no {feature}")]
    Feature {
        /// The adapter.
        adapter: String,
        /// The feature.
        feature: &'static str,
    },
    /// Memory ran out.
    #[error("out of memory on the device for {what} of {bytes} bytes")]
    OutOfMemory {
        /// Which buffer.
        what: String,
        /// Its size.
        bytes: u64,
    },
    /// The device is gone.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// The driver rejected a shader.
    #[error("shader {name} was rejected: {reason}")]
    Shader {
        /// The kernel's file and choices.
        name: String,
        /// The compiler's words.
        reason: String,
    },
    /// A mistake of ours that the driver noticed.
    #[error("invalid use of the device: {0}")]
    Validation(String),
}

/// Which device to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// A real GPU if there is one, else the CPU device.
    #[default]
    Auto,
    /// The CPU device.
    Cpu,
    /// The first software adapter (lavapipe, WARP): for tests.
    Software,
    /// The adapter of this backend and number, as `devices` prints them.
    Adapter {
        /// `vulkan`, `metal` or `dx12`.
        backend: String,
        /// Its number among the backend's adapters.
        index: usize,
    },
    /// The one adapter whose name contains this, in any case.
    Name(String),
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Choice, DeviceError> {
        let unreadable = || DeviceError::Unreadable(text.to_string());
        match text {
            "auto" => return Ok(Choice::Auto),
            "cpu" => return Ok(Choice::Cpu),
            "software" => return Ok(Choice::Software),
            _ => {}
        }
        match text.split_once(':') {
            Some(("name", part)) if !part.is_empty() => Ok(Choice::Name(part.to_string())),
            Some((backend @ ("vulkan" | "metal" | "dx12" | "webgpu"), index)) => {
                let index = index.parse().map_err(|_| unreadable())?;
                Ok(Choice::Adapter { backend: backend.to_string(), index })
            }
            _ => Err(unreadable()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Software => f.write_str("software"),
            Choice::Adapter { backend, index } => write!(f, "{backend}:{index}"),
            Choice::Name(part) => write!(f, "name:{part}"),
        }
    }
}

/// A device that plans run on. Cheap to clone.
#[derive(Clone)]
pub struct Device {
    pub(crate) kind: Kind,
    caps: Arc<Caps>,
    why: Arc<str>,
    profile: Option<Profile>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Cpu(Arc<CounterCells>),
    Gpu(Arc<Gpu>),
}

impl Device {
    /// The CPU device.
    pub fn cpu() -> Device {
        Device { kind: Kind::Cpu(Arc::default()), caps: Arc::new(Caps::unlimited()), why: "asked for".into(), profile: None }
    }

    /// Opens the device of a choice.
    pub async fn open(choice: &Choice) -> Result<Device, DeviceError> {
        match adapters::choose(choice).await? {
            adapters::Chosen::Cpu(why) => Ok(Device { why: why.into(), ..Device::cpu() }),
            adapters::Chosen::Adapter(adapter, why) => {
                let gpu = Gpu::open(adapter).await?;
                Ok(Device { caps: Arc::new(gpu.caps.clone()), kind: Kind::Gpu(Arc::new(gpu)), why: why.into(), profile: None })
            }
        }
    }

    /// Takes over a wgpu device that the program already has. What the engine submits goes through `queue`.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Device {
        let gpu = Gpu::adopt(device, queue);
        Device {
            caps: Arc::new(gpu.caps.clone()),
            kind: Kind::Gpu(Arc::new(gpu)),
            why: "given by the program".into(),
            profile: None,
        }
    }

    /// The wgpu device and queue behind it; none for the CPU device. A program may share them with what it does itself.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        match &self.kind {
            Kind::Cpu(_) => None,
            Kind::Gpu(gpu) => Some((&gpu.device, &gpu.queue)),
        }
    }

    /// What it allows.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The same device with lower limits or fewer features, to try what a smaller one would do.
    pub fn with_caps(mut self, change: impl FnOnce(&mut Caps)) -> Device {
        let mut caps = (*self.caps).clone();
        change(&mut caps);
        self.caps = Arc::new(caps);
        self
    }

    /// The same device, for which plans are made by what was found on it.
    pub fn with_tuning(self, tuning: Tuning) -> Device {
        self.with_caps(|caps| caps.tuning = Arc::new(tuning))
    }

    /// The same device, of which every run's steps are timed from here on. A GPU must be able to stamp passes.
    pub fn with_profile(mut self, profile: Profile) -> Result<Device, DeviceError> {
        if !self.is_cpu() && self.stamps_period().is_none() {
            return Err(DeviceError::Feature { adapter: self.name().into(), feature: "timestamps" });
        }
        self.profile = Some(profile);
        Ok(self)
    }

    /// The same device without a profile: what is run to find something out is no part of one.
    pub(crate) fn without_profile(&self) -> Device {
        Device { profile: None, ..self.clone() }
    }

    /// Where the times of steps go, if anywhere.
    pub(crate) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        match &self.kind {
            Kind::Cpu(_) => Identity::cpu(),
            Kind::Gpu(gpu) => Identity::of(gpu.device.adapter_info()),
        }
    }

    /// Its name: `cpu`, or the adapter's.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Cpu(_) => "cpu",
            Kind::Gpu(gpu) => &gpu.name,
        }
    }

    /// Whether it is the CPU device.
    pub fn is_cpu(&self) -> bool {
        matches!(self.kind, Kind::Cpu(_))
    }

    /// Seconds of a tick of the device's own clock, where it can stamp passes.
    pub(crate) fn stamps_period(&self) -> Option<f64> {
        match &self.kind {
            Kind::Cpu(_) => None,
            Kind::Gpu(gpu) => gpu.stamps_period(),
        }
    }

    /// Whether it is an adapter that computes on the processor, as far as its system tells.
    pub fn is_software(&self) -> bool {
        matches!(&self.kind, Kind::Gpu(gpu) if gpu.device.adapter_info().device_type == wgpu::DeviceType::Cpu)
    }

    /// Why this device was chosen.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What was asked of the device since it was opened.
    pub fn counters(&self) -> Counters {
        match &self.kind {
            Kind::Cpu(cells) => cells.read(),
            Kind::Gpu(gpu) => gpu.counters.read(),
        }
    }
}

/// Lets the browser run what waits between tokens and chunks; natively there is nothing to wait for.
pub async fn yield_now() {
    #[cfg(target_arch = "wasm32")]
    web::macrotask().await;
}

/// Waits; the browser runs what it has to meanwhile.
pub(crate) async fn rest(time: std::time::Duration) {
    if time.is_zero() {
        return;
    }
    #[cfg(target_arch = "wasm32")]
    web::sleep(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)).await;
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::sleep(time);
}

/// Adds to a counter.
pub(crate) fn count(cell: &std::sync::atomic::AtomicU64, n: u64) {
    CounterCells::add(cell, n);
}
