//! Each kernel alone, at the shapes that real models give it.

use web_time::Instant;

use super::bed::{Bed, Planned, unmeasured};
use super::ceilings::finish;
use super::results::{Cache, Ceilings, Measurement, Section, Settings, Work};
use super::sampling::{Course, Order};
use super::{BenchError, Observer};
use crate::device::Device;
use crate::graph::{Graph, Source, ValueId};
use crate::kernels::{Case, CaseInput, Fill, KERNELS, Op, Role};
use crate::step::{Sequence, Step};
use crate::tensor::{Axis, DType, Desc};
use crate::verify;

/// Ids are below this, which every vocabulary has.
const IDS: u32 = 32;

/// Weights smaller than this are in the caches whatever one does.
const COLD_FROM: f64 = (1 << 20) as f64;

/// Most copies of a kernel's operands for a cold figure.
const COPIES: usize = 64;

/// The caches' size where the curve of reading shows no knee.
const USUAL_CACHE: u64 = 32 << 20;

/// A kernel with operands of a real size.
pub(super) struct Shape {
    case: Case,
    kernel: &'static str,
    subject: String,
}

/// The cases of the nodes of a graph, as a run with these step values meets them.
pub(super) fn of_graph(graph: &Graph, step: &Step) -> Vec<Case> {
    let role = |value: ValueId| match graph.values[value.0].source {
        Source::Weight(_) => Role::Weight,
        Source::State(_) => Role::State,
        Source::Input | Source::Node { .. } | Source::Columns { .. } => Role::Activation,
    };
    let case = |node: &crate::graph::Node| {
        let inputs = node.inputs.iter().enumerate().map(|(i, value)| {
            let desc = graph.desc(*value).clone();
            CaseInput { fill: fill(i, &desc), role: role(*value), desc }
        });
        let bound = KERNELS.iter().find(|(name, _)| *name == node.op.name());
        let bound = bound.and_then(|(_, cases)| cases().iter().map(|case| case.bound).reduce(f32::max)).unwrap_or(0.0);
        Case::new(node.label.clone(), node.op.clone(), 1, inputs.collect()).steps(vec![step.clone()]).bound(bound)
    };
    graph.nodes.iter().map(case).collect()
}

/// Values of an operand: of such a size that sums over a row are about 1.
fn fill(input: usize, desc: &Desc) -> Fill {
    let seed = input as u32 + 1;
    match desc.dtype {
        DType::U32 => Fill::Below { seed, n: IDS },
        _ => Fill::uniform(seed, (3.0 / desc.width() as f32).sqrt().min(1.0)),
    }
}

/// What tells a case from others of its kernel: the attributes that are set, and the operands.
fn subject(case: &Case) -> String {
    let mut words = attributes(&case.op);
    let mut seen: Vec<String> = Vec::new();
    for input in &case.inputs {
        let d = &input.desc;
        let rows = match d.axis {
            Axis::Fixed => "",
            Axis::Tokens => "tokens ",
            Axis::Sequences => "sequences ",
        };
        let sizes: Vec<String> = d.shape.iter().map(usize::to_string).collect();
        let dtype = if d.dtype == DType::F32 && input.role != Role::Weight { String::new() } else { format!("{} ", d.dtype) };
        seen.push(format!("{dtype}{rows}{}", sizes.join("x")));
    }
    seen.dedup();
    words.extend(seen);
    words.join(" · ")
}

/// The attributes of an op that are set, as its fields name them.
fn attributes(op: &Op) -> Vec<String> {
    let text = format!("{:?}", op);
    let Some((_, fields)) = text.split_once("{ ") else { return Vec::new() };
    let fields = fields.trim_end_matches([' ', '}', ')']);
    let set = |field: &&str| !field.ends_with(": false") && !field.ends_with(": None");
    fields.split(", ").filter(set).map(|field| field.trim_end_matches(": true").replace("Geometry { ", "")).collect()
}

/// Collects shapes, each once.
#[derive(Default)]
pub(super) struct Shapes(pub(super) Vec<Shape>);

impl Shapes {
    /// Adds what is new of these cases.
    pub(super) fn add(&mut self, cases: Vec<Case>) {
        for mut case in cases {
            // What is updated in place is a state here, so that nothing is copied before.
            for (input, _) in case.op.kernel().updates() {
                case.inputs[input].role = Role::State;
            }
            let (kernel, subject) = (case.op.name(), subject(&case));
            if !self.0.iter().any(|shape| shape.kernel == kernel && shape.subject == subject) {
                self.0.push(Shape { case, kernel, subject });
            }
        }
    }

