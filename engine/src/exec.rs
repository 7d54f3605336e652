//! Execution: a plan's buffers on a device, and its runs on inputs, states and step values. Knows no tokens.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::device::{Device, DeviceError, Kind};
use crate::graph::Weight;
use crate::plan::{Plan, PlanWeight, StateLayout};
use crate::step::Step;
use crate::tensor::Desc;

mod ahead;
mod burst;
mod cpu;
mod gpu;
mod profile;

pub use burst::{Elapsed, burst};
pub use profile::{Line, Profile};

/// Weights on a device, found by what fills them; shared by every plan that reads them.
#[derive(Clone)]
pub struct Weights {
    device: Device,
    stored: HashMap<(Weight, Desc), Stored>,
}

#[derive(Clone)]
enum Stored {
    Cpu(Arc<cpu::Parts>),
    Gpu(Arc<Vec<wgpu::Buffer>>),
}

/// Where one weight is filled, piece by piece.
pub struct Filling<'a> {
    weights: &'a mut Weights,
    weight: PlanWeight,
    cpu: cpu::Parts,
    gpu: Vec<wgpu::Buffer>,
}

impl Weights {
    /// No weights yet.
    pub fn new(device: &Device) -> Weights {
        Weights { device: device.clone(), stored: HashMap::new() }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether a weight of a plan is there.
    pub fn contains(&self, weight: &PlanWeight) -> bool {
        self.stored.contains_key(&(weight.weight.clone(), weight.desc.clone()))
    }

    /// Makes room for a weight.
    pub async fn fill(&mut self, weight: &PlanWeight) -> Result<Filling<'_>, DeviceError> {
        let bytes = |rows: u32| rows as usize * weight.desc.row_bytes();
        let (mut cpu, mut gpu) = (Vec::new(), Vec::new());
        match &self.device.kind {
            Kind::Cpu(_) => cpu.extend(weight.parts.iter().map(|p| vec![0; bytes(p.count).div_ceil(4)])),
            Kind::Gpu(device) => {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
                for part in &weight.parts {
                    gpu.push(device.buffer(&weight.label, bytes(part.count) as u64, usage).await?);
                }
            }
        }
        Ok(Filling { weights: self, weight: weight.clone(), cpu, gpu })
    }

    /// Waits until what was written has arrived, so that uploads don't pile up.
    pub async fn flush(&self) -> Result<(), DeviceError> {
        match &self.device.kind {
            Kind::Cpu(_) => Ok(()),
            Kind::Gpu(gpu) => {
                gpu.queue.submit([]);
                gpu.wait().await
            }
        }
    }

    fn get(&self, weight: &PlanWeight) -> &Stored {
        self.stored
            .get(&(weight.weight.clone(), weight.desc.clone()))
            .expect("the weights of every plan are loaded before it is prepared")
    }
}

impl Filling<'_> {
    /// Writes words from byte `offset` of part `part` on.
    pub fn write(&mut self, part: usize, offset: usize, words: &[u32]) {
        match &self.weights.device.kind {
            Kind::Cpu(_) => self.cpu[part][offset / 4..][..words.len()].copy_from_slice(words),
            Kind::Gpu(device) => device.write(&self.gpu[part], offset as u64, bytemuck::cast_slice(words)),
        }
    }

    /// Takes the words of a state with rows of as many bytes over, on the device.
    pub fn take(&mut self, states: &States, state: usize) {
        for (part, rows) in self.weight.parts.iter().enumerate() {
            let mut at = 0;
            for (source, from, bytes) in states.layout.ranges(state, rows.first as usize, rows.count as usize) {
                match &states.kind {
                    StatesKind::Cpu(states) => {
                        let words = &states[state][source][from as usize / 4..][..bytes as usize / 4];
                        self.cpu[part][at as usize / 4..][..words.len()].copy_from_slice(words);
                    }
                    StatesKind::Gpu(buffers) => {
                        buffers.copy_out(&states.layout.states[state].parts[source], from, &self.gpu[part], at, bytes)
                    }
                }
                at += bytes;
            }
        }
    }

    /// The weight is whole.
    pub fn finish(self) {
        let stored = match &self.weights.device.kind {
            Kind::Cpu(_) => Stored::Cpu(Arc::new(self.cpu)),
            Kind::Gpu(_) => Stored::Gpu(Arc::new(self.gpu)),
        };
        self.weights.stored.insert((self.weight.weight, self.weight.desc), stored);
    }
}

