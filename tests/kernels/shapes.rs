//! Random shapes for every kernel, from a printed seed: what no table thought of.

use fastweight::kernels::add::Add;
use fastweight::kernels::add_bias::AddBias;
use fastweight::kernels::append::Append;
use fastweight::kernels::attend::{Attend, Heads};
use fastweight::kernels::attend_append::AttendAppend;
use fastweight::kernels::attend_combine::AttendCombine;
use fastweight::kernels::attend_decode::AttendDecode;
use fastweight::kernels::causal_conv::CausalConv;
use fastweight::kernels::copy::Copy;
use fastweight::kernels::cross_entropy::CrossEntropy;
use fastweight::kernels::embed::Embed;
use fastweight::kernels::gelu_gate::GeluGate;
use fastweight::kernels::group_rms_norm::GroupRmsNorm;
use fastweight::kernels::last_row::LastRow;
use fastweight::kernels::layer_norm::LayerNorm;
use fastweight::kernels::lr_gate::LrGate;
use fastweight::kernels::matmul::Matmul;
use fastweight::kernels::matvec::{Epilogue, Matvec, Prologue};
use fastweight::kernels::multiply_add::MultiplyAdd;
use fastweight::kernels::norm_conv::NormConv;
use fastweight::kernels::random::{self, Rule};
use fastweight::kernels::remember::Remember;
use fastweight::kernels::repetition::Repetition;
use fastweight::kernels::rms_norm::RmsNorm;
use fastweight::kernels::rope::{Positions, Rope};
use fastweight::kernels::sample::Sample;
use fastweight::kernels::selective_scan::SelectiveScan;
use fastweight::kernels::ssd::Ssd;
use fastweight::kernels::stream_copy::{self, StreamCopy};
use fastweight::kernels::stream_read::{self, StreamRead};
use fastweight::kernels::swiglu::Swiglu;
use fastweight::kernels::ttt_linear::TttLinear;
use fastweight::kernels::ttt_linear_outputs::TttLinearOutputs;
use fastweight::kernels::ttt_linear_states::TttLinearStates;
use fastweight::kernels::ttt_mlp::TttMlp;
use fastweight::kernels::{Case, CaseInput, Fill, Front, Geometry, KERNELS, Op, StateSpace};
use fastweight::step::{HISTORY, Sequence, Step};
use fastweight::tensor::{DType, Desc};
use fastweight_tests::{Random, software};

use super::{loops, report};

/// Shapes that each kernel is tried with.
const SHAPES: usize = 6;

/// Makes a case of one kernel.
type Make = fn(&mut Random) -> Case;

