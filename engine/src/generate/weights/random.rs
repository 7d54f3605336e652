//! Random weights, made where they lie: for models without files. Scaled as if for training, so that activations stay finite at any size.

use std::collections::HashMap;
use std::sync::Arc;

use crate::device::Device;
use crate::error::Error;
use crate::exec::{Program, States, Weights};
use crate::graph::{Graph, Weight};
use crate::kernels::random::{Random, Rule};
use crate::load::{self, Checkpoint, TensorPlace};
use crate::plan::{Plan, PlanWeight};
use crate::step::{Sequence, Step};
use crate::tensor::{DType, Desc};

/// A weight is filled in a state of its shape, since no program writes weights, and taken over from there.
struct Filler {
    program: Program,
    states: States,
}

impl Filler {
    async fn new(device: &Device, desc: &Desc) -> Result<Filler, Error> {
        let mut g = Graph::new();
        let rule = g.input("rule", Desc::fixed(DType::U32, &[7]));
        let words = g.state("words", "words", Desc::fixed(DType::U32, &[desc.rows(), desc.row_bytes() / 4]), None);
        let words = g.current(words);
        g.node("random", Random { dtype: desc.dtype, width: desc.width() }, &[rule, words])?;
        let (plan, weights) = (Plan::new(&g, device.caps())?, Weights::new(device));
        let states = States::new(device, &plan.states, &plan, &weights).await?;
        Ok(Filler { program: Program::new(device, Arc::new(plan), &weights).await?, states })
    }
}

/// Fills weights whose tensors `shapes` describes. A tensor's numbers follow from the seed, its name and its shape alone, however it is packed.
pub(super) async fn fill(shapes: &Checkpoint, seed: u64, wanted: &[&PlanWeight], weights: &mut Weights) -> Result<(), Error> {
    let device = weights.device().clone();
    let mut fillers: HashMap<Desc, Filler> = HashMap::new();
    for weight in wanted {
        let desc = &weight.desc;
        if let Weight::Constant(_) = weight.weight {
            let words = load::weight_rows(shapes, weight, 0, desc.rows()).await?;
            let mut filling = weights.fill(weight).await?;
            for (i, part) in weight.parts.iter().enumerate() {
                filling.write(i, 0, &words[part.first as usize * desc.width()..][..part.count as usize * desc.width()]);
            }
            filling.finish();
            continue;
        }
        if !fillers.contains_key(desc) {
            fillers.insert(desc.clone(), Filler::new(&device, desc).await?);
        }
        let filler = fillers.get_mut(desc).expect("it is there since a line ago");
        let step = Step::new(vec![Sequence::new(0, 1)]);
        for TensorPlace { name, info, rows, columns } in load::places(shapes, weight)? {
            let (base, amplitude) = range(name, &info.shape);
            // Only vectors in f32, of which a word is an element, share a row.
            let words = if columns.1 == desc.width() { (0, desc.row_bytes() / 4) } else { columns };
            let rule = Rule { seed: seed_of(seed, name), base, amplitude, rows, words }.words(desc.dtype);
            filler.program.run(&mut filler.states, &step, &[("rule", &rule)], &[])?;
        }
        let mut filling = weights.fill(weight).await?;
        filling.take(&filler.states, 0);
        filling.finish();
    }
    Ok(weights.flush().await?)
}

/// The middle of a tensor's numbers and how far they reach from it: constants as models are initialised with, and for a matrix or a convolution
/// √(3 / inputs), so that outputs are as large as inputs.
fn range(name: &str, shape: &[usize]) -> (f32, f32) {
    let last = name.rsplit('.').next().unwrap_or_default();
    let of_norm = name.rsplit('.').nth(1).is_some_and(|part| part.contains("norm"));
    match last {
        "weight" if of_norm => (1.0, 0.0),
        "ttt_norm_weight" | "D" => (1.0, 0.0),
        "learnable_token_idx" => (0.0, 0.0),
        // Decays from 1 to 16, of time steps from 0.001 to 0.1 (arXiv 2312.00752, section 3.6).
        "A_log" => (1.386, 1.386),
        "bias" if name.contains("dt_proj") => (-4.6, 2.3),
        "b1" | "b2" | "bias" | "ttt_norm_bias" | "learnable_ttt_lr_bias" => (0.0, 0.0),
        // As N(0, 0.02), which the published models began with.
        "W1" | "W2" => (0.0, 0.02 * 3f32.sqrt()),
        _ => (0.0, (3.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt()),
    }
}

/// A tensor's own seed: FNV-1a of the model's and of its name.
fn seed_of(seed: u64, name: &str) -> u32 {
    let bytes = seed.to_le_bytes();
    bytes.iter().chain(name.as_bytes()).fold(0x811c_9dc5, |h: u32, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}
