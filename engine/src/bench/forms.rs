//! The inner step token by token (primal form) against mini-batches (dual form): the same function, by the kernels alone.

use std::sync::Arc;

use web_time::Instant;

use super::bed::{Bed, Planned, unmeasured};
use super::ceilings::finish;
use super::models::ModelOptions;
use super::results::{Measurement, Section, Settings, Work};
use super::sampling::Course;
use super::sizes::Family;
use super::{BenchError, Observer};
use crate::device::Device;
use crate::exec::{Program, States};
use crate::kernels::ttt_linear::TttLinear;
use crate::kernels::ttt_mlp::TttMlp;
use crate::kernels::{Case, CaseInput, Cost, Fill, Geometry, Op, Passes};
use crate::step::{Sequence, Step};
use crate::tensor::{DType, Desc};
use crate::verify;

/// Tokens of a mini-batch.
const MINI_BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// The same in a quick run.
const QUICK_MINI_BATCHES: [usize; 4] = [1, 4, 16, 64];

/// Tokens of a run: whole mini-batches of every length.
const TOKENS: usize = 256;
const QUICK_TOKENS: usize = 64;

/// A TTT layer of a family.
#[derive(Debug, Clone, Copy)]
struct Layer {
    family: Family,
    geometry: Geometry,
}

impl Layer {
    fn op(&self) -> Op {
        let geometry = self.geometry;
        match self.family {
            Family::TttMlp => TttMlp { geometry, probe: false, front: None }.into(),
            _ => TttLinear { geometry, probe: false, front: None }.into(),
        }
    }

    /// Elements of a head's fast weights, and of an open row.
    fn lengths(&self) -> (usize, usize) {
        match self.family {
            Family::TttMlp => (TttMlp::fast_len(&self.geometry), TttMlp::row_len(&self.geometry)),
            _ => (TttLinear::fast_len(&self.geometry), TttLinear::row_len(&self.geometry)),
        }
    }

    /// The shaders of both forms.
    fn files(&self) -> [(&'static str, &'static str); 2] {
        match self.family {
            Family::TttMlp => [("dual", "ttt_mlp"), ("primal", "ttt_mlp_rows")],
            _ => [("dual", "ttt_linear"), ("primal", "ttt_linear_rows")],
        }
    }

    /// A run over `tokens` tokens of one sequence.
    fn case(&self, tokens: usize) -> Case {
        let g = self.geometry;
        let (fast, row) = self.lengths();
        let rows = |width, fill| CaseInput::activation(Desc::tokens(tokens, width), fill);
        let state = |width, fill| CaseInput::state(Desc::fixed(DType::F32, &[g.heads, width]), fill);
        let inputs = vec![
            rows(2 * g.width(), Fill::uniform(1, 0.3)),
            rows(g.width(), Fill::uniform(2, 0.3)),
            rows(g.heads, Fill::Uniform { seed: 3, base: 0.008, amplitude: 0.008 }),
            CaseInput::weight(Desc::fixed(DType::F32, &[g.params_len()]), Fill::Uniform { seed: 4, base: 0.5, amplitude: 0.5 }),
            state(fast, Fill::uniform(5, 0.03)),
            state(g.mini_batch * row, Fill::Constant(0.0)),
        ];
        Case::new("", self.op(), tokens, inputs).bound(1e-3)
    }

    /// Bytes of state that is moved for a token of a run of so many, by a kernel that takes `chunk` rows at a time. Fast weights that stay on chip are read and
    /// written once a run, with them the open rows if a chunk has a mini-batch whole. Else the fast weights move as often as the kernel passes through
    /// them, and back and forth at the end of a mini-batch; each open row once when it is made, once for every later pass over the mini-batch, and once at its end.
    fn state_moved(&self, chunk: usize, tokens: usize) -> f64 {
        let b = self.geometry.mini_batch;
        let passes = match self.family {
            Family::TttMlp => TttMlp::passes(&self.geometry, chunk == 1),
            _ => TttLinear::passes(chunk == 1),
        };
        let (chunks, tokens) = (b.div_ceil(chunk) as f64, tokens as f64);
        let (fast, open) = match passes {
            Passes::Held if chunk >= b => (2.0 / tokens, b as f64 / tokens),
            Passes::Held => (2.0 / tokens, 1.0 + (chunks + 1.0) / 2.0),
            Passes::Streamed(passes) => ((passes * chunks + 2.0) / b as f64, 2.0 + (chunks + 1.0) / 2.0),
        };
        let (of_model, of_row) = self.lengths();
        4.0 * self.geometry.heads as f64 * (fast * of_model as f64 + open * of_row as f64)
    }

    fn work(&self, chunk: usize, tokens: usize, cost: Cost, operands: f64) -> Work {
        let (fast, row) = self.lengths();
        Work {
            tokens: tokens as f64,
            context: 0.0,
            operations: cost.operations,
            least: cost.least,
            moved: self.state_moved(chunk, tokens) * tokens as f64,
            state: (4 * self.geometry.heads * (fast + self.geometry.mini_batch * row)) as f64,
            working_set: operands,
        }
    }
}

