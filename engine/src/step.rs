//! Step values: what one run of a plan is told besides its tensors. One record a sequence, written once per submit; the
//! same bytes are read by the shaders (`shaders/parts/step.wgsl`) and by the CPU references.

use bytemuck::{Pod, Zeroable};

use crate::tensor::Axis;

/// The most sequences that one run takes; the shaders declare their table with this size.
pub const MAX_SEQUENCES: usize = 64;

/// The most tokens back that the repetition penalty looks.
pub const HISTORY: usize = 256;

/// The most runs that one submit takes.
pub const MAX_RUNS: usize = 16;

/// The record of one sequence. Field for field the struct `Sequence` of `step.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Sequence {
    /// Tokens that the sequence has taken before this run.
    pub position: u32,
    /// Its tokens in this run.
    pub count: u32,
    /// Its first row among the rows of this run. Set by [`Step::new`].
    pub first_row: u32,
    /// Scale of the inner learning rate: 1 as trained, 0 frozen.
    pub learning: f32,
    /// Seed of the random numbers; together with the position it gives the draw.
    pub seed: u32,
    /// log2(e) / temperature; 0 asks for the arg-max.
    pub sharpness: f32,
    /// Keep the `top_k` largest; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of largest whose probability reaches `top_p` / 2^32; 0 keeps all.
    pub top_p: u32,
    /// Keep logits at most this far below the largest (temperature × ln(1 / min_p)); negative keeps all.
    pub min_p_drop: f32,
    /// Repetition penalty: positive logits of seen tokens are multiplied by `1 / penalty`, negative ones by `penalty`.
    pub penalty: f32,
    /// 1 / `penalty`, from the host, since division differs between devices.
    pub inverse_penalty: f32,
    /// How many of the last tokens the penalty looks at, at most [`HISTORY`].
    pub last_n: u32,
}

impl Sequence {
    /// `count` tokens from `position` on, learning as trained, arg-max sampling.
    pub fn new(position: u32, count: u32) -> Sequence {
        Sequence { position, count, learning: 1.0, penalty: 1.0, inverse_penalty: 1.0, min_p_drop: -1.0, ..Zeroable::zeroed() }
    }
}

/// The head of the table. Field for field the struct `Step` of `step.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct StepHead {
    /// Tokens of all sequences in this run.
    pub rows: u32,
    /// Sequences in this run.
    pub sequences: u32,
    /// Tokens of the longest sequence in this run.
    pub longest: u32,
    /// Positions that the furthest sequence with tokens in this run has after it.
    pub context: u32,
}

/// The step values of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Sums over the records.
    pub head: StepHead,
    /// One record a sequence.
    pub sequences: Vec<Sequence>,
}

impl Step {
    /// Lays the sequences' rows end to end.
    pub fn new(mut sequences: Vec<Sequence>) -> Step {
        let mut rows = 0;
        for s in &mut sequences {
            s.first_row = rows;
            rows += s.count;
        }
        let longest = sequences.iter().map(|s| s.count).max().unwrap_or(0);
        let end = |s: &Sequence| if s.count == 0 { 0 } else { s.position.saturating_add(s.count) };
        let context = sequences.iter().map(end).max().unwrap_or(0);
        let head = StepHead { rows, sequences: sequences.len() as u32, longest, context };
        Step { head, sequences }
    }

    /// The sequences of this run that a part of their states has: the place in the part, and the record.
    pub fn sequences_of(&self, part: Part) -> impl Iterator<Item = (usize, &Sequence)> {
        self.sequences.iter().skip(part.first as usize).take(part.count as usize).enumerate()
    }

    /// Live rows of a value whose rows are `axis` with this capacity.
    pub fn live(&self, axis: Axis, capacity: usize) -> usize {
        match axis {
            Axis::Fixed => capacity,
            Axis::Tokens => self.head.rows as usize,
            Axis::Sequences => self.head.sequences as usize,
        }
    }

    /// Appends the bytes of the table as the shaders read it: the head, then the live records.
    pub fn append_bytes(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(bytemuck::bytes_of(&self.head));
        out.extend_from_slice(bytemuck::cast_slice(&self.sequences));
    }
}

/// The part of a divided weight or state that a dispatch works on: rows `first .. first + count` of the whole.
/// Field for field the struct `Part` of `step.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Part {
    /// First row of the part.
    pub first: u32,
    /// Rows of the part.
    pub count: u32,
}