const MAKERS: &[(&str, Make)] = &[
    ("add", |r| rows_case(r, Add, &[1.0, 4.0])),
    ("add_bias", |r| norm_case(r, AddBias, 1)),
    ("append", |r| {
        let (heads, dtype, step) = (heads(r), *r.pick(&[DType::F32, DType::F16]), cached_step(r));
        let (k, v) = (rows_of(r, &step, heads.kv * heads.head_dim), rows_of(r, &step, heads.kv * heads.head_dim));
        let bound = if dtype == DType::F16 { 1e-3 } else { 0.0 };
        let [k_cache, v_cache] = caches(r, &heads, dtype, &step);
        Case::new("", Append, 0, vec![k, v, k_cache, v_cache]).steps(vec![step]).bound(bound)
    }),
    ("attend", |r| attention(r, |heads| Attend { heads }.into())),
    ("attend_append", |r| {
        let (heads, dtype, step) = (heads(r), *r.pick(&[DType::F32, DType::F16]), cached_step(r));
        let rope = Rope { head_dim: heads.head_dim, positions: Positions::Full, interleaved: r.within(0, 1) == 1 };
        let (width, kv_width) = (heads.query * heads.head_dim, heads.kv * heads.head_dim);
        // Other columns before, between and behind.
        let qk = r.within(0, 9);
        let v = qk + width + kv_width + r.within(0, 9);
        let behind = r.within(0, 9);
        let p = rows_of(r, &step, v + kv_width + behind);
        let table = weight(r, DType::F32, &[rope.rows(), heads.head_dim], 0.0, 0.3);
        let [k_cache, v_cache] = caches(r, &heads, dtype, &step);
        let bound = if dtype == DType::F16 { 5e-3 } else { 1e-4 };
        Case::new("", AttendAppend { heads, rope, qk, v }, 0, vec![p, table, k_cache, v_cache]).steps(vec![step]).bound(bound)
    }),
    ("attend_combine", |r| {
        let (heads, step) = (heads(r), cached_step(r));
        let splits = step.head.context.div_ceil(128) as usize;
        let width = heads.query * splits * (heads.head_dim + 2);
        let fill = Fill::Uniform { seed: seed(r), base: 3.0, amplitude: 2.0 };
        let partial = CaseInput::activation(Desc::tokens(step.head.rows as usize, width), fill);
        let op = AttendCombine { heads: heads.query, head_dim: heads.head_dim };
        Case::new("", op, 0, vec![partial]).steps(vec![step])
    }),
    ("attend_decode", |r| attention(r, |heads| AttendDecode { heads }.into())),
    ("causal_conv", causal_conv),
    ("copy", |r| rows_case(r, Copy, &[9.0]).bound(0.0)),
    ("cross_entropy", cross_entropy),
    ("embed", embed),
    ("gelu_gate", |r| rows_case(r, GeluGate, &[6.0, 2.0])),
    ("group_rms_norm", |r| {
        let (groups, group, rows) = (r.within(1, 4), width(r), r.within(1, 9));
        let x = CaseInput::activation(Desc::tokens(rows, groups * group), Fill::uniform(seed(r), 3.0));
        let w = weight(r, DType::F32, &[groups * group], 1.0, 0.5);
        Case::new("", GroupRmsNorm { groups, eps: 1e-5 }, rows, vec![x, w])
    }),
    ("last_row", |r| {
        let step = step(r, 5);
        let x = activation(r, step.head.rows as usize, 3.0);
        Case::new("", LastRow { sequences: step.sequences.len() }, 0, vec![x]).steps(vec![step]).bound(0.0)
    }),
    ("layer_norm", |r| norm_case(r, LayerNorm { eps: 1e-5, gated: false }, 2)),
    ("lr_gate", |r| {
        let step = step(r, 5);
        let z = activation(r, step.head.rows as usize, 6.0);
        let bias = weight(r, DType::F32, &[z.desc.width()], 0.0, 1.0);
        Case::new("", LrGate { scale: 0.3 }, 0, vec![z, bias]).steps(vec![step])
    }),
    ("matmul", |r| product(r, 90, |residual| Matmul { residual }.into())),
    ("matvec", matvec),
    ("multiply_add", |r| {
        let x = CaseInput::activation(Desc::fixed(DType::F32, &[r.within(1, 3000), 1]), Fill::Below { seed: seed(r), n: 50 });
        // Every number on the way is a small integer, which halves hold too.
        let factors = CaseInput::activation(Desc::fixed(DType::F32, &[2, 1]), Fill::Constant(-1.0));
        Case::new("", MultiplyAdd { rounds: r.within(1, 60) }, 1, vec![x, factors]).bound(0.0)
    }),
    ("norm_conv", |r| {
        let (step, taps) = (step(r, 9), r.within(2, 16));
        let x = activation(r, step.head.rows as usize, 2.0);
        let channels = x.desc.width();
        let inputs = vec![
            x,
            weight(r, DType::F32, &[channels], 1.0, 0.5),
            weight(r, DType::F32, &[channels, taps], 0.0, 1.0),
            weight(r, DType::F32, &[channels], 0.0, 1.0),
            state(r, DType::F32, &[step.sequences.len(), taps - 1, channels]),
        ];
        Case::new("", NormConv { norm: RmsNorm { eps: 1e-5 }, taps }, 0, inputs).steps(vec![step])
    }),
    ("random", |r| {
        let (dtype, height, width) = (*r.pick(&DType::WEIGHTS), r.within(1, 40), r.within(1, 700).next_multiple_of(32));
        let row = Desc::fixed(dtype, &[height, width]).row_bytes() / 4;
        let (first, amplitude) = (r.within(0, height - 1), 0.01 * r.within(1, 300) as f32);
        let rows = (first, r.within(1, height - first));
        let rule = Rule { seed: seed(r), base: 0.0, amplitude, rows, words: (0, row) };
        let rule = CaseInput::activation(Desc::fixed(DType::U32, &[7]), Fill::Words(rule.words(dtype)));
        let words = CaseInput::state(Desc::fixed(DType::U32, &[height, row]), Fill::Below { seed: seed(r), n: 9 });
        Case::new("", random::Random { dtype, width }, 1, vec![rule, words]).bound(0.0)
    }),
    ("remember", |r| {
        let step = step(r, 300);
        let ids = ids(r, step.head.rows as usize, 1000);
        let ring = state(r, DType::U32, &[step.sequences.len(), HISTORY]);
        Case::new("", Remember, 0, vec![ids, ring]).steps(vec![step]).bound(0.0)
    }),
    ("repetition", |r| {
        let mut step = step(r, 1);
        for s in &mut step.sequences {
            (s.last_n, s.penalty, s.inverse_penalty) = (r.within(0, HISTORY) as u32, 1.7, 1.0 / 1.7);
        }
        let n = step.sequences.len();
        let logits = CaseInput::activation(Desc::sequences(n, width(r)), Fill::uniform(seed(r), 9.0));
        Case::new("", Repetition, 0, vec![logits, state(r, DType::U32, &[n, HISTORY])]).steps(vec![step]).bound(0.0)
    }),
    ("rms_norm", |r| norm_case(r, RmsNorm { eps: 1e-5 }, 1)),
    ("rope", |r| {
        let (head_dim, heads, interleaved) = (2 * r.within(1, 48), r.within(1, 5), r.within(0, 1) == 1);
        let positions = *r.pick(&[Positions::Full, Positions::Periodic(1), Positions::Periodic(16), Positions::Periodic(61)]);
        let (rope, step) = (Rope { head_dim, positions, interleaved }, step(r, 9));
        let desc = Desc::tokens(step.head.rows as usize, heads * head_dim);
        let table = weight(r, DType::F32, &[rope.rows(), head_dim], 0.0, 1.0);
        let x = CaseInput::activation(desc, Fill::uniform(seed(r), 4.0));
        Case::new("", rope, 0, vec![x, table]).steps(vec![step])
    }),
    ("sample", |r| {
        let mut step = step(r, 1);
        for s in &mut step.sequences {
            (s.seed, s.sharpness) = (seed(r), *r.pick(&[0.0, 0.5, 1.44]));
            (s.top_k, s.top_p) = (*r.pick(&[0, 1, 7, 40]), *r.pick(&[0, 1 << 31, u32::MAX]));
        }
        let n = step.sequences.len();
        let logits = CaseInput::activation(Desc::sequences(n, r.within(1, 3000)), Fill::uniform(seed(r), 8.0));
        Case::new("", Sample, 0, vec![logits, state(r, DType::U32, &[n, 1])]).steps(vec![step]).bound(0.0)
    }),
    ("selective_scan", |r| {
        let (channels, state, gated) = (r.within(1, 150), r.within(1, 256), r.within(0, 1) == 1);
        scan(r, SelectiveScan { channels, state, gated }, channels, 1, 1, state, state, gated)
    }),
    ("ssd", |r| {
        let (groups, gated, state) = (r.within(1, 3), r.within(0, 1) == 1, r.within(1, 200));
        let (heads, head_dim) = (groups * r.within(1, 3), r.within(1, 140));
        let space = StateSpace { heads, head_dim, groups, state, step_limit: [0.0, 1e4] };
        scan(r, Ssd { space, gated }, heads, head_dim, groups, state, 1, gated)
    }),
    ("stream_copy", |r| stream(r, stream_copy::CHUNK, |passes| StreamCopy { passes }.into()).bound(0.0)),
    ("stream_read", |r| stream(r, stream_read::CHUNK, |passes| StreamRead { passes }.into())),
    ("swiglu", |r| rows_case(r, Swiglu, &[6.0, 2.0])),
    ("ttt_linear", |r| {
        ttt(r, |geometry, probe, front| (TttLinear { geometry, probe, front }.into(), TttLinear::fast_len, TttLinear::row_len))
    }),
    ("ttt_linear_outputs", |r| {
        let (geometry, step) = (ttt_heads(r), step(r, 16));
        let scan = given(r, TttLinearStates { geometry }.into(), &geometry, TttLinear::fast_len, TttLinear::row_len, step);
        let descs: Vec<&Desc> = scan.inputs.iter().map(|i| &i.desc).collect();
        let left = scan.op.kernel().infer(&descs).expect("shapes fit");
        let [qk, _, _, params, _, open] = scan.inputs.try_into().expect("six inputs");
        let [steps, models] =
            [0, 1].map(|output: usize| CaseInput::activation(left[output].clone(), Fill::uniform(seed(r), 0.3)));
        Case { op: TttLinearOutputs { geometry }.into(), inputs: vec![qk, models, steps, params, open], ..scan }
    }),
    ("ttt_linear_states", |r| {
        let (geometry, step) = (ttt_heads(r), step(r, 16));
        given(r, TttLinearStates { geometry }.into(), &geometry, TttLinear::fast_len, TttLinear::row_len, step)
    }),
    ("ttt_mlp", |r| {
        ttt(r, |geometry, probe, front| (TttMlp { geometry, probe, front }.into(), TttMlp::fast_len, TttMlp::row_len))
    }),
];

