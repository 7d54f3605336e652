//! Where the states of a session lie: a group (a layer) shares a buffer, and each state is bound by its own range.

use super::{PlanError, divide};
use crate::caps::Caps;
use crate::graph::{Graph, Source, Weight};
use crate::step::Part;
use crate::tensor::Desc;

/// A range of a buffer that holds whole rows of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePart {
    /// The rows.
    pub rows: Part,
    /// Position in [`StateLayout::buffers`].
    pub buffer: usize,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A state and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct StatePlace {
    /// Its name in files and messages.
    pub name: String,
    /// Element type and shape over all sequences.
    pub desc: Desc,
    /// Whether it is `[sequences, context, …]`, each sequence's rows in use up to its position only.
    pub grows: bool,
    /// What a session starts with, if not zeros: a weight with the rows of one sequence.
    pub initial: Option<Weight>,
    /// Its ranges.
    pub parts: Vec<StatePart>,
}

/// The states of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateLayout {
    /// In order of declaration.
    pub states: Vec<StatePlace>,
    /// Bytes of each buffer.
    pub buffers: Vec<u64>,
}

impl StateLayout {
    /// Lays out the states of `graph`.
    pub(super) fn new(graph: &Graph, caps: &Caps) -> Result<StateLayout, PlanError> {
        let had = caps.binding_bytes.min(caps.buffer_bytes);
        let mut layout = StateLayout::default();
        let mut open: Option<(&str, usize)> = None;
        for state in &graph.states {
            // A kernel that divides its states divides them alike: the widest of the group with as many rows decides.
            let widest = graph.states.iter().filter(|s| s.group == state.group && s.desc.rows() == state.desc.rows());
            let row_bytes = widest.map(|s| s.desc.row_bytes()).max().unwrap_or(1);
            let parts = divide(state.desc.rows(), row_bytes, had).ok_or_else(|| PlanError::TooLarge {
                label: state.name.clone(),
                needed: row_bytes as u64,
                had,
            })?;
            let mut places = Vec::new();
            for rows in parts {
                let bytes = u64::from(rows.count) * state.desc.row_bytes() as u64;
                let fits =
                    |buffer: usize| layout.buffers[buffer].next_multiple_of(caps.offset_alignment) + bytes <= caps.buffer_bytes;
                let buffer = match open {
                    Some((group, buffer)) if group == state.group && fits(buffer) => buffer,
                    _ => {
                        layout.buffers.push(0);
                        layout.buffers.len() - 1
                    }
                };
                open = Some((&state.group, buffer));
                let offset = layout.buffers[buffer].next_multiple_of(caps.offset_alignment);
                layout.buffers[buffer] = offset + bytes;
                places.push(StatePart { rows, buffer, offset, bytes });
            }
            let initial = state.initial.map(|v| match &graph.values[v.0].source {
                Source::Weight(weight) => weight.clone(),
                other => unreachable!("a state starts as a weight, not {other:?}"),
            });
            let (name, desc, grows) = (state.name.clone(), state.desc.clone(), state.grows);
            layout.states.push(StatePlace { name, desc, grows, initial, parts: places });
        }
        Ok(layout)
    }

    /// Bytes of all states.
    pub fn bytes(&self) -> u64 {
        self.states.iter().map(|s| s.desc.bytes() as u64).sum()
    }

    /// The ranges of buffers that hold what does not grow: buffer, first byte and bytes. What grows needs no copy to be put back: nothing past a
    /// sequence's position is read.
    pub fn fixed(&self) -> Vec<(usize, u64, u64)> {
        let mut ranges: Vec<(usize, u64, u64)> = Vec::new();
        let mut follows = false;
        for (grows, part) in self.states.iter().flat_map(|s| s.parts.iter().map(|part| (s.grows, part))) {
            match ranges.last_mut() {
                _ if grows => {}
                Some((buffer, start, bytes)) if follows && *buffer == part.buffer => *bytes = part.offset + part.bytes - *start,
                _ => ranges.push((part.buffer, part.offset, part.bytes)),
            }
            follows = !grows;
        }
        ranges
    }

    /// Bytes of the states that do not grow.
    pub fn fixed_bytes(&self) -> u64 {
        self.states.iter().filter(|s| !s.grows).map(|s| s.desc.bytes() as u64).sum()
    }

    /// The ranges that hold rows `first .. first + count` of a state: the part, and the first byte and bytes within it.
    pub fn ranges(&self, state: usize, first: usize, count: usize) -> Vec<(usize, u64, u64)> {
        let place = &self.states[state];
        let row_bytes = place.desc.row_bytes() as u64;
        let mut ranges = Vec::new();
        for (i, part) in place.parts.iter().enumerate() {
            let (start, end) = (part.rows.first as usize, (part.rows.first + part.rows.count) as usize);
            let (from, to) = (start.max(first), end.min(first + count));
            if from < to {
                ranges.push((i, (from - start) as u64 * row_bytes, (to - from) as u64 * row_bytes));
            }
        }
        ranges
    }

    /// The ranges, as [`StateLayout::ranges`] gives them, of what one of `sequences` sequences has in a state after `position` tokens.
    pub fn used(&self, state: usize, sequence: usize, sequences: usize, position: usize) -> Vec<(usize, u64, u64)> {
        let place = &self.states[state];
        let rows = place.desc.rows() / sequences;
        let mut ranges = self.ranges(state, sequence * rows, rows);
        if place.grows {
            // One row of the state, and so one range.
            let bytes = place.desc.dtype.bytes_of(place.used_len(sequences, position));
            ranges.iter_mut().for_each(|range| range.2 = bytes as u64);
            ranges.retain(|range| range.2 > 0);
        }
        ranges
    }
}

impl StatePlace {
    /// Elements that one of `sequences` sequences has after `position` tokens.
    pub fn used_len(&self, sequences: usize, position: usize) -> usize {
        match self.grows {
            true => position * self.desc.width() / self.desc.shape[1],
            false => self.desc.len() / sequences,
        }
    }
}
