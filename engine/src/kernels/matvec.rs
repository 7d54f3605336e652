//! The product of one row (or few) with a weight, with what comes before it and after it.

use rayon::prelude::*;

use super::embed::with_spans;
use super::layer_norm::{LayerNorm, with_gate};
use super::matmul::{Columns, cases_product, cost_product, infer_product, row_format};
use super::rms_norm::RmsNorm;
use super::*;
use crate::vector::{dot_stored, silus};

/// `y[t, n] = Σₖ x'[t, k] · w[n, k]`, then the epilogue, where x' is x after the prologue.
///
/// Inputs: x `[rows, k]`, w `[n, k]` in a weight format (`[2n, k]` with [`Epilogue::Swiglu`]), those of the prologue behind its x, and
/// with [`Epilogue::Residual`] y `[rows, n]`, to which the result is added in place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matvec {
    /// What x goes through first.
    pub prologue: Prologue,
    /// What the sums go through.
    pub epilogue: Epilogue,
}

/// What comes before a product.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Prologue {
    /// Nothing.
    #[default]
    None,
    /// The RMS norm. Its input: the weight `[k]`.
    Rms(RmsNorm),
    /// The layer norm, of rows up to [`Prologue::MOST`]. Its inputs: γ and β `[k]`, and the gate `[rows, k]` if it is gated.
    Layer(LayerNorm),
}

/// What comes after a product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    #[default]
    None,
    /// The result is added to the last input.
    Residual,
    /// y = silu(first n results) ∘ the other n. Takes the weight whole.
    Swiglu,
}

impl Prologue {
    /// The widest row that a layer norm keeps in workgroup memory.
    pub const MOST: usize = 2560;

    /// Inputs behind x and w.
    fn inputs(&self) -> usize {
        match self {
            Prologue::None => 0,
            Prologue::Rms(_) => 1,
            Prologue::Layer(norm) => 2 + usize::from(norm.gated),
        }
    }
}

/// Invocations of a workgroup.
const WG: usize = 256;
/// Workgroups below which each takes fewer rows of the weight: enough of them to fill a GPU.
const MANY: usize = 32;

/// Invocations that share a row of the weight of width `k`: each is to go around a few times, with enough of them to fill a GPU.
fn lanes(k: usize) -> usize {
    if k < 512 { 16 } else { 32 }
}

/// The same where subgroups are narrow: at the end one invocation adds up what all of them have, while the others' time is lost.
const NARROW_LANES: usize = 8;

impl Matvec {
    /// A product with nothing before it, and the residual or nothing after it.
    pub fn plain(residual: bool) -> Matvec {
        Matvec { prologue: Prologue::None, epilogue: if residual { Epilogue::Residual } else { Epilogue::None } }
    }

    /// Fours of rows of the weight that an invocation has a share of, for `n` results. More of them for one of x spare requests for
    /// x; but a layer norm wants the workgroup memory.
    fn fours(&self, n: usize, lanes: usize) -> usize {
        let many = n >= 2 * MANY * 4 * WG / lanes;
        match (&self.prologue, self.epilogue) {
            (_, Epilogue::Swiglu) => 2,
            (Prologue::Layer(_), _) => 1,
            _ => 1 + usize::from(many),
        }
    }

    /// Results that one workgroup computes.
    fn results(&self, n: usize, lanes: usize) -> usize {
        let rows = 4 * self.fours(n, lanes) * WG / lanes;
        if self.epilogue == Epilogue::Swiglu { rows / 2 } else { rows }
    }