fn seed(r: &mut Random) -> u32 {
    r.bits() as u32
}

fn width(r: &mut Random) -> usize {
    let most = *r.pick(&[9, 70, 600]);
    r.within(1, most)
}

fn activation(r: &mut Random, rows: usize, amplitude: f32) -> CaseInput {
    CaseInput::activation(Desc::tokens(rows, width(r)), Fill::uniform(seed(r), amplitude))
}

fn weight(r: &mut Random, dtype: DType, shape: &[usize], base: f32, amplitude: f32) -> CaseInput {
    CaseInput::weight(Desc::fixed(dtype, shape), Fill::Uniform { seed: seed(r), base, amplitude })
}

fn state(r: &mut Random, dtype: DType, shape: &[usize]) -> CaseInput {
    let fill = if dtype == DType::U32 { Fill::Below { seed: seed(r), n: 50 } } else { Fill::uniform(seed(r), 0.3) };
    CaseInput::state(Desc::fixed(dtype, shape), fill)
}

fn ids(r: &mut Random, rows: usize, n: usize) -> CaseInput {
    CaseInput::activation(Desc::tokens(rows, 1).of(DType::U32), Fill::Below { seed: seed(r), n: n as u32 })
}

/// Up to four sequences, each with up to `most` tokens from somewhere on; the first has some.
fn step(r: &mut Random, most: usize) -> Step {
    let n = r.within(1, 4);
    let sequence = |s: usize| Sequence::new(r.within(0, 3000) as u32, r.within(usize::from(s == 0 || most == 1), most) as u32);
    Step::new((0..n).map(sequence).collect())
}