/// The states of a session on a device.
pub struct States {
    layout: Arc<StateLayout>,
    kind: StatesKind,
    /// On the CPU, the copy of what does not grow that [`States::rewind`] puts back: the state and its words.
    kept: Vec<(usize, cpu::Parts)>,
}

enum StatesKind {
    Cpu(Vec<cpu::Parts>),
    Gpu(gpu::GpuStates),
}

impl States {
    /// States as a session starts with: zeros, or a weight.
    pub async fn new(device: &Device, layout: &Arc<StateLayout>, plan: &Plan, weights: &Weights) -> Result<States, DeviceError> {
        let kind = match &device.kind {
            Kind::Cpu(_) => StatesKind::Cpu(cpu::zeros(layout)),
            Kind::Gpu(gpu) => StatesKind::Gpu(gpu::GpuStates::new(gpu.clone(), layout).await?),
        };
        let mut states = States { layout: layout.clone(), kind, kept: Vec::new() };
        states.reset(plan, weights);
        Ok(states)
    }

    /// The layout of the states.
    pub fn layout(&self) -> &Arc<StateLayout> {
        &self.layout
    }

    /// Puts every state back to its start.
    pub fn reset(&mut self, plan: &Plan, weights: &Weights) {
        let layout = self.layout.clone();
        for (s, place) in layout.states.iter().enumerate() {
            let Some(initial) = &place.initial else {
                self.zero(s);
                continue;
            };
            let weight = plan.weights.iter().find(|w| w.weight == *initial).expect("a plan lists the start of every state");
            // Every sequence starts at the same rows.
            for first in (0..place.desc.rows()).step_by(weight.desc.rows()) {
                self.copy_weight(s, first, weight, weights);
            }
        }
    }

    fn zero(&mut self, state: usize) {
        match &mut self.kind {
            StatesKind::Cpu(states) => states[state].iter_mut().for_each(|part| part.fill(0)),
            StatesKind::Gpu(states) => states.zero(&self.layout.states[state]),
        }
    }

    fn copy_weight(&mut self, state: usize, first: usize, weight: &PlanWeight, weights: &Weights) {
        for part in 0..weight.parts.len() {
            let rows = weight.parts[part];
            let row_bytes = weight.desc.row_bytes() as u64;
            let mut from = 0;
            for (target, to, bytes) in self.layout.ranges(state, first + rows.first as usize, rows.count as usize) {
                match (&mut self.kind, weights.get(weight)) {
                    (StatesKind::Cpu(states), Stored::Cpu(weight)) => {
                        let words = &weight[part][from as usize / 4..][..bytes as usize / 4];
                        states[state][target][to as usize / 4..][..words.len()].copy_from_slice(words);
                    }
                    (StatesKind::Gpu(states), Stored::Gpu(weight)) => {
                        states.copy(&weight[part], from, &self.layout.states[state].parts[target], to, bytes);
                    }
                    _ => unreachable!("weights and states are on one device"),
                }
                from += bytes;
            }
            debug_assert_eq!(from, u64::from(rows.count) * row_bytes);
        }
    }

    /// Writes rows of a state from row `first` on.
    pub fn write(&mut self, state: usize, first: usize, words: &[u32]) {
        let row = self.layout.states[state].desc.row_bytes() / 4;
        self.write_ranges(state, self.layout.ranges(state, first, words.len() / row), words);
    }

    /// Writes what one of `sequences` sequences has in a state after `position` tokens.
    pub fn write_used(&mut self, state: usize, sequence: usize, sequences: usize, position: usize, words: &[u32]) {
        self.write_ranges(state, self.layout.used(state, sequence, sequences, position), words);
    }

    fn write_ranges(&mut self, state: usize, ranges: Vec<(usize, u64, u64)>, words: &[u32]) {
        let mut from = 0;
        for (part, to, bytes) in ranges {
            let piece = &words[from..from + bytes as usize / 4];
            match &mut self.kind {
                StatesKind::Cpu(states) => states[state][part][to as usize / 4..][..piece.len()].copy_from_slice(piece),
                StatesKind::Gpu(states) => states.write(&self.layout.states[state].parts[part], to, piece),
            }
            from += piece.len();
        }
    }

