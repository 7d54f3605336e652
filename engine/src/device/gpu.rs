//! A GPU through wgpu: buffers and pipelines made under error scopes, submits, and reading back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::DeviceError;
use crate::caps::Caps;
use crate::kernels::Launch;
use crate::shader::{self, Access, Compiler, Linked};
use crate::step::{MAX_SEQUENCES, Part, Sequence, StepHead};

/// What was asked of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Dispatches that were encoded.
    pub dispatches: u64,
    /// Compute passes.
    pub passes: u64,
    /// Submits.
    pub submits: u64,
    /// Bytes that the host wrote.
    pub bytes_up: u64,
    /// Bytes that the host read.
    pub bytes_down: u64,
    /// Bytes of the buffers that were made, whether they are still there or not.
    pub bytes_made: u64,
}

/// [`Counters`] that count.
#[derive(Default)]
pub(crate) struct CounterCells {
    pub(crate) dispatches: AtomicU64,
    pub(crate) passes: AtomicU64,
    pub(crate) submits: AtomicU64,
    pub(crate) bytes_up: AtomicU64,
    pub(crate) bytes_down: AtomicU64,
    pub(crate) bytes_made: AtomicU64,
}

impl CounterCells {
    pub(crate) fn add(cell: &AtomicU64, n: u64) {
        cell.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counters {
            dispatches: get(&self.dispatches),
            passes: get(&self.passes),
            submits: get(&self.submits),
            bytes_up: get(&self.bytes_up),
            bytes_down: get(&self.bytes_down),
            bytes_made: get(&self.bytes_made),
        }
    }
}

/// A compiled launch.
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    /// The layouts of groups 0 to 2; `None` where the kernel has no operand of that owner.
    pub(crate) layouts: [Option<wgpu::BindGroupLayout>; 3],
}