/// A kernel of inputs of one shape.
fn rows_case(r: &mut Random, op: impl Into<Op>, amplitudes: &[f32]) -> Case {
    let desc = Desc::tokens(r.within(1, 40), width(r));
    let inputs = amplitudes.iter().map(|a| CaseInput::activation(desc.clone(), Fill::uniform(seed(r), *a))).collect();
    Case::new("", op, desc.rows(), inputs)
}

/// A norm with `vectors` weights.
fn norm_case(r: &mut Random, op: impl Into<Op>, vectors: usize) -> Case {
    let rows = r.within(1, 30);
    let x = activation(r, rows, 3.0);
    let width = x.desc.width();
    let weights = (0..vectors).map(|_| weight(r, DType::F32, &[width], 1.0, 0.5));
    let inputs = std::iter::once(x).chain(weights).collect();
    Case::new("", op, rows, inputs)
}

fn product(r: &mut Random, most: usize, op: fn(bool) -> Op) -> Case {
    let (rows, n, residual) = (r.within(1, most), width(r).min(200), r.within(0, 1) == 1);
    let x = activation(r, rows, 1.0);
    let dtype = *r.pick(&[DType::F32, DType::F16, DType::BF16]);
    let w = weight(r, dtype, &[n, x.desc.width()], 0.0, 1.0);
    let mut inputs = vec![x, w];
    if residual {
        inputs.push(CaseInput::activation(Desc::tokens(rows, n), Fill::uniform(seed(r), 1.0)));
    }
    Case::new("", op(residual), rows, inputs)
}

/// A product of few rows with anything before and after it.
fn matvec(r: &mut Random) -> Case {
    let (rows, n) = (r.within(1, 4), 2 * width(r).min(100));
    let x = activation(r, rows, 1.0);
    let k = x.desc.width();
    let dtype = *r.pick(&[DType::F32, DType::F16, DType::BF16]);
    let layer = |gated| Prologue::Layer(LayerNorm { eps: 1e-5, gated });
    let prologue = r.pick(&[Prologue::None, Prologue::Rms(RmsNorm { eps: 1e-5 }), layer(false), layer(true)]).clone();
    let epilogue = *r.pick(&[Epilogue::None, Epilogue::Residual, Epilogue::Swiglu]);
    let mut inputs = vec![x, weight(r, dtype, &[n, k], 0.0, 0.5)];
    let vectors = match prologue {
        Prologue::None => 0,
        Prologue::Rms(_) => 1,
        Prologue::Layer(_) => 2,
    };
    inputs.extend((0..vectors).map(|_| weight(r, DType::F32, &[k], 0.5, 0.5)));
    if prologue == layer(true) {
        inputs.push(CaseInput::activation(Desc::tokens(rows, k), Fill::uniform(seed(r), 2.0)));
    }
    if epilogue == Epilogue::Residual {
        inputs.push(CaseInput::activation(Desc::tokens(rows, n), Fill::uniform(seed(r), 1.0)));
    }
    Case::new("", Matvec { prologue, epilogue }, rows, inputs).bound(1e-4)
}

