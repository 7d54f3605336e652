//! The tensors of a checkpoint as the families declare them in their graphs.

use std::collections::BTreeMap;

use crate::blocks::Format;
use crate::graph::{Graph, Pack, ValueId};
use crate::load::{Checkpoint, matrix_type};
use crate::tensor::{DType, Desc};

/// The types in which a model's tensors are held.
pub(super) struct Tensors {
    formats: BTreeMap<String, Format>,
    wanted: Option<DType>,
}

impl Tensors {
    /// Each matrix as the checkpoint has it, or as it is asked for.
    pub(super) fn new(checkpoint: &Checkpoint) -> Tensors {
        let formats = checkpoint.tensors.iter().map(|(name, info)| (name.clone(), info.format)).collect();
        Tensors { formats, wanted: checkpoint.dtype }
    }

    /// A matrix `[rows, columns]`, or the rows of several with one input, in the type that all of them are held in, or f32.
    pub(super) fn matrix(&self, g: &mut Graph, names: &[&str], rows: usize, columns: usize) -> ValueId {
        let own = |name: &&str| self.formats.get(*name).map_or(DType::F32, |format| format.held()).whole(columns);
        let dtype = |name: &&str| match self.wanted {
            Some(wanted) => matrix_type(name, wanted, columns),
            None => own(name),
        };
        let first = dtype(&names[0]);
        let dtype = if names.iter().all(|n| dtype(n) == first) { first } else { DType::F32 };
        g.weight(names, Pack::Stacked, Desc::fixed(dtype, &[rows, columns]))
    }

    /// A layer's small vector, or several end to end, in f32.
    pub(super) fn vector(&self, g: &mut Graph, names: &[&str], len: usize) -> ValueId {
        g.weight(names, Pack::Stacked, Desc::fixed(DType::F32, &[1, len]))
    }
}
