//! The tensors of a checkpoint as the families declare them in their graphs.

use std::collections::BTreeMap;

use crate::graph::{Graph, Pack, ValueId};
use crate::load::Checkpoint;
use crate::tensor::{DType, Desc};

/// The element types in which a model's tensors are held.
pub(super) struct Tensors {
    stored: BTreeMap<String, DType>,
}

impl Tensors {
    /// Each matrix as the checkpoint has it.
    pub(super) fn new(checkpoint: &Checkpoint) -> Tensors {
        Tensors { stored: checkpoint.tensors.iter().map(|(name, info)| (name.clone(), info.dtype)).collect() }
    }

    /// A matrix `[rows, columns]`, or the rows of several with one input, in the type that the checkpoint has all of them in.
    pub(super) fn matrix(&self, g: &mut Graph, names: &[&str], rows: usize, columns: usize) -> ValueId {
        let dtype = |name: &&str| self.stored.get(*name).copied().unwrap_or(DType::F32);
        let first = dtype(&names[0]);
        let dtype = if names.iter().all(|n| dtype(n) == first) { first } else { DType::F32 };
        g.weight(names, Pack::Stacked, Desc::fixed(dtype, &[rows, columns]))
    }

    /// A layer's small vector, or several end to end, in f32.
    pub(super) fn vector(&self, g: &mut Graph, names: &[&str], len: usize) -> ValueId {
        g.weight(names, Pack::Stacked, Desc::fixed(DType::F32, &[1, len]))
    }
}