fn embed(r: &mut Random) -> Case {
    let (rows, n, dtype) = (r.within(1, 60), r.within(1, 80), *r.pick(&[DType::F32, DType::F16, DType::BF16]));
    let width = width(r);
    let inputs = vec![ids(r, rows, n), weight(r, dtype, &[n, width], 0.0, 1.0)];
    Case::new("", Embed, rows, inputs).bound(0.0)
}

fn cross_entropy(r: &mut Random) -> Case {
    let rows = r.within(1, 20);
    let logits = activation(r, rows, 10.0);
    let targets = ids(r, rows, logits.desc.width());
    Case::new("", CrossEntropy, rows, vec![logits, targets])
}

fn causal_conv(r: &mut Random) -> Case {
    let (step, taps, filters) = (step(r, 12), r.within(2, 16), r.within(1, 3));
    let x = activation(r, step.head.rows as usize, 2.0);
    let channels = x.desc.width();
    let residual = filters == 1 && r.within(0, 1) == 1;
    let mut inputs = vec![
        x,
        weight(r, DType::F32, &[filters * channels, taps], 0.0, 1.0),
        weight(r, DType::F32, &[filters * channels], 0.0, 1.0),
        state(r, DType::F32, &[step.sequences.len(), taps - 1, channels]),
    ];
    if residual {
        let desc = inputs[0].desc.clone();
        inputs.push(CaseInput::activation(desc, Fill::uniform(seed(r), 3.0)));
    }
    Case::new("", CausalConv { filters, taps, silu: r.within(0, 1) == 1, residual }, 0, inputs).steps(vec![step])
}

/// A scan: `rates` rates of decay a head.
#[expect(clippy::too_many_arguments, reason = "the sizes of a layer, each once")]
fn scan(
    r: &mut Random,
    op: impl Into<Op>,
    heads: usize,
    head_dim: usize,
    groups: usize,
    elements: usize,
    rates: usize,
    gated: bool,
) -> Case {
    let step = step(r, 40);
    let mut inputs =
        vec![rows_of(r, &step, heads * head_dim), rows_of(r, &step, heads), rows_of(r, &step, 2 * groups * elements)];
    inputs.push(weight(r, DType::F32, &[heads * (rates + 2)], 0.0, 1.5));
    inputs.push(state(r, DType::F32, &[step.sequences.len() * heads, head_dim * elements]));
    if gated {
        inputs.push(rows_of(r, &step, heads * head_dim));
    }
    Case::new("", op, 0, inputs).steps(vec![step]).bound(1e-4)
}

fn heads(r: &mut Random) -> Heads {
    let kv = r.within(1, 3);
    Heads { query: kv * r.within(1, 6), kv, head_dim: 4 * r.within(1, 64) }
}

/// A step of sequences that are not far along.
fn cached_step(r: &mut Random) -> Step {
    let mut step = step(r, 9);
    step.sequences.iter_mut().for_each(|s| s.position %= 300);
    Step::new(step.sequences)
}

fn rows_of(r: &mut Random, step: &Step, width: usize) -> CaseInput {
    CaseInput::activation(Desc::tokens(step.head.rows as usize, width), Fill::uniform(seed(r), 3.0))
}

/// Caches of keys and of values with room for a step.
fn caches(r: &mut Random, heads: &Heads, dtype: DType, step: &Step) -> [CaseInput; 2] {
    let context = step.head.context as usize + r.within(0, 200);
    let desc = Desc::fixed(dtype, &[step.sequences.len(), context, heads.kv * heads.head_dim]);
    [(); 2].map(|()| CaseInput::state(desc.clone(), Fill::uniform(seed(r), 1.0)))
}

fn attention(r: &mut Random, op: fn(Heads) -> Op) -> Case {
    let (heads, dtype, step) = (heads(r), *r.pick(&[DType::F32, DType::F16]), cached_step(r));
    let q = rows_of(r, &step, heads.query * heads.head_dim);
    let [k, v] = caches(r, &heads, dtype, &step);
    Case::new("", op(heads), 0, vec![q, k, v]).steps(vec![step]).bound(1e-4)
}