/// Times both forms of the layers of the sizes asked for, over mini-batches of 1 to 64 tokens; what is finished is in `found`. [`Work::moved`] is of state alone.
pub async fn forms(
    device: &Device,
    settings: &Settings,
    options: &ModelOptions,
    found: &mut Vec<Measurement>,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let learning: Vec<Family> =
        options.families.iter().copied().filter(|f| matches!(f, Family::TttLinear | Family::TttMlp)).collect();
    let mini_batches: &[usize] = if settings.quick { &QUICK_MINI_BATCHES } else { &MINI_BATCHES };
    let mut layers: Vec<Layer> = Vec::new();
    for size in &options.sizes {
        for (family, mini_batch) in learning.iter().flat_map(|family| mini_batches.iter().map(|b| (*family, *b))) {
            layers.push(Layer { family, geometry: Geometry { heads: size.heads, head_dim: size.head_dim(), mini_batch } });
        }
    }
    let mut seen = Vec::new();
    layers.retain(|layer| {
        let key = (layer.family, layer.geometry);
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    let mut course = Course::new(settings, 4, 2 * layers.len());
    for i in course.order.shuffled(layers.len()) {
        let layer = &layers[i];
        let g = layer.geometry;
        let subject = format!("{} {} heads of {}", layer.family, g.heads, g.head_dim);
        if !course.wants(&format!("dual primal b{} {subject}", g.mini_batch)) {
            continue;
        }
        course.pause(&format!("b{} {subject}", g.mini_batch), observer).await?;
        let figure = |form: &str, chunk, tokens, cost, operands| {
            let name = format!("{form} b{}", g.mini_batch);
            unmeasured(Section::Forms, &name, subject.clone(), None, layer.work(chunk, tokens, cost, operands))
        };
        let tokens = if settings.quick { QUICK_TOKENS } else { TOKENS };
        if device.is_cpu() {
            found.extend(on_cpu(device, &mut course, layer, tokens, figure, observer).await?);
            continue;
        }
        // As many tokens as both forms take in one run here.
        let Some((tokens, case, planned)) = planned(device, layer, tokens)? else { continue };
        let mut beds = Vec::new();
        for (form, file) in layer.files() {
            let launch = planned.launches.iter().position(|l| l.file == file).expect("it was looked for");
            let chunk =
                planned.launches[launch].consts.iter().find(|(name, _)| *name == "CHUNK").map_or(1, |(_, rows)| *rows as usize);
            let figure = figure(form, chunk, tokens, planned.cost, planned.operands);
            beds.push(Bed::new(device, &case, &planned, launch, 1, figure).await?);
        }
        found.extend(finish(&mut beds, &mut course, observer).await?);
    }
    found.sort_by_key(|m| {
        let (form, b) = m.name.split_once(" b").unwrap_or((&m.name, "0"));
        (m.subject.clone(), b.parse().unwrap_or(0), form.to_string())
    });
    Ok(())
}

/// The layer's case with the most tokens, up to `tokens`, that both forms take on a device.
fn planned(device: &Device, layer: &Layer, mut tokens: usize) -> Result<Option<(usize, Case, Planned)>, BenchError> {
    while tokens >= layer.geometry.mini_batch {
        let case = layer.case(tokens);
        if let Ok(planned) = Planned::new(device, &case)
            && layer.files().iter().all(|(_, file)| planned.launches.iter().any(|l| l.file == *file))
        {
            return Ok(Some((tokens, case, planned)));
        }
        tokens /= 2;
    }
    Ok(None)
}

/// On the CPU device, whose kernels always take a mini-batch at once: a run of all tokens against a run of each.
async fn on_cpu(
    device: &Device,
    course: &mut Course<'_>,
    layer: &Layer,
    tokens: usize,
    figure: impl Fn(&str, usize, usize, Cost, f64) -> Measurement,
    observer: &mut dyn Observer,
) -> Result<Vec<Measurement>, BenchError> {
    let case = layer.case(tokens);
    let planned = Planned::new(device, &case)?;
    let mut plan = planned.plan.clone();
    plan.steps.retain(|step| step.op == case.op);
    let weights = verify::weights_of(device, &case, &plan).await?;
    let mut states = States::new(device, &plan.states, &plan, &weights).await?;
    verify::write_states(&mut states, &case);
    let program = Program::new(device, Arc::new(plan), &weights).await?;
    let words = verify::activations(&case);
    let inputs: Vec<(&str, &[u32])> = words.iter().map(|(name, words)| (name.as_str(), &words[..])).collect();
    let one = |position: usize, count: usize| Step::new(vec![Sequence::new(position as u32, count as u32)]);
    let steps = [vec![one(0, tokens)], (0..tokens).map(|t| one(t, 1)).collect()];
    let chunks = [("dual", layer.geometry.mini_batch), ("primal", 1)];
    let mut figures = chunks.map(|(form, chunk)| figure(form, chunk, tokens, planned.cost, planned.operands));
    program.run(&mut states, &steps[0][0], &inputs, &[])?.finish().await?;
    for _ in 0..course.settings.repetitions {
        for form in course.order.shuffled(2) {
            let m = &mut figures[form];
            course.pause(&format!("{} {}", m.name, m.subject), observer).await?;
            let start = Instant::now();
            for step in &steps[form] {
                program.run(&mut states, step, &[], &[])?.finish().await?;
            }
            m.samples.push(start.elapsed().as_secs_f64());
            m.order.push(course.taken);
            course.taken += 1;
        }
    }
    Ok(figures.into())
}
