//! The graphs that a model is run with, and the programs made of them.

use crate::error::Error;
use crate::graph::{Graph, GraphError, StateId};
use crate::kernels::cross_entropy::CrossEntropy;
use crate::kernels::last_row::LastRow;
use crate::kernels::remember::Remember;
use crate::kernels::repetition::Repetition;
use crate::kernels::sample::Sample;
use crate::load::Opened;
use crate::models::{self, Architecture, Capacity, ids_desc};
use crate::plan::{Plan, PlanError};
use crate::step::HISTORY;
use crate::tensor::{DType, Desc};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Take tokens in; nothing comes out.
    Prefill,
    /// Take one token a sequence in and draw the next.
    Decode,
    /// The same, with the logits kept for the host.
    DecodeWithLogits,
    /// Take tokens in; the loss of each token's successor comes out.
    Loss,
    /// The same; and what each layer tells of its learning, as [`Capacity::probe`] says.
    LossWithProbe,
    /// Take tokens in; the logits after each come out.
    Logits,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 6] =
        [Purpose::Prefill, Purpose::Decode, Purpose::DecodeWithLogits, Purpose::Loss, Purpose::LossWithProbe, Purpose::Logits];
}

/// The position of [`session_states`]'s token among a plan's states.
pub(super) const TOKEN_STATE: usize = 0;

/// The states that every graph declares first: the token that the next decode step takes, and the ring of the last ones.
fn session_states(g: &mut Graph, sequences: usize) -> (StateId, StateId) {
    let token = g.state("token", "token", Desc::fixed(DType::U32, &[sequences, 1]), None);
    let history = g.state("history", "history", Desc::fixed(DType::U32, &[sequences, HISTORY]), None);
    (token, history)
}

/// The unfused graph of a purpose.
pub(super) fn graph(architecture: &dyn Architecture, purpose: Purpose, capacity: Capacity) -> Result<Graph, GraphError> {
    let capacity = Capacity { probe: purpose == Purpose::LossWithProbe, ..capacity };
    let mut g = Graph::new();
    let (token, history) = session_states(&mut g, capacity.sequences);
    let decoding = matches!(purpose, Purpose::Decode | Purpose::DecodeWithLogits);
    let ids = if decoding { g.current(token) } else { g.input("ids", ids_desc(capacity)) };
    let ring = g.current(history);
    g.node("history", Remember, &[ids, ring])?;
    let hidden = architecture.forward(&mut g, ids, capacity)?;
    match purpose {
        Purpose::Prefill => {}
        Purpose::Decode | Purpose::DecodeWithLogits => {
            let last = g.node("last_row", LastRow { sequences: capacity.sequences }, &[hidden])?;
            let logits = architecture.logits(&mut g, last)?;
            let ring = g.current(history);
            let penalised = g.node("repetition", Repetition, &[logits, ring])?;
            let pending = g.current(token);
            let record = g.node("sample", Sample, &[penalised, pending])?;
            g.output("record", record);
            if purpose == Purpose::DecodeWithLogits {
                g.output("logits", logits);
            }
        }
        Purpose::Loss | Purpose::LossWithProbe => {
            let targets = g.input("targets", ids_desc(capacity));
            let logits = architecture.logits(&mut g, hidden)?;
            let loss = g.node("loss", CrossEntropy, &[logits, targets])?;
            g.output("loss", loss);
        }
        Purpose::Logits => {
            let logits = architecture.logits(&mut g, hidden)?;
            g.output("logits", logits);
        }
    }
    Ok(g)
}

/// Positions that a growing state has room for at first.
pub(super) const START_CONTEXT: usize = 256;

/// Positions up to which a growing state grows if nobody asks for more, or the model was trained for fewer.
pub(super) const USUAL_CONTEXT: usize = 4096;

/// The plan of a purpose with room for as much of `wanted` as the device allows: its tokens may become fewer.
pub(super) fn plan(
    architecture: &dyn Architecture,
    purpose: Purpose,
    wanted: Capacity,
    caps: &crate::caps::Caps,
) -> Result<(Plan, Capacity), Error> {
    let sequences = wanted.sequences;
    let decoding = matches!(purpose, Purpose::Decode | Purpose::DecodeWithLogits);
    let mut tokens = if decoding { sequences } else { wanted.tokens.max(sequences) };
    loop {
        let capacity = Capacity { tokens, ..wanted };
        let graph = crate::graph::fuse::fuse(graph(architecture, purpose, capacity)?, caps);
        match Plan::new(&graph, caps) {
            Ok(plan) => return Ok((plan, capacity)),
            // An activation of so many rows is too large for the device, or a loop over them too long: try fewer.
            Err(PlanError::TooLarge { .. } | PlanError::TooLong { .. }) if tokens > sequences => {
                tokens = (tokens / 2).max(sequences)
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a model would be on a device, before any weight is loaded.
pub struct Outline {
    /// The graph as the model builds it.
    pub graph: Graph,
    /// The graph after fusion.
    pub fused: Graph,
    /// The plan for the device.
    pub plan: Plan,
}

/// Outlines one purpose of a model for a device with `caps`, with room for `tokens` at a time and for as much context as is usual.
pub fn outline(
    architecture: &dyn Architecture,
    purpose: Purpose,
    tokens: usize,
    caps: &crate::caps::Caps,
) -> Result<Outline, Error> {
    let context = architecture.context().map_or(0, |trained| trained.min(USUAL_CONTEXT));
    let wanted = Capacity { sequences: 1, tokens, context, cache: DType::F32, probe: false };
    let (plan, capacity) = plan(architecture, purpose, wanted, caps)?;
    let graph = graph(architecture, purpose, capacity)?;
    let fused = crate::graph::fuse::fuse(graph.clone(), caps);
    Ok(Outline { graph, fused, plan })
}

/// Rows of the prefill that [`inspect`] outlines.
const INSPECTED_ROWS: usize = 256;

/// What a model is, and what it takes on a device, by its headers alone.
pub struct Inspection {
    /// Its family and sizes.
    pub architecture: Box<dyn Architecture>,
    /// Tensors of the checkpoint.
    pub tensors: usize,
    /// Their elements.
    pub parameters: usize,
    /// Their bytes in the files.
    pub file_bytes: u64,
    /// Bytes of the weights on the device.
    pub weight_bytes: u64,
    /// Bytes of one session's state.
    pub state_bytes: u64,
    /// Bytes of the buffers that decode and prefill work in.
    pub buffer_bytes: u64,
    /// A decode step.
    pub decode: Outline,
    /// A prefill of up to 256 tokens.
    pub prefill: Outline,
}

/// Inspects a model that was opened, for a device with `caps`.
pub fn inspect(opened: &Opened, caps: &crate::caps::Caps) -> Result<Inspection, Error> {
    let architecture = models::open(&opened.checkpoint, opened.config.as_ref())?;
    let decode = outline(&*architecture, Purpose::Decode, 1, caps)?;
    let prefill = outline(&*architecture, Purpose::Prefill, INSPECTED_ROWS, caps)?;
    let tensors = || opened.checkpoint.tensors.values();
    Ok(Inspection {
        architecture,
        tensors: tensors().len(),
        parameters: tensors().map(|t| t.len()).sum(),
        file_bytes: tensors().map(|t| t.bytes()).sum(),
        weight_bytes: decode.plan.weight_bytes(),
        state_bytes: decode.plan.states.bytes(),
        buffer_bytes: decode.plan.slot_bytes() + prefill.plan.slot_bytes(),
        decode,
        prefill,
    })
}
