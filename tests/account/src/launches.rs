//! The launches of whole models, each kind of them once: from shapes alone, without any weight.

use std::collections::BTreeMap;

use anyhow::Result;
use fastweight::bench::{Family, Size};
use fastweight::caps::Caps;
use fastweight::generate::{Purpose, outline};
use fastweight::graph::fuse::scans::TwoPasses;
use fastweight::kernels::{Cost, Launch, Operand};
use fastweight::models;
use fastweight::plan::{Place, Plan, PlanStep};
use fastweight::step::{Sequence, Step};
use fastweight::tensor::{DType, Desc};
use fastweight::tuning::{self, Timing, Tuning};

/// Tokens that a run of a prefill takes: a GPU is given no more at a time, so that whoever cancels does not wait.
pub const CHUNK: usize = 256;

/// What a desktop GPU of today offers WebGPU.
pub fn caps() -> Caps {
    Caps {
        binding_bytes: (2 << 30) - 4,
        buffer_bytes: 4 << 30,
        workgroup_bytes: 32 << 10,
        workgroup_invocations: 1024,
        storage_buffers: 16,
        shader_f16: true,
        subgroups: Some((32, 64)),
        ..Caps::default()
    }
}

/// One way of running a model: a token written, or a chunk read.
pub struct Run {
    pub family: Family,
    pub size: Size,
    pub purpose: Purpose,
    /// Whether its scans go in two passes, as they do where that was measured to be faster.
    pub two_passes: bool,
    /// Tokens of the run.
    pub tokens: usize,
    /// Positions of the last of them; 0 where the state has one size.
    pub context: usize,
    /// Bytes of the weights that it reads.
    pub weight_bytes: u64,
    pub rows: Vec<Row>,
}

/// What all launches of a run have in common that compute the same with other weights.
pub struct Row {
    /// The node's label without the layer.
    pub node: String,
    pub op: &'static str,
    pub launch: Launch,
    /// The group and binding of each operand.
    pub places: Vec<(u32, u32)>,
    /// Shapes in and out.
    pub shape: String,
    /// Launches of the kind in a run.
    pub count: usize,
    /// Workgroups of each.
    pub workgroups: u64,
    /// Subgroups of each workgroup; the compiler tells.
    pub subgroups: u64,
    /// The work of each.
    pub cost: Cost,
    /// What else computes the same: the engine takes one of them where it is faster on a device.
    pub others: Vec<Launch>,
}

impl Run {
    pub fn new(family: Family, size: Size, purpose: Purpose) -> Result<Run> {
        let opened = size.opened(family, DType::F16);
        let model = models::open(&opened.checkpoint, opened.config.as_ref())?;
        let (caps, wanted) = (caps(), if purpose == Purpose::Decode { 1 } else { CHUNK });
        Ok(Run::of(family, size, purpose, outline(&*model, purpose, wanted, &caps)?.plan, wanted, &caps))
    }

    /// The same with its scans in two passes, of a family that has them.
    pub fn in_two_passes(family: Family, size: Size, purpose: Purpose) -> Result<Run> {
        let opened = size.opened(family, DType::F16);
        let model = models::open(&opened.checkpoint, opened.config.as_ref())?;
        let whole = outline(&*model, purpose, CHUNK, &caps())?.plan;
        let faster = |step: &PlanStep| {
            let (io, written) = (&step.io, |i: usize| step.io.outputs.get(i).map(|o| &o.desc));
            let inputs: Vec<&Desc> = io.inputs.iter().map(|o| &o.desc).chain([written(1)?, written(2)?]).collect();
            let name = TwoPasses::of(&step.op, &inputs)?.name(&caps())?;
            let nanoseconds = BTreeMap::from([(name, 1), (step.launch.name(), 2)]);
            Some(Timing { size: tuning::Size::of(&step.op, io), nanoseconds })
        };
        let timings = whole.steps.iter().filter_map(faster).collect();
        let caps = Caps { tuning: Tuning { timings, ..Tuning::default() }.into(), ..caps() };
        let plan = outline(&*model, purpose, CHUNK, &caps)?.plan;
        Ok(Run { two_passes: true, ..Run::of(family, size, purpose, plan, CHUNK, &caps) })
    }