    /// A launch where so many invocations share a row of the weight.
    fn launch(&self, io: &Io, lanes: usize) -> Launch {
        let (x, w, n) = (&io.inputs[0], &io.inputs[1], io.outputs[0].desc.width());
        let (k, swiglu) = (x.desc.width(), self.epilogue == Epilogue::Swiglu);
        let results = self.results(n, lanes) as u32;
        let columns = if swiglu { Extent::fixed(n, results) } else { Extent::new(Live::Part, results) };
        let grid = Grid(vec![columns, Extent::new(Live::of(x.desc.axis, x.desc.rows()), 1)]);
        let launch = with_spans(Launch::new("matvec", grid), w)
            .part(row_format(x))
            .constant("LANES", lanes)
            .constant("FOURS", self.fours(n, lanes))
            .size("K", k)
            .size("N", n)
            .size("ROWS", x.desc.rows())
            .size("AXIS", x.desc.axis as usize)
            .size("X_STRIDE", x.stride)
            .size("X_OFFSET", x.offset);
        let launch = match self.epilogue {
            Epilogue::None => launch.part("results_all").part("store_plain"),
            Epilogue::Residual => launch.part("results_all").part("store_residual"),
            Epilogue::Swiglu => launch.part("results_swiglu").part("silu"),
        };
        let launch = launch.bind(&["x", "w"]);
        let launch = match &self.prologue {
            Prologue::None => launch.part("prologue_none"),
            Prologue::Rms(norm) => {
                let weight = if k.is_multiple_of(4) { "norm_by_fours" } else { "norm_scalar" };
                launch.bind(&["norm"]).part("prologue_rms").part(weight).set("EPS", norm.eps)
            }
            Prologue::Layer(norm) => {
                let launch = launch.bind(&["gamma", "beta"]).part("prologue_layer").part("workgroup_sum").set("EPS", norm.eps);
                let launch = launch.constant("ROW_FOURS", k.div_ceil(4));
                match io.inputs.get(4) {
                    Some(gate) => with_gate(launch, gate),
                    None => launch.part("gate_none"),
                }
            }
        };
        launch.bind(&["y"])
    }

    fn residual(&self) -> bool {
        self.epilogue == Epilogue::Residual
    }
}

