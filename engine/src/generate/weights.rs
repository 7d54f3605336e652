//! A model's weights on their way to a device: of files, or random.

use std::collections::{BTreeSet, HashSet};

use sha2::{Digest, Sha256};

use super::model::Progress;
use crate::device::Device;
use crate::error::Error;
use crate::exec::Weights;
use crate::graph::Weight;
use crate::load::{self, Checkpoint, LoadError};
use crate::plan::{Plan, PlanWeight};

mod random;

/// Bytes that are uploaded before they are waited for.
const UPLOAD: u64 = 64 << 20;

/// Where a model's weights come from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The files of a checkpoint.
    Files(&'a Checkpoint),
    /// A checkpoint that has only the shapes of its tensors, and a seed.
    Random(&'a Checkpoint, u64),
}

/// Bytes that a model takes on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its weights.
    pub weights: u64,
    /// The buffers that its programs work in.
    pub buffers: u64,
    /// The state of its sequences.
    pub state: u64,
}

impl Memory {
    /// What these plans of a model take together on a device.
    pub(super) fn of(plans: &[Plan], device: &Device) -> Memory {
        // A GPU keeps a copy of what does not grow, from before each submit of several runs.
        let state = |p: &Plan| p.states.bytes() + if device.is_cpu() { 0 } else { p.states.fixed_bytes() };
        let mut seen = BTreeSet::new();
        let distinct = plans.iter().flat_map(|p| &p.weights).filter(|w| seen.insert((w.label.clone(), w.desc.to_string())));
        Memory {
            weights: distinct.map(|w| w.desc.bytes() as u64).sum(),
            buffers: plans.iter().map(Plan::slot_bytes).sum(),
            state: plans.iter().map(state).max().unwrap_or(0),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.buffers + self.state
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Memory) -> Memory {
        let Memory { weights, buffers, state } = other;
        Memory { weights: self.weights + weights, buffers: self.buffers + buffers, state: self.state + state }
    }

    /// Refuses what is more than `had`, if that is known.
    pub(crate) fn within(&self, had: Option<u64>) -> Result<(), LoadError> {
        let (Memory { weights, buffers, state }, needed) = (self, self.total());
        match had {
            Some(had) if needed > had => {
                let what = format!("weights ({weights}), buffers ({buffers}) and state ({state})");
                Err(LoadError::OutOfMemory { what, needed, had })
            }
            _ => Ok(()),
        }
    }
}

/// The distinct weights of some plans.
fn distinct(plans: &[Plan]) -> Vec<&PlanWeight> {
    let mut seen = HashSet::new();
    plans.iter().flat_map(|p| &p.weights).filter(|w| seen.insert((&w.weight, &w.desc))).collect()
}

/// Brings the weights of `plans` to the device, and digests what tells the model from others of its sizes.
pub(super) async fn bring(
    origin: Origin<'_>,
    plans: &[Plan],
    weights: &mut Weights,
    hasher: &mut Sha256,
    progress: &mut Option<&mut dyn FnMut(Progress)>,
) -> Result<(), Error> {
    match origin {
        Origin::Files(checkpoint) => load_weights(checkpoint, plans, weights, hasher, progress).await,
        Origin::Random(shapes, seed) => {
            hasher.update(seed.to_le_bytes());
            random::fill(shapes, seed, &distinct(plans), weights).await
        }
    }
}

/// Whether a weight is that of a norm.
fn is_norm(weight: &Weight) -> bool {
    let of_norm = |name: &String| name.contains("norm") && name.ends_with(".weight");
    matches!(weight, Weight::Tensors { names, .. } if names.iter().all(of_norm))
}

async fn load_weights(
    checkpoint: &Checkpoint,
    plans: &[Plan],
    weights: &mut Weights,
    hasher: &mut Sha256,
    progress: &mut Option<&mut dyn FnMut(Progress)>,
) -> Result<(), Error> {
    let mut wanted = distinct(plans);
    // Each file is read from front to back.
    wanted.sort_by_key(|w| match &w.weight {
        Weight::Tensors { names, .. } => checkpoint.tensors.get(&names[0]).map_or((0, 0), |info| (info.file, info.offset)),
        Weight::Constant(_) => (0, 0),
    });
    let starts: Vec<&Weight> = plans.iter().flat_map(|p| &p.states.states).filter_map(|s| s.initial.as_ref()).collect();
    let total = wanted.iter().map(|w| w.desc.bytes() as u64).sum();
    let (mut loaded, mut waiting) = (0, 0);
    let mut digests: Vec<(String, Vec<u8>)> = Vec::new();
    for weight in wanted {
        // What tells models of the same sizes apart, and is held in f32 whatever the format of the matrices.
        let tells = starts.contains(&&weight.weight) || is_norm(&weight.weight);
        let mut digest = Sha256::new();
        let mut filling = weights.fill(weight).await?;
        let row_bytes = weight.desc.row_bytes();
        for (i, part) in weight.parts.iter().enumerate() {
            let (first, count) = (part.first as usize, part.count as usize);
            // Half-width pieces widen to twice their size on the way.
            let piece = (load::PIECE / row_bytes).max(1);
            for start in (0..count).step_by(piece) {
                let rows = piece.min(count - start);
                let words = load::weight_rows(checkpoint, weight, first + start, rows).await?;
                if tells {
                    digest.update(bytemuck::cast_slice(&words));
                }
                filling.write(i, start * row_bytes, &words);
                loaded += (rows * row_bytes) as u64;
                waiting += (rows * row_bytes) as u64;
                if let Some(progress) = progress {
                    progress(Progress { loaded, total });
                }
            }
        }
        filling.finish();
        if tells {
            digests.push((weight.label.clone(), digest.finalize().to_vec()));
        }
        if waiting >= UPLOAD {
            weights.flush().await?;
            waiting = 0;
        }
    }
    weights.flush().await?;
    digests.sort();
    digests.dedup();
    for (label, digest) in digests {
        hasher.update(label);
        hasher.update(digest);
    }
    Ok(())
}
