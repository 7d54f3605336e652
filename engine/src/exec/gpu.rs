//! The GPU executor: one pass and one submit a run, bind groups by owner.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Piece, Profile};
use crate::device::Pipeline;
use crate::device::{DeviceError, Gpu, STEP_BYTES, Stamps, count};
use crate::plan::{Place, Plan, StateLayout, StatePart, StatePlace};
use crate::step::{MAX_RUNS, Part, Step};

/// The states' buffers, and the bind groups over them that each program made.
pub(super) struct GpuStates {
    gpu: Arc<Gpu>,
    buffers: Vec<wgpu::Buffer>,
    /// A copy of what does not grow, once a submit of several runs was wanted: a buffer for each range of [`StateLayout::fixed`].
    pub(super) kept: Vec<wgpu::Buffer>,
    /// By program: the group 2 of each step, made on the session's first run of it.
    groups: Vec<(usize, Arc<Vec<Option<wgpu::BindGroup>>>)>,
}

const STATE_USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

impl GpuStates {
    pub(super) async fn new(gpu: Arc<Gpu>, layout: &StateLayout) -> Result<GpuStates, DeviceError> {
        let mut buffers = Vec::new();
        for bytes in &layout.buffers {
            buffers.push(gpu.buffer("session state", *bytes, STATE_USAGE).await?);
        }
        Ok(GpuStates { gpu, buffers, kept: Vec::new(), groups: Vec::new() })
    }