    /// Reads what one of `sequences` sequences has in every state after `position` tokens.
    pub async fn read(&self, sequence: usize, sequences: usize, position: usize) -> Result<Vec<Vec<u32>>, DeviceError> {
        let used = |s: usize| self.layout.used(s, sequence, sequences, position).into_iter().map(move |range| (s, range));
        let ranges: Vec<_> = (0..self.layout.states.len()).flat_map(used).collect();
        let words = self.read_ranges(&ranges).await?;
        let (mut all, mut rest) = (vec![Vec::new(); self.layout.states.len()], &words[..]);
        for (s, (_, _, bytes)) in ranges {
            let (piece, after) = rest.split_at(bytes as usize / 4);
            all[s].extend_from_slice(piece);
            rest = after;
        }
        Ok(all)
    }

    /// Reads rows of some states, end to end: of each the state, the first row, and how many.
    pub async fn read_rows(&self, rows: &[(usize, usize, usize)]) -> Result<Vec<u32>, DeviceError> {
        let ranges =
            rows.iter().flat_map(|&(s, first, n)| self.layout.ranges(s, first, n).into_iter().map(move |range| (s, range)));
        self.read_ranges(&ranges.collect::<Vec<_>>()).await
    }

    /// The words of ranges of states, end to end: of each the state, the part, and the first byte and bytes within it.
    async fn read_ranges(&self, ranges: &[(usize, (usize, u64, u64))]) -> Result<Vec<u32>, DeviceError> {
        match &self.kind {
            StatesKind::Cpu(states) => {
                let words = |&(s, (part, from, bytes)): &(usize, (usize, u64, u64))| {
                    &states[s][part][from as usize / 4..][..bytes as usize / 4]
                };
                Ok(ranges.iter().flat_map(words).copied().collect())
            }
            StatesKind::Gpu(states) => {
                let place =
                    |&(s, (part, from, bytes)): &(usize, (usize, u64, u64))| (&self.layout.states[s].parts[part], from, bytes);
                states.read(&ranges.iter().map(place).collect::<Vec<_>>()).await
            }
        }
    }

    /// The same states in another layout, with more room where they grow, of sequences at these positions.
    pub async fn grown(&self, layout: &Arc<StateLayout>, positions: &[u32]) -> Result<States, DeviceError> {
        let mut pieces = Vec::new();
        for state in 0..layout.states.len() {
            for (sequence, position) in positions.iter().enumerate() {
                let used = |layout: &StateLayout| layout.used(state, sequence, positions.len(), *position as usize);
                pieces.extend(Piece::between(state, used(&self.layout), used(layout)));
            }
        }
        let kind = match &self.kind {
            StatesKind::Cpu(states) => {
                let mut grown = cpu::zeros(layout);
                for Piece { state, from, to, bytes } in pieces {
                    let words = &states[state][from.0][from.1 as usize / 4..][..bytes as usize / 4];
                    grown[state][to.0][to.1 as usize / 4..][..words.len()].copy_from_slice(words);
                }
                StatesKind::Cpu(grown)
            }
            StatesKind::Gpu(states) => StatesKind::Gpu(states.grown(&self.layout, layout, &pieces).await?),
        };
        Ok(States { layout: layout.clone(), kind, kept: Vec::new() })
    }

    /// A copy on the same device.
    pub async fn duplicate(&self) -> Result<States, DeviceError> {
        let kind = match &self.kind {
            StatesKind::Cpu(states) => StatesKind::Cpu(states.clone()),
            StatesKind::Gpu(states) => StatesKind::Gpu(states.duplicate(&self.layout).await?),
        };
        Ok(States { layout: self.layout.clone(), kind, kept: Vec::new() })
    }
}

/// A run of bytes that a state has in two layouts.
struct Piece {
    state: usize,
    /// The part, and the first byte within it.
    from: (usize, u64),
    to: (usize, u64),
    bytes: u64,
}

impl Piece {
    /// The runs that two lists of ranges of the same bytes have in common.
    fn between(state: usize, from: Vec<(usize, u64, u64)>, to: Vec<(usize, u64, u64)>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut from, mut to) = (from.into_iter(), to.into_iter());
        let (mut a, mut b) = (from.next(), to.next());
        while let (Some((from_part, from_start, from_bytes)), Some((to_part, to_start, to_bytes))) = (a, b) {
            let bytes = from_bytes.min(to_bytes);
            pieces.push(Piece { state, from: (from_part, from_start), to: (to_part, to_start), bytes });
            let rest = |range: (usize, u64, u64)| (range.2 > bytes).then(|| (range.0, range.1 + bytes, range.2 - bytes));
            a = rest((from_part, from_start, from_bytes)).or_else(|| from.next());
            b = rest((to_part, to_start, to_bytes)).or_else(|| to.next());
        }
        pieces
    }
}

