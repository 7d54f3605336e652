//! Causal attention of many tokens over a cache of keys and values, without ever storing the scores.

use std::ops::Range;

use rayon::prelude::*;

use super::matmul::Columns;
use super::*;
use crate::vector::{View, exp_below, exponential, product, widen};

/// `y[t, h] = Σⱼ softmaxⱼ(q[t, h] · k[j] / √head_dim) v[j]` over the positions j of the cache up to token t's own, with keys and
/// values of head h · kv_heads / heads. The new keys and values are in the cache already.
///
/// Inputs: q `[tokens, heads · head_dim]`, the caches of keys and of values `[sequences, context, kv_heads · head_dim]` in f32 or f16.
#[derive(Debug, Clone, PartialEq)]
pub struct Attend {
    /// Heads and their width.
    pub heads: Heads,
}

/// Heads of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads, a divisor of them.
    pub kv: usize,
    /// Width of a head: a multiple of 4 up to 256.
    pub head_dim: usize,
}

/// Workgroup memory that a tile of attention may take, on devices that have more: it leaves room for another workgroup beside it.
const WORKGROUP_BYTES: u32 = 32 << 10;

/// The widest head.
pub const MAX_HEAD_DIM: usize = 256;

/// Checks the caches at inputs `first` and `first + 1`.
pub(super) fn expect_caches(inputs: &[&Desc], first: usize, width: usize) -> Result<(), OpError> {
    for input in [first, first + 1] {
        let d = inputs[input];
        let fits = d.axis == Axis::Fixed && d.shape.len() == 3 && d.shape[2] == width && matches!(d.dtype, DType::F32 | DType::F16);
        if !fits || d != inputs[first] {
            let wanted = if fits { inputs[first].to_string() } else { format!("f32 or f16 [sequences, context, {width}]") };
            return Err(OpError::input(inputs, input, wanted));
        }
    }
    Ok(())
}

/// The filling of the hole that reads and writes a cache.
pub(super) fn cache_format(cache: &Operand) -> &'static str {
    if cache.desc.dtype == DType::F16 { "cache_f16" } else { "cache_f32" }
}

impl Heads {
    /// Query heads that share a key and value head.
    pub(super) fn group(&self) -> usize {
        self.query / self.kv
    }

    /// Width of the queries' rows.
    pub(super) fn width(&self) -> usize {
        self.query * self.head_dim
    }

    /// Checks the heads.
    pub(super) fn check(&self) -> Result<(), OpError> {
        let attribute = |name, found: usize, wanted: String| Err(OpError::Attribute { name, found: found.to_string(), wanted });
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(4) || self.head_dim > MAX_HEAD_DIM {
            return attribute("head_dim", self.head_dim, format!("a multiple of 4 up to {MAX_HEAD_DIM}"));
        }
        if self.kv == 0 || self.query == 0 || !self.query.is_multiple_of(self.kv) {
            return attribute("kv", self.kv, format!("a divisor of the {} query heads", self.query));
        }
        Ok(())
    }

    /// Checks the heads, the queries and the caches.
    pub(super) fn expect(&self, inputs: &[&Desc]) -> Result<(), OpError> {
        self.check()?;
        expect_inputs(inputs, 3)?;
        let q = inputs[0];
        if q.axis != Axis::Tokens || q.dtype != DType::F32 || q.width() != self.width() {
            return Err(OpError::input(inputs, 0, format!("f32[tokens, {}]", self.width())));
        }
        expect_caches(inputs, 1, self.kv * self.head_dim)
    }

    /// How many query heads of a group one workgroup takes, at most `most`.
    pub(super) fn tile(&self, most: usize) -> usize {
        (1..=most).rev().find(|n| self.group().is_multiple_of(*n)).unwrap_or(1)
    }

    /// A launch with the overrides that the attention kernels share.
    pub(super) fn launch(&self, file: &'static str, cache: &Operand, tile: usize, grid: Grid) -> Launch {
        Launch::new(file, grid)
            .part(cache_format(cache))
            .part("cache_rows")
            .constant("HD", self.head_dim)
            .constant("TILE_HEADS", tile)
            .size("HEADS", self.query)
            .size("GROUP", self.group())
            .size("CACHE_WIDTH", self.kv * self.head_dim)
            .set("SCALE", self.scale())
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f64).sqrt().recip() as f32
    }

    /// The keys and values of head `kv` of the sequence at `index` in the part at hand.
    pub(super) fn cache<'a>(&self, args: &[In<'a>], index: usize, kv: usize) -> HeadCache<'a> {
        let (k, v, width) = (args[1], args[2], self.kv * self.head_dim);
        let start = index * k.operand.desc.shape[1] * width + kv * self.head_dim;
        HeadCache { k: k.matrix(), v: v.matrix(), start, width, head_dim: self.head_dim }
    }

    /// The scaled queries of a group's heads at rows `first .. first + tokens`, `[tokens · group, head_dim]`.
    pub(super) fn queries(&self, q: In<'_>, first: usize, tokens: usize, kv: usize) -> Vec<f32> {
        let (scale, wide) = (self.scale(), self.group() * self.head_dim);
        (first..first + tokens).flat_map(|r| &q.row(r)[kv * wide..][..wide]).map(|x| scale * x).collect()
    }
}