type PipelineKey = (Linked, Vec<(u32, u32)>, Vec<(&'static str, u64)>);

/// An open GPU.
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) caps: Caps,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) counters: CounterCells,
    pub(crate) step_layout: wgpu::BindGroupLayout,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// The driver's own store of what it compiled.
    cache: Mutex<Option<wgpu::PipelineCache>>,
    /// What went wrong outside every error scope, or took the device away.
    failure: Arc<Mutex<Option<DeviceError>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    pub(super) async fn open(adapter: wgpu::Adapter) -> Result<Gpu, DeviceError> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let needed = [
            ("storage buffers a stage", 8, u64::from(limits.max_storage_buffers_per_shader_stage)),
            ("workgroup memory", 16 << 10, u64::from(limits.max_compute_workgroup_storage_size)),
            ("invocations a workgroup", 256, u64::from(limits.max_compute_invocations_per_workgroup)),
        ];
        for (limit, needed, had) in needed {
            if had < needed {
                return Err(DeviceError::Limit { adapter: info.name, limit, needed, had });
            }
        }
        let wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("fastweight"),
            required_features: adapter.features() & wanted,
            required_limits: limits,
            ..Default::default()
        };
        #[cfg(not(target_arch = "wasm32"))]
        let opened = adapter.request_device(&descriptor);
        #[cfg(target_arch = "wasm32")]
        let (opened, subgroups) = super::web::with_subgroups(|| adapter.request_device(&descriptor));
        let opened = opened.await;
        let (device, queue) = opened.map_err(|e| DeviceError::Refused { adapter: info.name, reason: e.to_string() })?;
        let gpu = Gpu::adopt(device, queue);
        #[cfg(target_arch = "wasm32")]
        let gpu = {
            let subgroups = subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size));
            Gpu { caps: Caps { subgroups, ..gpu.caps }, ..gpu }
        };
        Ok(gpu)
    }

    pub(super) fn adopt(device: wgpu::Device, queue: wgpu::Queue) -> Gpu {
        let (info, limits, features) = (device.adapter_info(), device.limits(), device.features());
        let caps = Caps {
            binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroups_axis: limits.max_compute_workgroups_per_dimension,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(256),
            // A browser may hide that the adapter is lavapipe.
            loop_rounds: if info.name.is_empty() || info.name.contains("llvmpipe") { LAVAPIPE_ROUNDS } else { u64::MAX },
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP).then_some((info.subgroup_min_size, info.subgroup_max_size)),
            tuning: Arc::default(),
        };
        let failure: Arc<Mutex<Option<DeviceError>>> = Arc::default();
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            *lock(&lost) = Some(DeviceError::Lost(format!("{reason:?}: {message}")));
        });
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).get_or_insert(DeviceError::Validation(error.to_string()));
        }));
        let uniform = |binding, dynamic, bytes: usize| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: dynamic,
                min_binding_size: wgpu::BufferSize::new(bytes as u64),
            },
            count: None,
        };
        let step_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step values"),
            entries: &[uniform(0, true, STEP_BYTES), uniform(1, true, size_of::<Part>())],
        });
        let name = if info.name.is_empty() { "webgpu".to_string() } else { info.name };
        let (counters, pipelines, cache) = (CounterCells::default(), Mutex::default(), Mutex::default());
        Gpu { name, caps, device, queue, counters, step_layout, pipelines, cache, failure }
    }

    /// What went wrong since this was last asked; a lost device stays lost.
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        if lock(&self.failure).is_some() {
            // What comes first may be an error of using a lost device; this brings the word that it is lost.
            self.deliver();
        }
        let mut failure = lock(&self.failure);
        match &*failure {
            None => Ok(()),
            Some(lost @ DeviceError::Lost(_)) => Err(lost.clone()),
            Some(_) => Err(failure.take().expect("it was there a line ago")),
        }
    }

    /// Lets callbacks that wait be called. (A browser calls them by itself.)
    fn deliver(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        // A device that can't be polled any more is lost, of which the callback tells.
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// Runs `make` under error scopes for validation and memory.
    async fn scoped<T>(
        &self,
        make: impl FnOnce() -> T,
        memory: impl FnOnce() -> DeviceError,
        validation: impl FnOnce(String) -> DeviceError,
    ) -> Result<T, DeviceError> {
        let validation_scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory_scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let (memory_error, validation_error) = (memory_scope.pop(), validation_scope.pop());
        let (memory_error, validation_error) = (memory_error.await, validation_error.await);
        if memory_error.is_some() || validation_error.is_some() {
            self.deliver();
            self.check()?;
        }
        match (memory_error, validation_error) {
            (Some(_), _) => Err(memory()),
            (None, Some(error)) => Err(validation(error.to_string())),
            (None, None) => Ok(made),
        }
    }

    /// A zeroed buffer.
    pub(crate) async fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, DeviceError> {
        let size = bytes.next_multiple_of(4).max(4);
        CounterCells::add(&self.counters.bytes_made, size);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let memory = || DeviceError::OutOfMemory { what: label.to_string(), bytes };
        self.scoped(|| self.device.create_buffer(&descriptor), memory, DeviceError::Validation).await
    }

    /// Writes words at a byte offset.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        CounterCells::add(&self.counters.bytes_up, bytes.len() as u64);
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Compiles by way of the driver's own store from now on, beginning with `data`.
    ///
    /// # Safety
    ///
    /// As [`super::Device::take_compiled`].
    #[expect(unsafe_code, reason = "the driver trusts the bytes; wgpu checks their head alone")]
    pub(super) unsafe fn take_cache(&self, data: Option<&[u8]>) {
        if !self.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return;
        }
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("fastweight"), data, fallback: true };
        // SAFETY: the caller's promise.
        let cache = unsafe { self.device.create_pipeline_cache(&descriptor) };
        *lock(&self.cache) = Some(cache);
    }

    pub(super) fn cache(&self) -> Option<wgpu::PipelineCache> {
        lock(&self.cache).clone()
    }

    /// The pipeline of a launch whose operands lie in these groups and bindings; compiled once.
    pub(crate) async fn pipeline(&self, launch: &Launch, places: &[(u32, u32)]) -> Result<Arc<Pipeline>, DeviceError> {
        let name = launch.name();
        let linked = shader::link(launch, places, Compiler::HERE);
        let linked = linked.map_err(|e| DeviceError::Shader { name: name.clone(), reason: e.to_string() })?;
        let overrides = launch.overrides.iter().map(|(n, v)| (*n, v.to_bits())).collect();
        let key = (linked, places.to_vec(), overrides);
        if let Some(pipeline) = lock(&self.pipelines).get(&key) {
            return Ok(pipeline.clone());
        }
        let rejected = |reason| DeviceError::Shader { name: name.clone(), reason };
        let memory = || DeviceError::OutOfMemory { what: name.clone(), bytes: 0 };
        let pipeline = self.scoped(|| self.compile(&name, launch, places, &key.0), memory, rejected).await?;
        let pipeline = Arc::new(pipeline);
        lock(&self.pipelines).insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, name: &str, launch: &Launch, places: &[(u32, u32)], linked: &Linked) -> Pipeline {
        let layouts: [Option<wgpu::BindGroupLayout>; 3] = std::array::from_fn(|group| {
            let entries: Vec<_> = places
                .iter()
                .zip(&linked.access)
                .filter(|((g, _), _)| *g == group as u32)
                .map(|((_, binding), access)| wgpu::BindGroupLayoutEntry {
                    binding: *binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    count: None,
                })
                .collect();
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries };
            (!entries.is_empty()).then(|| self.device.create_bind_group_layout(&descriptor))
        });
        let [slots, weights, states] = &layouts;
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[slots.as_ref(), weights.as_ref(), states.as_ref(), Some(&self.step_layout)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderSource::Wgsl(linked.source.as_str().into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
        #[expect(unsafe_code, reason = "our own loops end; a second counter beside each keeps drivers from unrolling them")]
        // SAFETY: every loop of every shader counts to a bound.
        let module = unsafe {
            let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
            self.device.create_shader_module_trusted(descriptor, checks)
        };
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &launch.overrides, ..Default::default() },
            cache: self.cache().as_ref(),
        });
        Pipeline { pipeline, layouts }
    }

    /// Maps a staging buffer and copies it out. Natively the device is polled here, so that awaiting never hangs.
    pub(crate) async fn read(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>, DeviceError> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let slice = staging.slice(..bytes);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone if the caller stopped waiting.
            let _ = sender.send(result);
        });
        #[cfg(not(target_arch = "wasm32"))]
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| DeviceError::Lost(e.to_string()))?;
        #[cfg(target_arch = "wasm32")]
        let receiver = self.nudged(receiver);
        self.check()?;
        let mapped = receiver.await.map_err(|_| DeviceError::Lost("while reading back".into()))?;
        mapped.map_err(|e| DeviceError::Lost(e.to_string()))?;
        let words = {
            let view = slice.get_mapped_range().map_err(|e| DeviceError::Validation(e.to_string()))?;
            bytemuck::pod_collect_to_vec(&view[..])
        };
        staging.unmap();
        CounterCells::add(&self.counters.bytes_down, bytes);
        Ok(words)
    }

    /// Waits for what the browser tells. Firefox looks only every 100 ms whether the GPU is done, unless something is submitted: at once,
    /// which is often enough for a small step, and then as often as timers let us.
    #[cfg(target_arch = "wasm32")]
    async fn nudged<T>(&self, waiting: impl Future<Output = T> + Unpin) -> T {
        use futures::future::{Either, select};
        let mut waiting = waiting;
        let mut first = true;
        loop {
            let turn = async {
                match std::mem::take(&mut first) {
                    true => super::web::macrotask().await,
                    false => super::web::sleep(1).await,
                }
            };
            match select(waiting, std::pin::pin!(turn)).await {
                Either::Left((told, _)) => return told,
                Either::Right(((), still)) => waiting = still,
            }
            self.queue.submit([]);
        }
    }

    /// Waits until all that was submitted is done.
    pub(crate) async fn wait(&self) -> Result<(), DeviceError> {
        #[cfg(not(target_arch = "wasm32"))]
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| DeviceError::Lost(e.to_string()))?;
        #[cfg(target_arch = "wasm32")]
        {
            let (sender, receiver) = futures::channel::oneshot::channel();
            self.queue.on_submitted_work_done(move || {
                let _ = sender.send(());
            });
            self.nudged(receiver).await.map_err(|_| DeviceError::Lost("while waiting".into()))?;
        }
        self.check()
    }
}

/// Mesa's LP_MAX_TGSI_LOOP_ITERATIONS: one counter for all loops of an invocation.
const LAVAPIPE_ROUNDS: u64 = 65_535;

/// Bytes of the step table that the shaders declare.
pub(crate) const STEP_BYTES: usize = size_of::<StepHead>() + MAX_SEQUENCES * size_of::<Sequence>();
