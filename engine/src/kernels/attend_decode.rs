//! Causal attention of few tokens over a long cache, split over the positions so that one token keeps a device busy.

use rayon::prelude::*;

use super::attend::{Heads, cases_attention};
use super::matmul::Columns;
use super::*;

/// What [`super::attend::Attend`] gathers, for each split of [`SPLIT`] positions apart: for each token, head and split its part of the
/// weighted sum of values, the largest score and the sum of exponentials; [`super::attend_combine`] brings them together.
///
/// Inputs: as [`super::attend::Attend`]. Output: `[tokens, heads · splits · (head_dim + 2)]`; splits that a token does not see are not written.
#[derive(Debug, Clone, PartialEq)]
pub struct AttendDecode {
    /// Heads and their width.
    pub heads: Heads,
}

/// Positions of a split.
pub const SPLIT: usize = 128;

impl AttendDecode {
    /// Elements of a row of the output over such a cache.
    pub(super) fn partial_width(&self, cache: &Desc) -> usize {
        self.heads.query * cache.shape[1].div_ceil(SPLIT) * (self.heads.head_dim + 2)
    }

    /// A launch of `file`, which fills the holes of the part `attend_split`.
    pub(super) fn launch(&self, file: &'static str, cache: &Operand) -> Launch {
        let tile = self.heads.tile(if self.heads.head_dim <= 128 { 8 } else { 4 });
        let grid = Grid(vec![
            Extent::fixed(self.heads.query, tile as u32),
            Extent::new(Live::Context, SPLIT as u32),
            Extent::new(Live::Tokens, 1),
        ]);
        let launch = self.heads.launch(file, cache, tile, grid).part("sequence_of").part("attend_split");
        launch.constant("SPLIT", SPLIT).size("SPLITS", cache.desc.shape[1].div_ceil(SPLIT))
    }
}

impl Kernel for AttendDecode {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        self.heads.expect(inputs)?;
        Ok(vec![inputs[0].with_width(self.partial_width(inputs[1]))])
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1, 2]
    }

    fn strided(&self, input: usize) -> bool {
        input == 0
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let (q, cache) = (&io.inputs[0], &io.inputs[1]);
        let launch = self.launch("attend_decode", cache).bind(&["q", "k_cache", "v_cache", "partial"]);
        vec![launch.size("Q_STRIDE", q.stride).size("Q_OFFSET", q.offset)]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let (heads, inputs) = (self.heads, &args.inputs);
        let (group, hd) = (heads.group(), heads.head_dim);
        let splits = inputs[1].operand.desc.shape[1].div_ceil(SPLIT);
        let partial = &mut args.outputs[0];
        let width = partial.width();
        let partial = Columns::new(partial.rows(args.step.head.rows as usize), width);
        for (s, record) in args.step.sequences_of(args.part) {
            for t in 0..record.count as usize {
                let (row, end) = (record.first_row as usize + t, record.position as usize + t + 1);
                (0..end.div_ceil(SPLIT) * heads.kv).into_par_iter().for_each(|i| {
                    let (kv, split) = (i % heads.kv, i / heads.kv);
                    let keys = split * SPLIT..end.min((split + 1) * SPLIT);
                    let gathered = heads.cache(inputs, s, kv).gather(&heads.queries(inputs[0], row, 1, kv), keys, |_| end);
                    for (h, sums) in gathered.sums.chunks(hd).enumerate() {
                        let at = ((kv * group + h) * splits + split) * (hd + 2);
                        partial.write(row, at, sums, false);
                        partial.write(row, at + hd, &[gathered.largest[h], gathered.total[h]], false);
                    }
                });
            }
        }
    }

    fn cost(&self, io: &Io) -> Cost {
        self.heads.cost(io)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    cases_attention(|heads| AttendDecode { heads }.into())
}