impl Kernel for Matvec {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        let inner = 2 + self.prologue.inputs();
        expect_inputs(inputs, inner + usize::from(self.residual()))?;
        let x = inputs[0];
        match &self.prologue {
            Prologue::None => {}
            Prologue::Rms(_) => expect_weight(inputs, 2, x.width())?,
            Prologue::Layer(norm) => {
                if x.width() > Prologue::MOST {
                    return Err(OpError::input(inputs, 0, format!("rows of at most {} for a layer norm", Prologue::MOST)));
                }
                expect_weight(inputs, 2, x.width())?;
                expect_weight(inputs, 3, x.width())?;
                if norm.gated {
                    expect_rows(inputs, 4, x, x.width())?;
                }
            }
        }
        let outputs = infer_product(inputs, self.residual().then_some(inner))?;
        let width = outputs[0].width();
        match self.epilogue {
            Epilogue::Swiglu if width.is_multiple_of(2) => Ok(vec![x.with_width(width / 2)]),
            Epilogue::Swiglu => Err(OpError::input(inputs, 1, "an even number of rows")),
            _ => Ok(outputs),
        }
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        if self.residual() { vec![(2 + self.prologue.inputs(), 0)] } else { Vec::new() }
    }

    fn divisible(&self) -> Vec<usize> {
        if self.epilogue == Epilogue::Swiglu { Vec::new() } else { vec![1] }
    }

    fn strided(&self, input: usize) -> bool {
        input == 0 || (input == 4 && matches!(self.prologue, Prologue::Layer(LayerNorm { gated: true, .. })))
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let narrow = caps.narrow().then_some(NARROW_LANES);
        narrow.into_iter().chain([lanes(io.inputs[0].desc.width())]).map(|lanes| self.launch(io, lanes)).collect()
    }

    fn reference(&self, args: &mut Args<'_>) {
        // Rows of the weight that a thread takes at a time: enough to be worth waking it.
        const PANEL: usize = 128;
        let (x, w) = (args.inputs[0], args.inputs[1]);
        let (rows, k) = (x.live(args.step), x.operand.desc.width());
        let mut made = vec![0.0; if self.prologue == Prologue::None { 0 } else { k }];
        let y = &mut args.outputs[0];
        let width = y.width();
        let y = Columns::new(y.rows(rows), width);
        let sum = |n: usize, x: &[f32]| dot_stored(w.matrix(), n * w.operand.stride, x);
        for r in 0..rows {
            let mut x = x.row(r);
            match &self.prologue {
                Prologue::None => {}
                Prologue::Rms(norm) => norm.row(x, &args.inputs[2].f32s()[..k], &mut made),
                Prologue::Layer(norm) => {
                    let gate = args.inputs.get(4).map(|gate| gate.row(r));
                    norm.row(x, args.inputs[2].f32s(), args.inputs[3].f32s(), gate, &mut made);
                }
            }
            if !made.is_empty() {
                x = &made;
            }
            if self.epilogue == Epilogue::Swiglu {
                const PAIRS: usize = PANEL / 2;
                (0..width.div_ceil(PAIRS)).into_par_iter().for_each(|panel| {
                    let start = panel * PAIRS;
                    let mut results = [0f32; PAIRS];
                    let results = &mut results[..PAIRS.min(width - start)];
                    results.iter_mut().enumerate().for_each(|(i, result)| *result = sum(start + i, x));
                    silus(results);
                    results.iter_mut().enumerate().for_each(|(i, result)| *result *= sum(width + start + i, x));
                    y.write(r, start, results, false);
                });
                continue;
            }
            let (first, count) = (args.part.first as usize, args.part.count as usize);
            (0..count.div_ceil(PANEL)).into_par_iter().for_each(|panel| {
                let start = panel * PANEL;
                let mut sums = [0f32; PANEL];
                let sums = &mut sums[..PANEL.min(count - start)];
                sums.iter_mut().enumerate().for_each(|(i, s)| *s = sum(start + i, x));
                y.write(r, first + start, sums, self.residual());
            });
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        let (x, n) = (&io.inputs[0].desc, io.outputs[0].desc.width());
        let groups = n.div_ceil(self.results(n, lanes(x.width()))) as f64;
        // Each workgroup reads its row anew, and what the prologue has of the same width.
        let vectors = (x.rows() * self.prologue.inputs() * x.width() * 4) as f64;
        let own = io.inputs[2..].iter().map(|o| (o.desc.len() * 4) as f64).sum::<f64>();
        let mut cost = cost_product(io, self.residual(), |x_bytes, w, rest| {
            x_bytes * groups + w * x.rows() as f64 + vectors * groups + (rest - own)
        });
        if self.epilogue == Epilogue::Swiglu {
            cost.operations += (5 * io.outputs[0].desc.len()) as f64;
        }
        cost
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let mut cases = cases_product(&[&[1], &[3]], |residual| Matvec::plain(residual).into());
    let weight = |seed, base, shape: &[usize]| {
        CaseInput::weight(Desc::fixed(DType::F32, shape), Fill::Uniform { seed, base, amplitude: 0.5 })
    };
    let rms = || Prologue::Rms(RmsNorm { eps: 1e-6 });
    let layer = |gated| Prologue::Layer(LayerNorm { eps: 1e-6, gated });
    use Epilogue::{None, Residual, Swiglu};
    let sizes = [
        (rms(), 1, 1, None),
        (rms(), 7, 9, Residual),
        (rms(), 256, 24, None),
        (rms(), 520, 8, Residual),
        (rms(), 31, 4100, None),
        (layer(false), 1, 3, None),
        (layer(true), 30, 65, Residual),
        (layer(true), 544, 33, None),
        (layer(false), Prologue::MOST, 5, Residual),
        (Prologue::None, 5, 66, Swiglu),
        (rms(), 31, 130, Swiglu),
        (rms(), 516, 2, Swiglu),
    ];
    let sizes = sizes.into_iter().map(|(prologue, k, n, epilogue)| (DType::F16, prologue, k, n, epilogue));
    // Every way in and out meets every format.
    let ways = || [(rms(), None), (rms(), Swiglu), (layer(true), Residual), (Prologue::None, Swiglu)];
    let formats = DType::WEIGHTS.into_iter().flat_map(|dtype| ways().map(|(prologue, epilogue)| (dtype, prologue, 256, 24, epilogue)));
    for (dtype, prologue, k, n, epilogue) in sizes.chain(formats) {
        let mut inputs = vec![
            CaseInput::activation(Desc::tokens(2, k), Fill::uniform(1, 3.0)),
            CaseInput::weight(Desc::fixed(dtype, &[n, k]), Fill::uniform(2, 1.0)),
        ];
        match &prologue {
            Prologue::None => {}
            Prologue::Rms(_) => inputs.push(weight(4, 1.0, &[k])),
            Prologue::Layer(norm) => {
                inputs.extend([weight(4, 1.0, &[k]), weight(5, 0.0, &[k])]);
                inputs.extend(norm.gated.then(|| CaseInput::activation(Desc::tokens(2, k), Fill::uniform(6, 4.0))));
            }
        }
        if epilogue == Residual {
            inputs.push(CaseInput::activation(Desc::tokens(2, n), Fill::uniform(3, 1.0)));
        }
        let name = format!("2x{k} · {dtype}[{n}, {k}], {prologue:?}, {epilogue:?}");
        let normed = matches!(prologue, Prologue::Layer(_));
        let case = Case::new(name, Matvec { prologue, epilogue }, 2, inputs).bound(if normed { 1e-4 } else { 2e-5 });
        cases.push(if k * n > 4096 { case.thorough() } else { case });
    }
    cases
}