    fn of(family: Family, size: Size, purpose: Purpose, plan: Plan, wanted: usize, caps: &Caps) -> Run {
        // A plan's work is that of a full context, so its grids are to be as well.
        let context = plan.states.states.iter().filter(|s| s.grows).map(|s| s.desc.shape[1]).max().unwrap_or(0);
        let sequence = Sequence::new((context.max(wanted) - wanted) as u32, wanted as u32);
        let step = Step::new(vec![sequence]);
        let mut rows: Vec<Row> = Vec::new();
        for planned in &plan.steps {
            let row = row(planned, &step, caps);
            let same = |r: &&mut Row| {
                (r.launch.name(), &r.places, &r.shape, r.workgroups)
                    == (row.launch.name(), &row.places, &row.shape, row.workgroups)
            };
            match rows.iter_mut().find(same) {
                Some(known) => {
                    known.count += 1;
                    if !known.node.split(", ").any(|n| n == row.node) {
                        known.node = format!("{}, {}", known.node, row.node);
                    }
                }
                None => rows.push(row),
            }
        }
        let weight_bytes = plan.weight_bytes();
        Run { family, size, purpose, two_passes: false, tokens: wanted, context, weight_bytes, rows }
    }

    /// What it is called in headings.
    pub fn name(&self) -> String {
        let what = if self.purpose == Purpose::Decode { "decode" } else { "prefill" };
        format!("{} {}, {what}{}", self.family, self.size, if self.two_passes { " in two passes" } else { "" })
    }

    pub fn dispatches(&self) -> usize {
        self.rows.iter().map(|r| r.count).sum()
    }
}

fn row(planned: &PlanStep, step: &Step, caps: &Caps) -> Row {
    let kernel = planned.op.kernel();
    let mut others = kernel.variants(&planned.io, caps);
    others.retain(|l| *l != planned.launch);
    let operands = |operands: &[Operand]| operands.iter().map(shape).collect::<Vec<_>>().join(" ");
    Row {
        node: without_layer(&planned.label),
        op: planned.op.name(),
        places: places(&planned.places),
        shape: format!("{} → {}", operands(&planned.io.inputs), operands(&planned.io.outputs)),
        count: 1,
        subgroups: 1,
        workgroups: planned.launch.grid.workgroups(step, planned.part),
        cost: kernel.cost(&planned.io),
        launch: planned.launch.clone(),
        others,
    }
}

/// `256×768`, with the type where it is not f32.
fn shape(operand: &Operand) -> String {
    let sizes: Vec<String> = operand.desc.shape.iter().map(usize::to_string).collect();
    let sizes = sizes.join("×");
    if operand.desc.dtype == DType::F32 { sizes } else { format!("{}[{sizes}]", operand.desc.dtype) }
}

/// The group of an operand's owner, and its binding there, as the executor lays them out.
fn places(places: &[Place]) -> Vec<(u32, u32)> {
    let mut next = BTreeMap::new();
    let group = |place: &Place| match place {
        Place::Slot(_) => 0,
        Place::Weight { .. } => 1,
        Place::State { .. } => 2,
    };
    let mut binding = |group| {
        let n = next.entry(group).or_insert(0);
        *n += 1;
        (group, *n - 1)
    };
    places.iter().map(|p| binding(group(p))).collect()
}

/// `model.layers.3.mlp.gate_proj|model.layers.3.mlp.up_proj` as `mlp.gate_proj + up_proj`.
fn without_layer(label: &str) -> String {
    let mut parts = label.split('|');
    let first = parts.next().unwrap_or(label);
    let first = first.strip_prefix("model.").or(first.strip_prefix("backbone.")).unwrap_or(first);
    let first = first.strip_prefix("layers.").and_then(|rest| rest.split_once('.')).map_or(first, |(_, node)| node);
    let first = first.strip_prefix("seq_modeling_block.").or(first.strip_prefix("mixer.")).unwrap_or(first);
    let last = |part: &str| part.rsplit('.').next().unwrap_or(part).to_string();
    [first.to_string()].into_iter().chain(parts.map(last)).collect::<Vec<_>>().join(" + ")
}