/// The widths of a head's states.
type Width = fn(&Geometry) -> usize;

fn ttt_heads(r: &mut Random) -> Geometry {
    Geometry { heads: r.within(1, 3), head_dim: 4 * r.within(1, 32), mini_batch: r.within(1, 64) }
}

/// A layer with its operands given.
fn given(r: &mut Random, op: Op, geometry: &Geometry, fast: Width, row: Width, step: Step) -> Case {
    let (rows, states) = (step.head.rows as usize, step.sequences.len() * geometry.heads);
    let tokens = |r: &mut Random, width, base, amplitude| {
        CaseInput::activation(Desc::tokens(rows, width), Fill::Uniform { seed: seed(r), base, amplitude })
    };
    let inputs = vec![
        tokens(r, 2 * geometry.width(), 0.0, 0.5),
        tokens(r, geometry.width(), 0.0, 0.5),
        tokens(r, geometry.heads, 0.2, 0.2),
        weight(r, DType::F32, &[geometry.params_len()], 0.0, 1.0),
        state(r, DType::F32, &[states, fast(geometry)]),
        state(r, DType::F32, &[states, geometry.mini_batch * row(geometry)]),
    ];
    Case::new("", op, 0, inputs).steps(vec![step]).bound(5e-4)
}

fn ttt(r: &mut Random, op: fn(Geometry, bool, Option<Front>) -> (Op, Width, Width)) -> Case {
    let geometry = ttt_heads(r);
    let (step, width) = (step(r, 16), geometry.width());
    if r.within(0, 1) == 1 {
        let (taps, lr) = (*r.pick(&[None, Some(2), Some(4), Some(9)]), r.within(0, 5));
        let (v, qk) = (lr + geometry.heads, lr + geometry.heads + width);
        let gate = LrGate { scale: 0.3 };
        let front = Front { qk, v, lr, taps, interleaved: r.within(0, 1) == 1, gate };
        let params = weight(r, DType::F32, &[front.params_len(&geometry)], 0.0, 0.7);
        let (op, fast, row) = op(geometry, false, Some(front));
        let (rows, states) = (step.head.rows as usize, step.sequences.len() * geometry.heads);
        let mut inputs = vec![
            CaseInput::activation(Desc::tokens(rows, qk + 2 * width), Fill::uniform(seed(r), 0.5)),
            params,
            weight(r, DType::F32, &[geometry.mini_batch, geometry.head_dim], 0.0, 0.7),
            state(r, DType::F32, &[states, fast(&geometry)]),
            state(r, DType::F32, &[states, geometry.mini_batch * row(&geometry)]),
        ];
        inputs.extend(taps.map(|taps| state(r, DType::F32, &[step.sequences.len(), taps - 1, width])));
        return Case::new("", op, 0, inputs).steps(vec![step]).bound(5e-4);
    }
    let (op, fast, row) = op(geometry, r.within(0, 1) == 1, None);
    given(r, op, &geometry, fast, row, step)
}

/// Some chunks, some times.
fn stream(r: &mut Random, chunk: usize, op: impl Fn(usize) -> Op) -> Case {
    let x = CaseInput::activation(Desc::fixed(DType::F32, &[r.within(1, 5), chunk]), Fill::uniform(seed(r), 1.0));
    Case::new("", op(r.within(1, 4)), 1, vec![x])
}

#[test]
fn random_shapes_pass_on_the_software_gpu() {
    let device = software();
    let mut random = Random::new();
    let mut cases = Vec::new();
    for (kernel, _) in KERNELS {
        let (_, make) = MAKERS.iter().find(|m| m.0 == *kernel).unwrap_or_else(|| panic!("no random shapes for {kernel}"));
        for _ in 0..SHAPES {
            let mut case = make(&mut random);
            // A run that the driver would cut off is refused by the plan.
            while loops::rounds(&case, device.caps()).into_iter().min() > Some(device.caps().loop_rounds) {
                case = make(&mut random);
            }
            let shapes: Vec<String> = case.inputs.iter().map(|i| i.desc.to_string()).collect();
            let runs: Vec<_> = case.steps[0].sequences.iter().map(|s| (s.position, s.count)).collect();
            case.name = format!("{:?} {} {runs:?}", case.op, shapes.join(" "));
            cases.push((*kernel, case));
        }
    }
    report(&device, cases);
}