/// A plan made ready on a device: pipelines, buffers, bindings.
pub struct Program {
    device: Device,
    plan: Arc<Plan>,
    kind: ProgramKind,
}

enum ProgramKind {
    Cpu(cpu::CpuProgram),
    Gpu(gpu::GpuProgram),
}

/// A run under way.
pub struct Run {
    kind: RunKind,
}

enum RunKind {
    Done(Vec<Vec<u32>>),
    Gpu(gpu::GpuRun),
}

impl Program {
    /// Prepares `plan`, whose weights are loaded.
    pub async fn new(device: &Device, plan: Arc<Plan>, weights: &Weights) -> Result<Program, DeviceError> {
        let stored: Vec<&Stored> = plan.weights.iter().map(|w| weights.get(w)).collect();
        let kind = match &device.kind {
            Kind::Cpu(_) => {
                let parts = |stored: &&Stored| match stored {
                    Stored::Cpu(parts) => parts.clone(),
                    Stored::Gpu(_) => unreachable!("weights and plan are on one device"),
                };
                ProgramKind::Cpu(cpu::CpuProgram::new(plan.clone(), stored.iter().map(parts).collect()))
            }
            Kind::Gpu(gpu) => {
                let buffers = |stored: &&Stored| match stored {
                    Stored::Gpu(buffers) => buffers.clone(),
                    Stored::Cpu(_) => unreachable!("weights and plan are on one device"),
                };
                let weights = stored.iter().map(buffers).collect();
                ProgramKind::Gpu(gpu::GpuProgram::new(gpu.clone(), plan.clone(), weights).await?)
            }
        };
        Ok(Program { device: device.clone(), plan, kind })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether the next run is of its usual speed: some GPU drivers compile only in the first.
    pub fn is_warm(&self) -> bool {
        match &self.kind {
            ProgramKind::Cpu(_) => true,
            ProgramKind::Gpu(program) => program.has_run.load(Ordering::Relaxed),
        }
    }

    /// Starts a run: writes the inputs (name and words), runs all steps in one submit, and takes a copy of the outputs in
    /// `reads` (name, and how many words), which [`Run::finish`] returns.
    pub fn run(
        &self,
        states: &mut States,
        step: &Step,
        inputs: &[(&str, &[u32])],
        reads: &[(&str, usize)],
    ) -> Result<Run, DeviceError> {
        let kind = match (&self.kind, &mut states.kind) {
            (ProgramKind::Cpu(program), StatesKind::Cpu(states)) => {
                let outputs = program.run(states, step, inputs, reads, self.device.profile());
                let Kind::Cpu(cells) = &self.device.kind else { unreachable!("a CPU program is on the CPU device") };
                let up = size_of_val(&step.head)
                    + size_of_val(&step.sequences[..])
                    + inputs.iter().map(|i| size_of_val(i.1)).sum::<usize>();
                for (cell, n) in [
                    (&cells.dispatches, self.plan.steps.len()),
                    (&cells.passes, 1),
                    (&cells.submits, 1),
                    (&cells.bytes_up, up),
                    (&cells.bytes_down, outputs.iter().map(|o| o.len() * 4).sum()),
                ] {
                    crate::device::count(cell, n as u64);
                }
                RunKind::Done(outputs)
            }
            (ProgramKind::Gpu(program), StatesKind::Gpu(states)) => {
                RunKind::Gpu(program.run(states, std::slice::from_ref(step), inputs, reads, self.device.profile())?)
            }
            _ => unreachable!("plan and states are on one device"),
        };
        Ok(Run { kind })
    }
}

impl Run {
    /// Waits for the run and returns the words of the outputs that were asked for.
    pub async fn finish(self) -> Result<Vec<Vec<u32>>, DeviceError> {
        match self.kind {
            RunKind::Done(outputs) => Ok(outputs),
            RunKind::Gpu(run) => run.finish().await,
        }
    }
}
