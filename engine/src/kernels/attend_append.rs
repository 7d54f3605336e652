//! Attention of few tokens with what comes before it: the rotation of q and k, and the new keys and values put into the caches.

use super::append::Append;
use super::attend::Heads;
use super::attend_decode::AttendDecode;
use super::rope::{Positions, Rope};
use super::*;

/// What [`AttendDecode`] yields for q, after [`Append`] of k and v, with q and k turned by [`Rope`]: all of them columns of one projection.
///
/// Inputs: p `[tokens, …]`, the rotation's table `[rows, head_dim]`, the caches of keys and of values
/// `[sequences, context, kv_heads · head_dim]` in f32 or f16 (updated). Outputs: that of [`AttendDecode`], the caches.
#[derive(Debug, Clone, PartialEq)]
pub struct AttendAppend {
    /// Heads and their width.
    pub heads: Heads,
    /// The rotation, of full positions.
    pub rope: Rope,
    /// The first column of q, behind which k lies.
    pub qk: usize,
    /// The first column of v.
    pub v: usize,
}

impl AttendAppend {
    fn kv_width(&self) -> usize {
        self.heads.kv * self.heads.head_dim
    }
}

impl Kernel for AttendAppend {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 4)?;
        self.heads.check()?;
        let (p, width) = (inputs[0], self.heads.width() + self.kv_width());
        let end = (self.qk + width).max(self.v + self.kv_width());
        if p.axis != Axis::Tokens || p.dtype != DType::F32 || p.width() < end {
            return Err(OpError::input(inputs, 0, format!("f32 with a row a token of at least {end}")));
        }
        if self.rope.head_dim != self.heads.head_dim || self.rope.positions != Positions::Full {
            let wanted = format!("of full positions and heads of {}", self.heads.head_dim);
            return Err(OpError::Attribute { name: "rope", found: format!("{:?}", self.rope), wanted });
        }
        expect_weight(inputs, 1, self.rope.rows() * self.rope.head_dim)?;
        super::attend::expect_caches(inputs, 2, self.kv_width())?;
        let partial = p.with_width(AttendDecode { heads: self.heads }.partial_width(inputs[2]));
        Ok(vec![partial, inputs[2].clone(), inputs[3].clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(2, 1), (3, 2)]
    }

    fn divisible(&self) -> Vec<usize> {
        vec![2, 3]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (p, cache) = (&io.inputs[0], &io.outputs[1]);
        let launch = AttendDecode { heads: self.heads }.launch("attend_append", cache);
        let launch = launch.bind(&["p", "table", "partial", "k_cache", "v_cache"]);
        let launch = launch.part("turn_full").constant("COARSE", self.rope.rows() / 2);
        let launch = launch.size("P_STRIDE", p.stride).size("P_OFFSET", p.offset).size("DISTANCE", self.rope.distance());
        vec![launch.size("QK_COLUMN", self.qk).size("V_COLUMN", self.v)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let (step, part) = (args.step, args.part);
        let [p, table] = args.inputs[..] else { unreachable!("two inputs are only read") };
        let [partial, k_cache, v_cache] = &mut args.outputs[..] else { unreachable!("three outputs") };
        let columns = |of: &Operand, start: usize, width: usize| Operand {
            desc: of.desc.with_width(width),
            stride: of.stride,
            offset: of.offset + start,
        };
        let width = self.heads.width() + self.kv_width();
        let (qk, v) = (columns(p.operand, self.qk, width), columns(p.operand, self.v, self.kv_width()));
        let turned = Operand::whole(qk.desc.clone());
        let mut words = vec![0u32; step.head.rows as usize * width];
        let inputs = vec![In { operand: &qk, words: p.words }, table];
        self.rope.reference(&mut Args { step, part, inputs, outputs: vec![Out { operand: &turned, words: &mut words }] });
        let (q, k) = (columns(&turned, 0, self.heads.width()), columns(&turned, self.heads.width(), self.kv_width()));
        let inputs = vec![In { operand: &k, words: &words }, In { operand: &v, words: p.words }];
        let outputs = [&mut *k_cache, v_cache].map(|cache| Out { operand: cache.operand, words: &mut *cache.words }).into();
        Append.reference(&mut Args { step, part, inputs, outputs });
        let caches = [&*k_cache, &*v_cache].map(|cache| In { operand: cache.operand, words: &*cache.words });
        let inputs = vec![In { operand: &q, words: &words }, caches[0], caches[1]];
        let outputs = vec![Out { operand: partial.operand, words: &mut *partial.words }];
        AttendDecode { heads: self.heads }.reference(&mut Args { step, part, inputs, outputs });
    }

    fn cost(&self, io: &Io) -> Cost {
        let (p, cache) = (&io.inputs[0].desc, &io.outputs[1].desc);
        let (rows, width) = (p.rows(), self.heads.width() + self.kv_width());
        let mut cost = Cost::streaming(io, (rows * (4 * self.heads.width() * cache.shape[1] + 3 * width)) as f64);
        // Of p what is read, of the table two rows a token; and a row of either cache is written.
        let unread = 4 * (rows * (p.width() - width - self.kv_width()) + (self.rope.rows() - 2 * rows) * self.rope.head_dim);
        let written = 2 * cache.dtype.bytes_of(rows * self.kv_width());
        cost.least = cost.least - unread as f64 + written as f64;
        cost.moved = cost.least;
        cost
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |query: usize, kv: usize, head_dim: usize, dtype, interleaved, records: &[(u32, u32)]| {
        let heads = Heads { query, kv, head_dim };
        let rope = Rope { head_dim, positions: Positions::Full, interleaved };
        let rows = records.iter().map(|r| r.1).sum::<u32>() as usize;
        let context = records.iter().map(|r| r.0 + r.1).max().unwrap_or(0) as usize + 3;
        let cache = Desc::fixed(dtype, &[records.len(), context, kv * head_dim]);
        // v first, then what another kernel reads, then q and k.
        let (v, qk) = (0, kv * head_dim + 3);
        let inputs = vec![
            CaseInput::activation(Desc::tokens(rows, qk + heads.width() + kv * head_dim), Fill::uniform(1, 3.0)),
            CaseInput::weight(Desc::fixed(DType::F32, &[rope.rows(), head_dim]), Fill::uniform(4, 1.0)),
            CaseInput::state(cache.clone(), Fill::uniform(2, 1.0)),
            CaseInput::state(cache, Fill::uniform(3, 2.0)),
        ];
        let step = Step::new(records.iter().map(|&(position, n)| Sequence::new(position, n)).collect());
        let name = format!("heads {query}/{kv}x{head_dim} {dtype} interleaved {interleaved} {records:?}");
        // A half may be rounded either way, and a key moves a score.
        let bound = if dtype == DType::F16 { 5e-3 } else { 2e-5 };
        Case::new(name, AttendAppend { heads, rope, qk, v }, rows, inputs).steps(vec![step]).bound(bound)
    };
    use DType::{F16, F32};
    vec![
        case(1, 1, 4, F32, true, &[(0, 1)]),
        case(4, 4, 16, F32, false, &[(0, 2), (130, 1), (0, 0), (126, 4)]),
        case(6, 2, 16, F16, true, &[(127, 2), (250, 1)]),
        case(8, 2, 64, F16, false, &[(127, 1), (128, 1), (255, 1)]),
        case(16, 1, 96, F32, true, &[(5, 1)]),
        case(5, 1, 256, F32, false, &[(3, 1)]),
        case(34, 2, 8, F32, true, &[(9, 1)]),
        case(4, 2, 128, F32, false, &[(1030, 1)]),
    ]
}
