//! The kernels: one idea with one name each. `shaders/<name>.wgsl` is the GPU's side, `kernels/<name>.rs` all else, and
//! the list at the end of this page is where linking, caching, benches, checks and docs find them.

use std::fmt;

use crate::caps::Caps;
use crate::step::{Sequence, Step, StepHead};
use crate::tensor::{Axis, DType, Desc};

mod args;
mod case;
mod launch;
mod rows;
mod scan;
mod ttt;

pub use args::{Args, In, Out};
pub use case::{Case, CaseInput, Fill, Role};
use launch::looped;
pub use launch::{Extent, Grid, Launch, Live};
use rows::{cases_gated, elementwise, infer_gated, launch_gated, reference_gated, row_by_row, rowwise};
pub(crate) use scan::MAX_STATE;
pub use scan::StateSpace;
pub use ttt::{Front, Geometry, Passes};

pub use crate::vector::Matrix;

/// Why a kernel refuses its inputs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpError {
    /// Too many or too few inputs.
    #[error("takes {wanted} inputs, found {found}")]
    Count {
        /// What the kernel takes.
        wanted: usize,
        /// What it was given.
        found: usize,
    },
    /// An input with an unfit shape or element type.
    #[error("input {input} is {found}, wanted {wanted}")]
    Input {
        /// Position among the inputs.
        input: usize,
        /// What it was given.
        found: Desc,
        /// What would have done.
        wanted: String,
    },
    /// An attribute out of range.
    #[error("{name} is {found}, wanted {wanted}")]
    Attribute {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What would have done.
        wanted: String,
    },
}

impl OpError {
    /// Refuses `input` of `inputs`.
    pub fn input(inputs: &[&Desc], input: usize, wanted: impl Into<String>) -> OpError {
        OpError::Input { input, found: inputs[input].clone(), wanted: wanted.into() }
    }
}

/// An operand as a kernel meets it: a description, and where its rows lie in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// Element type and shape.
    pub desc: Desc,
    /// Elements from one row to the next; words for the quantised types.
    pub stride: usize,
    /// Elements before the first row: a column range of a wider value starts in its middle.
    pub offset: usize,
}

impl Operand {
    /// An operand that fills its buffer.
    pub fn whole(desc: Desc) -> Operand {
        Operand { stride: desc.stride(), offset: 0, desc }
    }

    /// Whether every row starts at a multiple of four elements, so that a row can be read in groups of four.
    pub fn by_fours(&self) -> bool {
        self.desc.width().is_multiple_of(4) && self.stride.is_multiple_of(4) && self.offset.is_multiple_of(4)
    }
}

/// The operands of a node in binding order: the inputs that are only read, then the outputs. An input that the kernel
/// updates in place appears once, as that output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Io {
    /// What is read.
    pub inputs: Vec<Operand>,
    /// What is written.
    pub outputs: Vec<Operand>,
}

/// The work of one launch at full capacity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two.
    pub operations: f64,
    /// Bytes of every tensor, each once.
    pub least: f64,
    /// Bytes that this launch requests.
    pub moved: f64,
}

impl Cost {
    /// A launch that reads and writes each tensor once.
    pub fn streaming(io: &Io, operations: f64) -> Cost {
        let least = io.least_bytes();
        Cost { operations, least, moved: least }
    }

    /// The output is read as well, being updated in place.
    fn and_read(mut self, output: &Operand) -> Cost {
        let bytes = output.desc.dtype.bytes_of(output.desc.len()) as f64;
        self.least += bytes;
        self.moved += bytes;
        self
    }
}

impl Io {
    /// The operands of a node with these graph inputs, each in a buffer of its own.
    pub fn whole(op: &Op, inputs: &[&Desc]) -> Result<Io, OpError> {
        let kernel = op.kernel();
        let outputs = kernel.infer(inputs)?.into_iter().map(Operand::whole).collect();
        let updates = kernel.updates();
        let read = inputs.iter().enumerate().filter(|(i, _)| updates.iter().all(|(input, _)| input != i));
        Ok(Io { inputs: read.map(|(_, desc)| Operand::whole((*desc).clone())).collect(), outputs })
    }

    /// Bytes of all operands, each once.
    pub fn least_bytes(&self) -> f64 {
        let bytes = |o: &Operand| o.desc.dtype.bytes_of(o.desc.len()) as f64;
        self.inputs.iter().chain(&self.outputs).map(bytes).sum()
    }