/// The keys and values of one head of one sequence.
pub(super) struct HeadCache<'a> {
    k: Matrix<'a>,
    v: Matrix<'a>,
    start: usize,
    width: usize,
    head_dim: usize,
}

/// What rows of queries gathered over a range of positions.
pub(super) struct Gathered {
    /// The largest score of each row.
    pub(super) largest: Vec<f32>,
    /// Σ exp(score − largest).
    pub(super) total: Vec<f32>,
    /// Σ exp(score − largest) v, `[rows, head_dim]`.
    pub(super) sums: Vec<f32>,
}

impl HeadCache<'_> {
    /// `n` rows of a cache from a position on, through `scratch` where they are stored narrower.
    fn rows<'b>(&'b self, cache: Matrix<'b>, first: usize, n: usize, scratch: &'b mut [f32]) -> View<'b> {
        let start = self.start + first * self.width;
        if let Matrix::F32(cache) = cache {
            return View::new(&cache[start..], n, self.head_dim, self.width);
        }
        for (i, row) in scratch.chunks_mut(self.head_dim).take(n).enumerate() {
            widen(cache, start + i * self.width, row);
        }
        View::new(scratch, n, self.head_dim, self.head_dim)
    }

    /// Walks the positions `keys` with rows `q` of scaled queries, of which row r sees the positions below `seen(r)`.
    pub(super) fn gather(&self, q: &[f32], keys: Range<usize>, seen: impl Fn(usize) -> usize) -> Gathered {
        const BLOCK: usize = 64;
        let hd = self.head_dim;
        let rows = q.len() / hd;
        let mut gathered = Gathered { largest: vec![f32::MIN; rows], total: vec![0.0; rows], sums: vec![0.0; rows * hd] };
        let (mut scores, mut scratch) = (vec![0.0; rows * BLOCK], vec![0.0; BLOCK * hd]);
        for start in keys.clone().step_by(BLOCK) {
            let n = BLOCK.min(keys.end - start);
            scores.fill(0.0);
            product(1.0, View::new(q, rows, hd, hd), self.rows(self.k, start, n, &mut scratch).t(), &mut scores, BLOCK);
            for (r, scores) in scores.chunks_mut(BLOCK).enumerate() {
                let (scores, hidden) = scores.split_at_mut(seen(r).saturating_sub(start).min(n));
                hidden.fill(0.0);
                let before = gathered.largest[r];
                let largest = scores.iter().copied().fold(before, f32::max);
                let factor = exponential(before - largest);
                gathered.largest[r] = largest;
                gathered.total[r] = gathered.total[r] * factor + exp_below(scores, largest);
                gathered.sums[r * hd..][..hd].iter_mut().for_each(|sum| *sum *= factor);
            }
            let values = self.rows(self.v, start, n, &mut scratch);
            product(1.0, View::new(&scores, rows, n, BLOCK), values, &mut gathered.sums, hd);
        }
        gathered
    }
}

