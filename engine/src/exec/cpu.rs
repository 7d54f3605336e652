//! The CPU device: a plan's steps, each by its kernel's reference.

use std::sync::{Arc, Mutex, PoisonError};

use web_time::Instant;

use super::Profile;
use crate::kernels::{Args, In, Out};
use crate::plan::{Place, Plan, StateLayout};
use crate::step::Step;

/// Words of a value in several parts.
pub(super) type Parts = Vec<Vec<u32>>;

/// The words of every state of a layout.
pub(super) fn zeros(layout: &StateLayout) -> Vec<Parts> {
    let part = |bytes: u64| vec![0; bytes as usize / 4];
    layout.states.iter().map(|s| s.parts.iter().map(|p| part(p.bytes)).collect()).collect()
}

/// Does all of a run in the thread pool: each kernel that went there by itself would put the calling thread to sleep and wake it.
#[cfg(not(target_arch = "wasm32"))]
fn inside_pool<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| run())
}

/// There is one thread.
#[cfg(target_arch = "wasm32")]
fn inside_pool<R>(run: impl FnOnce() -> R) -> R {
    run()
}

/// A plan with its weights and buffers.
pub(super) struct CpuProgram {
    plan: Arc<Plan>,
    weights: Vec<Arc<Parts>>,
    slots: Mutex<Vec<Vec<u32>>>,
}

impl CpuProgram {
    pub(super) fn new(plan: Arc<Plan>, weights: Vec<Arc<Parts>>) -> CpuProgram {
        let slots = plan.slots.iter().map(|bytes| vec![0; *bytes as usize / 4]).collect();
        CpuProgram { plan, weights, slots: Mutex::new(slots) }
    }

    /// Runs the plan and returns the words of the outputs in `reads`: the name, and how many words.
    pub(super) fn run(
        &self,
        states: &mut [Parts],
        step: &Step,
        inputs: &[(&str, &[u32])],
        reads: &[(&str, usize)],
        profile: Option<&Profile>,
    ) -> Vec<Vec<u32>> {
        // Held by this thread, not by one of the pool's: while such a one waits for its kernel's parts, it may take up another caller's run.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = &mut *slots;
        inside_pool(|| {
            for port in &self.plan.inputs {
                if let (Place::Slot(slot), Some((_, words))) = (port.place, inputs.iter().find(|i| i.0 == port.name)) {
                    slots[slot][..words.len()].copy_from_slice(words);
                }
            }
            for (i, s) in self.plan.steps.iter().enumerate() {
                let (read, written) = s.places.split_at(s.io.inputs.len());
                // Outputs leave their place while the kernel runs; the planner never reads a buffer that a step writes.
                let mut taken: Vec<Vec<u32>> = written.iter().map(|p| std::mem::take(self.words(slots, states, *p))).collect();
                let view = |place: &Place| -> &[u32] {
                    match *place {
                        Place::Slot(slot) => &slots[slot],
                        Place::Weight { weight, part } => &self.weights[weight][part],
                        Place::State { state, part } => &states[state][part],
                    }
                };
                let inputs = read.iter().zip(&s.io.inputs).map(|(p, operand)| In { operand, words: view(p) }).collect();
                let outputs = taken.iter_mut().zip(&s.io.outputs).map(|(words, operand)| Out { operand, words }).collect();
                let start = profile.map(|_| Instant::now());
                s.op.kernel().reference(&mut Args { step, part: s.part, inputs, outputs });
                if let (Some(profile), Some(start)) = (profile, start) {
                    profile.note(&self.plan, i, step, start);
                }
                for (place, words) in written.iter().zip(taken) {
                    *self.words(slots, states, *place) = words;
                }
            }
            let read = |&(name, words): &(&str, usize)| {
                let place = self.plan.output(name).map(|port| port.place);
                place.map_or(Vec::new(), |place| self.words(slots, states, place)[..words].to_vec())
            };
            reads.iter().map(read).collect()
        })
    }

    fn words<'a>(&self, slots: &'a mut [Vec<u32>], states: &'a mut [Parts], place: Place) -> &'a mut Vec<u32> {
        match place {
            Place::Slot(slot) => &mut slots[slot],
            Place::State { state, part } => &mut states[state][part],
            Place::Weight { .. } => unreachable!("no step writes a weight"),
        }
    }
}