    fn encode(&self, work: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        work(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        count(&self.gpu.counters.submits, 1);
    }

    /// Makes room for a copy of what does not grow.
    pub(super) async fn make_kept(&mut self, layout: &StateLayout) -> Result<(), DeviceError> {
        if self.kept.is_empty() {
            for (_, _, bytes) in layout.fixed() {
                self.kept.push(self.gpu.buffer("kept state", bytes, STATE_USAGE).await?);
            }
        }
        Ok(())
    }

    /// Copies what does not grow, before the runs that follow in the same submit.
    fn keep(&self, layout: &StateLayout, encoder: &mut wgpu::CommandEncoder) {
        for ((buffer, start, bytes), kept) in layout.fixed().into_iter().zip(&self.kept) {
            encoder.copy_buffer_to_buffer(&self.buffers[buffer], start, kept, 0, bytes);
        }
    }

    /// Puts the copy back.
    pub(super) fn rewind(&mut self, layout: &StateLayout) {
        self.encode(|e| {
            for ((buffer, start, bytes), kept) in layout.fixed().into_iter().zip(&self.kept) {
                e.copy_buffer_to_buffer(kept, 0, &self.buffers[buffer], start, bytes);
            }
        });
    }

    pub(super) fn zero(&mut self, place: &StatePlace) {
        self.encode(|e| place.parts.iter().for_each(|p| e.clear_buffer(&self.buffers[p.buffer], p.offset, Some(p.bytes))));
    }

    pub(super) fn copy(&mut self, from: &wgpu::Buffer, offset: u64, part: &StatePart, to: u64, bytes: u64) {
        self.encode(|e| e.copy_buffer_to_buffer(from, offset, &self.buffers[part.buffer], part.offset + to, bytes));
    }

    /// The other way round.
    pub(super) fn copy_out(&self, part: &StatePart, from: u64, target: &wgpu::Buffer, to: u64, bytes: u64) {
        self.encode(|e| e.copy_buffer_to_buffer(&self.buffers[part.buffer], part.offset + from, target, to, bytes));
    }

    pub(super) fn write(&mut self, part: &StatePart, to: u64, words: &[u32]) {
        self.gpu.write(&self.buffers[part.buffer], part.offset + to, bytemuck::cast_slice(words));
    }

    /// The words of some ranges, end to end. Small ones come back together: every wait takes a browser milliseconds.
    pub(super) async fn read(&self, mut ranges: &[(&StatePart, u64, u64)]) -> Result<Vec<u32>, DeviceError> {
        const TOGETHER: u64 = 32 << 20;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let mut words = Vec::new();
        while let Some((_, _, first)) = ranges.first() {
            let (mut bytes, mut n) = (*first, 1);
            while let Some((_, _, next)) = ranges.get(n).filter(|range| bytes + range.2 <= TOGETHER) {
                (bytes, n) = (bytes + next, n + 1);
            }
            let (together, rest) = ranges.split_at(n);
            let staging = self.gpu.buffer("read back", bytes, usage).await?;
            self.encode(|e| {
                let mut to = 0;
                for (part, from, bytes) in together {
                    e.copy_buffer_to_buffer(&self.buffers[part.buffer], part.offset + from, &staging, to, *bytes);
                    to += bytes;
                }
            });
            words.extend(self.gpu.read(&staging, bytes).await?);
            ranges = rest;
        }
        Ok(words)
    }

    /// The same states in another layout, of which `pieces` are copied.
    pub(super) async fn grown(&self, from: &StateLayout, to: &StateLayout, pieces: &[Piece]) -> Result<GpuStates, DeviceError> {
        let grown = GpuStates::new(self.gpu.clone(), to).await?;
        self.encode(|e| {
            for p in pieces {
                let (source, target) = (&from.states[p.state].parts[p.from.0], &to.states[p.state].parts[p.to.0]);
                let (source_at, target_at) = (source.offset + p.from.1, target.offset + p.to.1);
                let (source, target) = (&self.buffers[source.buffer], &grown.buffers[target.buffer]);
                e.copy_buffer_to_buffer(source, source_at, target, target_at, p.bytes);
            }
        });
        self.gpu.check()?;
        Ok(grown)
    }

    pub(super) async fn duplicate(&self, layout: &StateLayout) -> Result<GpuStates, DeviceError> {
        let copy = GpuStates::new(self.gpu.clone(), layout).await?;
        self.encode(|e| {
            for (from, to) in self.buffers.iter().zip(&copy.buffers) {
                e.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
        });
        self.gpu.check()?;
        Ok(copy)
    }
}

/// The group 2 of each step of a program.
type Groups = [Option<wgpu::BindGroup>];

/// Entries of a uniform buffer that are found by dynamic offset begin at multiples of this: WebGPU's default.
const ENTRY: usize = 256;

/// One dispatch, ready to be encoded.
struct GpuStep {
    pipeline: Arc<Pipeline>,
    /// Groups 0 and 1.
    groups: [Option<wgpu::BindGroup>; 2],
    /// Where in the table its part is.
    part_offset: u32,
}

pub(super) struct GpuProgram {
    pub(super) gpu: Arc<Gpu>,
    plan: Arc<Plan>,
    steps: Vec<GpuStep>,
    slots: Vec<wgpu::Buffer>,
    step_buffer: wgpu::Buffer,
    step_group: wgpu::BindGroup,
    /// Staging buffers to read back through, free ones.
    staging: Arc<Mutex<Vec<wgpu::Buffer>>>,
    step_bytes: Mutex<Vec<u8>>,
    pub(super) has_run: AtomicBool,
    id: usize,
}

/// The group of an operand's owner, and its binding there.
fn bindings(places: &[Place]) -> Vec<(u32, u32)> {
    let mut next = [0u32; 3];
    let group = |place: &Place| match place {
        Place::Slot(_) => 0,
        Place::Weight { .. } => 1,
        Place::State { .. } => 2,
    };
    let mut binding = |place: &Place| {
        let group = group(place);
        next[group] += 1;
        (group as u32, next[group] - 1)
    };
    places.iter().map(&mut binding).collect()
}

impl GpuProgram {
    pub(super) async fn new(
        gpu: Arc<Gpu>,
        plan: Arc<Plan>,
        weights: Vec<Arc<Vec<wgpu::Buffer>>>,
    ) -> Result<GpuProgram, DeviceError> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let mut slots = Vec::new();
        for bytes in &plan.slots {
            slots.push(gpu.buffer("plan slot", *bytes, usage).await?);
        }
        // Each distinct part has an entry of a constant table, found by dynamic offset.
        let mut parts: Vec<Part> = Vec::new();
        let mut table = Vec::new();
        let mut steps = Vec::new();
        let placed: Vec<_> = plan.steps.iter().map(|step| (&step.launch, bindings(&step.places))).collect();
        let pipelines = gpu.pipelines(&placed).await?;
        for ((step, (_, places)), pipeline) in plan.steps.iter().zip(&placed).zip(pipelines) {
            let entry = parts.iter().position(|p| *p == step.part).unwrap_or_else(|| {
                table.resize(parts.len() * ENTRY, 0u8);
                table.extend_from_slice(bytemuck::bytes_of(&step.part));
                parts.push(step.part);
                parts.len() - 1
            });
            let buffer = |place: &Place| match *place {
                Place::Slot(slot) => Some(&slots[slot]),
                Place::Weight { weight, part } => Some(&weights[weight][part]),
                Place::State { .. } => None,
            };
            let group = |group: usize| {
                let entries: Vec<_> = step
                    .places
                    .iter()
                    .zip(places)
                    .filter(|(_, (g, _))| *g == group as u32)
                    .filter_map(|(place, (_, binding))| {
                        Some(wgpu::BindGroupEntry { binding: *binding, resource: buffer(place)?.as_entire_binding() })
                    })
                    .collect();
                let layout = pipeline.layouts[group].as_ref()?;
                let descriptor = wgpu::BindGroupDescriptor { label: Some(&step.label), layout, entries: &entries };
                Some(gpu.device.create_bind_group(&descriptor))
            };
            let groups = [group(0), group(1)];
            steps.push(GpuStep { pipeline, groups, part_offset: (entry * ENTRY) as u32 });
        }
        table.resize(parts.len().max(1) * ENTRY, 0);
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let step_bytes = (MAX_RUNS - 1) * STEP_BYTES.next_multiple_of(ENTRY) + STEP_BYTES;
        let step_buffer = gpu.buffer("step values", step_bytes as u64, uniform).await?;
        let part_buffer = gpu.buffer("parts", table.len() as u64, uniform).await?;
        gpu.write(&part_buffer, 0, &table);
        let entry = |buffer, bytes: usize| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size: wgpu::BufferSize::new(bytes as u64) })
        };
        let step_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step values"),
            layout: &gpu.step_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: entry(&step_buffer, STEP_BYTES) },
                wgpu::BindGroupEntry { binding: 1, resource: entry(&part_buffer, size_of::<Part>()) },
            ],
        });
        gpu.check()?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (staging, step_bytes, has_run) = (Arc::default(), Mutex::default(), AtomicBool::new(false));
        Ok(GpuProgram { gpu, plan, steps, slots, step_buffer, step_group, staging, step_bytes, has_run, id })
    }

    /// The group 2 of each step over a session's states, made on its first run.
    pub(super) fn state_groups(&self, states: &mut GpuStates) -> Arc<Vec<Option<wgpu::BindGroup>>> {
        if let Some((_, groups)) = states.groups.iter().find(|g| g.0 == self.id) {
            return groups.clone();
        }
        let group = |(step, gpu_step): (&crate::plan::PlanStep, &GpuStep)| {
            let mut entries = Vec::new();
            for (place, (_, binding)) in step.places.iter().zip(bindings(&step.places)) {
                let Place::State { state, part } = *place else { continue };
                let part = &self.plan.states.states[state].parts[part];
                let buffer = &states.buffers[part.buffer];
                let range = wgpu::BufferBinding { buffer, offset: part.offset, size: wgpu::BufferSize::new(part.bytes) };
                entries.push(wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(range) });
            }
            let layout = gpu_step.pipeline.layouts[2].as_ref()?;
            let descriptor = wgpu::BindGroupDescriptor { label: Some(&step.label), layout, entries: &entries };
            Some(self.gpu.device.create_bind_group(&descriptor))
        };
        let groups: Arc<Vec<_>> = Arc::new(self.plan.steps.iter().zip(&self.steps).map(group).collect());
        states.groups.push((self.id, groups.clone()));
        groups
    }

    /// Writes the step values of the runs that follow, and says where those of each are.
    pub(super) fn write_steps(&self, steps: &[Step]) -> Vec<u32> {
        let mut bytes = self.step_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.clear();
        let mut offsets = Vec::new();
        for step in steps {
            let start = bytes.len().next_multiple_of(ENTRY);
            bytes.resize(start, 0);
            offsets.push(start as u32);
            step.append_bytes(&mut bytes);
        }
        self.gpu.write(&self.step_buffer, 0, &bytes);
        offsets
    }

    /// Encodes a run into a pass, and says how many dispatches it was.
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, state_groups: &Groups, (step, at): (&Step, u32)) -> u64 {
        (0..self.steps.len()).map(|i| u64::from(self.encode_step(pass, state_groups, (step, at), i))).sum()
    }

    /// Encodes one step, unless this run has nothing for it.
    fn encode_step(&self, pass: &mut wgpu::ComputePass<'_>, state_groups: &Groups, (step, at): (&Step, u32), i: usize) -> bool {
        let (planned, ready) = (&self.plan.steps[i], &self.steps[i]);
        let [x, y] = planned.launch.grid.folded(step, planned.part, self.plan.caps.workgroups_axis);
        if x == 0 {
            return false;
        }
        pass.set_pipeline(&ready.pipeline.pipeline);
        for (i, group) in ready.groups.iter().chain([&state_groups[i]]).enumerate() {
            if let Some(group) = group {
                pass.set_bind_group(i as u32, group, &[]);
            }
        }
        pass.set_bind_group(3, &self.step_group, &[at, ready.part_offset]);
        pass.dispatch_workgroups(x, y, 1);
        true
    }

    /// Encodes a run with a pass for each step, between stamps.
    fn encode_stamped(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        state_groups: &Groups,
        step: &Step,
        stamps: &Stamps,
    ) -> Vec<usize> {
        let mut encoded = Vec::new();
        for i in 0..self.steps.len() {
            let grid = self.plan.steps[i].launch.grid.folded(step, self.plan.steps[i].part, self.plan.caps.workgroups_axis);
            if grid[0] == 0 {
                continue;
            }
            let timestamp_writes = Some(stamps.around(encoded.len()));
            let label = Some(self.plan.steps[i].label.as_str());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
            self.encode_step(&mut pass, state_groups, (step, 0), i);
            encoded.push(i);
        }
        encoded
    }

    /// Runs the plan once for each of `steps`, in one submit. Before more than one run what does not grow of the states is copied.
    pub(super) fn run(
        &self,
        states: &mut GpuStates,
        steps: &[Step],
        inputs: &[(&str, &[u32])],
        reads: &[(&str, usize)],
        profile: Option<&Profile>,
    ) -> Result<GpuRun, DeviceError> {
        let gpu = &self.gpu;
        for port in &self.plan.inputs {
            if let (Place::Slot(slot), Some((_, words))) = (port.place, inputs.iter().find(|i| i.0 == port.name)) {
                gpu.write(&self.slots[slot], 0, bytemuck::cast_slice(words));
            }
        }
        let offsets = self.write_steps(steps);
        let state_groups = self.state_groups(states);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if steps.len() > 1 {
            states.keep(&self.plan.states, &mut encoder);
        }
        let stamped = profile.and_then(|profile| Some((profile, gpu.stamps(self.steps.len())?)));
        let (dispatches, passes) = match (stamped, steps) {
            (Some((profile, stamps)), [step]) => {
                let steps = self.encode_stamped(&mut encoder, &state_groups, step, &stamps);
                let n = steps.len() as u64;
                stamps.resolve(&mut encoder);
                profile.wait_for(gpu, stamps, &self.plan, step, steps);
                (n, n)
            }
            _ => {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                (steps.iter().zip(offsets).map(|run| self.encode(&mut pass, &state_groups, run)).sum(), 1)
            }
        };
        count(&gpu.counters.dispatches, dispatches);
        count(&gpu.counters.passes, passes);
        let total: u64 = reads.iter().map(|r| r.1 as u64 * 4).sum();
        let staging = if total == 0 { None } else { Some(self.take_staging(total)) };
        let mut at = 0;
        for (name, words) in reads {
            let (Some(staging), Some(port)) = (&staging, self.plan.output(name)) else { continue };
            let (buffer, offset) = match port.place {
                Place::Slot(slot) => (&self.slots[slot], 0),
                Place::State { state, part } => {
                    let part = &self.plan.states.states[state].parts[part];
                    (&states.buffers[part.buffer], part.offset)
                }
                Place::Weight { .. } => unreachable!("a weight is no output"),
            };
            encoder.copy_buffer_to_buffer(buffer, offset, staging, at, *words as u64 * 4);
            at += *words as u64 * 4;
        }
        gpu.queue.submit([encoder.finish()]);
        self.has_run.store(true, Ordering::Relaxed);
        count(&gpu.counters.submits, 1);
        gpu.check()?;
        let lengths = reads.iter().map(|r| r.1).collect();
        let profile = profile.cloned();
        Ok(GpuRun { gpu: gpu.clone(), staging, pool: self.staging.clone(), total, lengths, profile })
    }

    /// A staging buffer of at least `bytes`, kept from an earlier run where one fits.
    fn take_staging(&self, bytes: u64) -> wgpu::Buffer {
        let mut pool = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = pool.iter().position(|b| b.size() >= bytes) {
            return pool.swap_remove(i);
        }
        count(&self.gpu.counters.bytes_made, bytes);
        self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }
}

/// A submitted run.
pub(super) struct GpuRun {
    gpu: Arc<Gpu>,
    staging: Option<wgpu::Buffer>,
    pool: Arc<Mutex<Vec<wgpu::Buffer>>>,
    total: u64,
    lengths: Vec<usize>,
    profile: Option<Profile>,
}

impl GpuRun {
    pub(super) async fn finish(self) -> Result<Vec<Vec<u32>>, DeviceError> {
        if let Some(profile) = self.profile.as_ref().filter(|profile| profile.is_full()) {
            profile.collect().await?;
        }
        let Some(staging) = self.staging else {
            return self.gpu.wait().await.map(|()| vec![Vec::new(); self.lengths.len()]);
        };
        let words = self.gpu.read(&staging, self.total).await?;
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(staging);
        let mut rest = &words[..];
        let mut outputs = Vec::new();
        for length in self.lengths {
            let (output, after) = rest.split_at(length);
            outputs.push(output.to_vec());
            rest = after;
        }
        Ok(outputs)
    }
}