    /// The operands as a run has them: live rows in place of the capacity, and of states `[sequences, positions, width]` the positions that there are.
    pub fn live(&self, head: StepHead) -> Io {
        let live = |operand: &Operand| {
            let mut operand = operand.clone();
            match (operand.desc.axis, &mut operand.desc.shape[..]) {
                (Axis::Fixed, [_, positions, _]) => *positions = (*positions).min(head.context.max(1) as usize),
                (Axis::Fixed, _) => {}
                (Axis::Tokens, shape) => shape[0] = head.rows.max(1) as usize,
                (Axis::Sequences, shape) => shape[0] = head.sequences.max(1) as usize,
            }
            operand
        };
        Io { inputs: self.inputs.iter().map(live).collect(), outputs: self.outputs.iter().map(live).collect() }
    }
}

/// What every kernel says of itself. Implemented by the op, which holds the kernel's attributes.
pub trait Kernel: fmt::Debug {
    /// Descriptions of the outputs for these inputs, or what was wanted of them.
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError>;

    /// Pairs (input, output): the output is the input's buffer, updated in place.
    fn updates(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// Graph inputs (weights or states) that may be divided into parts of whole rows, the node repeated per part.
    fn divisible(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Whether the rows of graph input `input` may lie apart, in a wider value. A column range of any other input is copied into a
    /// buffer of its own first.
    fn strided(&self, input: usize) -> bool {
        let _ = input;
        false
    }

    /// Every launch that computes this node on a device with `caps`, the best guess first. Never empty.
    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch>;

    /// The same function in plain Rust: the oracle of every variant, and the CPU device.
    fn reference(&self, args: &mut Args<'_>);

    /// Work at full capacity.
    fn cost(&self, io: &Io) -> Cost;
}

/// Checks the number of inputs.
fn expect_inputs(inputs: &[&Desc], wanted: usize) -> Result<(), OpError> {
    if inputs.len() == wanted { Ok(()) } else { Err(OpError::Count { wanted, found: inputs.len() }) }
}

/// Checks that `input` is f32 with rows like `like` and this width.
fn expect_rows(inputs: &[&Desc], input: usize, like: &Desc, width: usize) -> Result<(), OpError> {
    let d = inputs[input];
    if d.dtype == DType::F32 && d.axis == like.axis && d.rows() == like.rows() && d.width() == width {
        return Ok(());
    }
    Err(OpError::input(inputs, input, format!("{}", like.with_width(width).of(DType::F32))))
}

/// Checks that `input` is a fixed f32 tensor of `len` elements.
fn expect_weight(inputs: &[&Desc], input: usize, len: usize) -> Result<(), OpError> {
    let d = inputs[input];
    if d.dtype == DType::F32 && d.axis == Axis::Fixed && d.len() == len {
        return Ok(());
    }
    Err(OpError::input(inputs, input, format!("f32 with {len} elements")))
}

macro_rules! kernels {
    ($($name:ident: $op:ident,)*) => {
        $(pub mod $name;)*

        /// A node's kernel with its attributes.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $op($name::$op),)*
        }

        $(impl From<$name::$op> for Op {
            fn from(op: $name::$op) -> Op {
                Op::$op(op)
            }
        })*

        impl Op {
            /// The kernel behind the op.
            pub fn kernel(&self) -> &dyn Kernel {
                match self { $(Op::$op(op) => op,)* }
            }

            /// The kernel's name, in every file, label and report.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => stringify!($name),)* }
            }
        }

        /// Every kernel: its name, and the cases that it is checked with.
        pub const KERNELS: &[(&str, fn() -> Vec<Case>)] = &[$((stringify!($name), $name::cases),)*];
    };
}

kernels! {
    add: Add,
    add_bias: AddBias,
    append: Append,
    attend: Attend,
    attend_append: AttendAppend,
    attend_combine: AttendCombine,
    attend_decode: AttendDecode,
    causal_conv: CausalConv,
    copy: Copy,
    cross_entropy: CrossEntropy,
    embed: Embed,
    gelu_gate: GeluGate,
    group_rms_norm: GroupRmsNorm,
    last_row: LastRow,
    layer_norm: LayerNorm,
    lr_gate: LrGate,
    matmul: Matmul,
    matvec: Matvec,
    multiply_add: MultiplyAdd,
    norm_conv: NormConv,
    random: Random,
    remember: Remember,
    repetition: Repetition,
    rms_norm: RmsNorm,
    rope: Rope,
    sample: Sample,
    selective_scan: SelectiveScan,
    ssd: Ssd,
    stream_copy: StreamCopy,
    stream_read: StreamRead,
    swiglu: Swiglu,
    ttt_linear: TttLinear,
    ttt_linear_outputs: TttLinearOutputs,
    ttt_linear_states: TttLinearStates,
    ttt_mlp: TttMlp,
}