    /// Adds the costliest own case of every kernel that no model brought; what measures ceilings has a section of its own.
    pub(super) fn add_missing(&mut self) {
        const CEILINGS: [&str; 3] = ["multiply_add", "stream_copy", "stream_read"];
        for (kernel, cases) in KERNELS {
            if !CEILINGS.contains(kernel) && !self.0.iter().any(|shape| shape.kernel == *kernel) {
                let size = |case: &Case| case.inputs.iter().map(|input| input.desc.len()).sum::<usize>();
                self.add(
                    cases()
                        .into_iter()
                        .filter(|case| case.startup && case.steps.len() == 1)
                        .max_by_key(size)
                        .into_iter()
                        .collect(),
                );
            }
        }
    }

    /// One shape of each kernel: the costliest that a slow device still goes through in no time, or the cheapest.
    pub(super) fn one_each(&mut self, device: &Device) {
        /// Operations and bytes together: a tenth of a second where one core does the work.
        const MOST: f64 = 2e8;
        let mut best: Vec<(f64, Shape)> = Vec::new();
        for shape in self.0.drain(..) {
            let Ok(planned) = Planned::new(device, &shape.case) else { continue };
            let size = planned.cost.operations + planned.cost.moved;
            let better = |than: f64| if size <= MOST { than > MOST || size > than } else { size < than };
            match best.iter_mut().find(|(_, other)| other.kernel == shape.kernel) {
                Some(best) if better(best.0) => *best = (size, shape),
                Some(_) => {}
                None => best.push((size, shape)),
            }
        }
        self.0 = best.into_iter().map(|(_, shape)| shape).collect();
    }
}

/// Times every variant of every shape, warm, and cold where there are weights of a size. What is measured of a shape is in `found` when the shape is finished.
pub(super) async fn measure(
    device: &Device,
    settings: &Settings,
    ceilings: Option<&Ceilings>,
    shapes: &Shapes,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let mut course = Course::new(settings, 2, shapes.0.len() * 3);
    let cache = ceilings.and_then(|c| c.knee).unwrap_or(USUAL_CACHE) as f64;
    for i in Order::new(settings.seed).shuffled(shapes.0.len()) {
        let Shape { case, kernel, subject } = &shapes.0[i];
        if !course.wants(kernel) {
            continue;
        }
        course.pause(&format!("{kernel} {subject}: checking"), observer).await?;
        let began = Instant::now();
        let wrong = |variant: String, reason: String| BenchError::Wrong {
            name: kernel.to_string(),
            subject: subject.clone(),
            variant,
            reason,
        };
        let outcomes = verify::check(device, case).await?;
        if let Some(failed) = outcomes.iter().find(|outcome| !outcome.passed()) {
            let reason = format!("off by {} where {} is allowed: {}", failed.worst, failed.bound, failed.at);
            return Err(wrong(failed.variant.clone(), reason));
        }
        let checked = began.elapsed();
        let planned = Planned::new(device, case)?;
        let weights: usize = case.inputs.iter().filter(|i| i.role == Role::Weight).map(|i| i.desc.bytes()).sum();
        let work = Work {
            tokens: f64::from(case.steps[0].head.rows),
            context: f64::from(case.steps[0].sequences.iter().map(|s| s.position).max().unwrap_or(0)),
            operations: planned.cost.operations,
            least: planned.cost.least,
            moved: planned.cost.moved,
            working_set: planned.operands,
            ..Work::default()
        };
        let mut beds = Vec::new();
        for launch in 0..planned.launches.len() {
            let figure = unmeasured(Section::Kernels, kernel, subject.clone(), Some(Cache::Warm), work);
            beds.push(Bed::new(device, case, &planned, launch, 1, figure).await?);
        }
        // Rotated over more than twice the caches, the planner's choice only.
        let copies = (2.0 * cache / weights.max(1) as f64).ceil() as usize;
        if weights as f64 >= COLD_FROM && copies < COPIES && !device.is_cpu() {
            let copies = copies + 1;
            let cold = Work { working_set: planned.operands * copies as f64, ..work };
            let figure = unmeasured(Section::Kernels, kernel, subject.clone(), Some(Cache::Cold), cold);
            beds.push(Bed::new(device, case, &planned, 0, copies, figure).await?);
        }
        let prepared = began.elapsed();
        for mut m in finish(&mut beds, &mut course, observer).await? {
            m.share = ceilings.map(|c| c.share(&m));
            found.push(m);
        }
        log::debug!(
            "{kernel} {subject}: checked after {checked:?}, prepared after {prepared:?}, timed after {:?}",
            began.elapsed()
        );
    }
    Ok(())
}

/// The step of a run of `rows` tokens from `position` on, of one sequence.
pub(super) fn step(position: u32, rows: u32) -> Step {
    Step::new(vec![Sequence::new(position, rows)])
}