impl Kernel for Attend {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        self.heads.expect(inputs)?;
        Ok(vec![inputs[0].clone()])
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1, 2]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, caps: &Caps) -> Vec<Launch> {
        let (hd, q, cache) = (self.heads.head_dim, &io.inputs[0], &io.inputs[1]);
        // Rows of which an invocation has at most two blocks of y, and no more than there are.
        let most = (4 * (64 / hd.div_ceil(8)).min(8)).min(q.desc.rows() * self.heads.group());
        let heads = self.heads.tile(most);
        let tokens = most / heads;
        let row_fours = (heads * tokens).div_ceil(4);
        // What the queries and the invocations' own leave of workgroup memory holds a tile and its scores.
        let fours = caps.workgroup_bytes.min(WORKGROUP_BYTES) as usize / 16;
        let fit = (fours - row_fours * hd - 64) / (hd / 4 + row_fours);
        let keys = 1usize << fit.ilog2().clamp(2, 5);
        let grid = Grid(vec![
            Extent::fixed(self.heads.query, heads as u32),
            Extent::new(Live::Longest, tokens as u32),
            Extent::new(Live::Part, 1),
        ]);
        let launch = self.heads.launch("attend", cache, heads, grid).part("block_product").bind(&["q", "k_cache", "v_cache", "y"]);
        let launch = launch.size("Q_STRIDE", q.stride).size("Q_OFFSET", q.offset);
        // Of each tile of keys the loads, scores, exponentials and sums; before and after them the queries and the results.
        let (fours, lanes) = (hd / 4, 64 / row_fours);
        let blocks = (keys / 4).div_ceil(lanes);
        let a_tile = 2 * looped((keys * fours).div_ceil(64), 0)
            + looped(blocks, looped(fours, 0))
            + looped(lanes, 0)
            + looped(blocks, looped(4, 0))
            + looped(keys / 4, 0);
        let tiles = looped(cache.desc.shape[1].div_ceil(keys), a_tile);
        let rounds = tiles + looped((row_fours * hd).div_ceil(64), 0) + looped(lanes, 0) + looped(4, looped(2, 0));
        vec![launch.constant("TILE_TOKENS", tokens).constant("KEYS", keys).rounds(rounds)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        /// Rows of queries that go through the cache together.
        const ROWS: usize = 64;
        let (heads, inputs, width) = (self.heads, &args.inputs, self.heads.width());
        let y = Columns::new(args.outputs[0].rows(args.step.head.rows as usize), width);
        let tokens = (ROWS / heads.group()).max(1);
        for (s, record) in args.step.sequences_of(args.part) {
            let count = record.count as usize;
            (0..count.div_ceil(tokens) * heads.kv).into_par_iter().for_each(|i| {
                let (kv, start) = (i % heads.kv, i / heads.kv * tokens);
                let n = tokens.min(count - start);
                let (row, position) = (record.first_row as usize + start, record.position as usize + start);
                let q = heads.queries(inputs[0], row, n, kv);
                let gathered = heads.cache(inputs, s, kv).gather(&q, 0..position + n, |r| position + r / heads.group() + 1);
                let mut sums = gathered.sums;
                for (r, (sums, total)) in sums.chunks_mut(heads.head_dim).zip(&gathered.total).enumerate() {
                    sums.iter_mut().for_each(|sum| *sum /= total);
                    let head = kv * heads.group() + r % heads.group();
                    y.write(row + r / heads.group(), head * heads.head_dim, sums, false);
                }
            });
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        self.heads.cost(io)
    }
}

impl Heads {
    /// The work of attention over a full context.
    pub(super) fn cost(&self, io: &Io) -> Cost {
        let context = io.inputs[1].desc.shape[1] as f64;
        Cost::streaming(io, 4.0 * io.inputs[0].desc.len() as f64 * context)
    }
}

/// The cases of attention: heads, context, cache, and each sequence's position and tokens.
pub(super) fn cases_attention(op: impl Fn(Heads) -> Op) -> Vec<Case> {
    let case = |query: usize, kv: usize, head_dim: usize, dtype, amplitude, records: &[(u32, u32)]| {
        let heads = Heads { query, kv, head_dim };
        let rows = records.iter().map(|r| r.1).sum::<u32>() as usize;
        let context = records.iter().map(|r| r.0 + r.1).max().unwrap_or(0) as usize + 3;
        let cache = Desc::fixed(dtype, &[records.len(), context, kv * head_dim]);
        let inputs = vec![
            CaseInput::activation(Desc::tokens(rows, heads.width()), Fill::uniform(1, amplitude)),
            CaseInput::state(cache.clone(), Fill::uniform(2, 1.0)),
            CaseInput::state(cache, Fill::uniform(3, 2.0)),
        ];
        let step = Step::new(records.iter().map(|&(position, n)| Sequence::new(position, n)).collect());
        let name = format!("heads {query}/{kv}x{head_dim} {dtype} ±{amplitude} {records:?}");
        Case::new(name, op(heads), rows, inputs).steps(vec![step])
    };
    use DType::{F16, F32};
    vec![
        case(1, 1, 4, F32, 3.0, &[(0, 1)]),
        case(4, 4, 16, F32, 3.0, &[(0, 15), (40, 1), (0, 0), (7, 17)]),
        case(6, 2, 16, F16, 3.0, &[(126, 5), (250, 1)]),
        case(6, 1, 60, F32, 3.0, &[(31, 2), (0, 16)]),
        case(8, 2, 64, F16, 3.0, &[(127, 1), (128, 1), (255, 1)]),
        case(16, 1, 96, F32, 3.0, &[(5, 4)]),
        case(4, 2, 128, F32, 3.0, &[(60, 9), (300, 1)]),
        case(5, 1, 256, F16, 3.0, &[(3, 3)]),
        case(34, 2, 8, F32, 3.0, &[(9, 2)]),
        // One key takes it all, and all take the same.
        case(2, 1, 64, F32, 300.0, &[(200, 3)]).bound(2e-4),
        case(2, 1, 64, F32, 0.0, &[(200, 3)]),
        case(4, 1, 64, F32, 3.0, &[(1000, 70), (517, 33)]).thorough(),
        // More workgroups than an axis has.
        case(520, 520, 4, F32, 3.0, &[(0, 17); 64]).thorough(),
    ]
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    cases_attention(|heads| Attend { heads }.into())
}
