//! Fills part of a weight with random numbers where it lies: models without files, for measuring.

use half::f16;
use rayon::prelude::*;

use super::*;

/// A tensor's part of the stored words of a weight in `dtype` becomes random, the same on every device to the last bit; the rest stays.
///
/// Inputs: rule u32 `[7]` ([`Rule`]), words u32 `[rows, words of a row]` (updated). Output: words.
#[derive(Debug, Clone, PartialEq)]
pub struct Random {
    /// What the words hold ([`crate::tensor`]).
    pub dtype: DType,
    /// Elements of a row.
    pub width: usize,
}

/// How a tensor is filled, and where in the weight's words it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Which numbers.
    pub seed: u32,
    /// Their middle; 0 for the quantised types.
    pub base: f32,
    /// They are uniform in `base ± amplitude`, in steps of a 4095th of it (q8_0: a 127th, q4_0 and q4_1: a seventh).
    pub amplitude: f32,
    /// The tensor's first row in the weight, and its rows.
    pub rows: (usize, usize),
    /// The tensor's first word in a row of the weight, and its words there.
    pub words: (usize, usize),
}

/// Steps of the amplitude.
const STEPS: u32 = 4095;

impl Rule {
    /// The words that the kernel reads.
    pub fn words(&self, dtype: DType) -> [u32; 7] {
        // Twelve significant bits, so that the product with an integer of as many is exact.
        let number = |x: f32| (x / STEPS as f32).to_bits() & !0xfff;
        let scale = |steps: f32| u32::from(f16::from_f32(self.amplitude / steps).to_bits());
        let step = match dtype {
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => number(self.amplitude),
            DType::Q8_0 => scale(127.0) * 0x1_0001,
            DType::Q4_0 => scale(7.0) * 0x1_0001,
            // The minimum is that of which eight steps are zero.
            DType::Q4_1 => {
                scale(7.0) | u32::from((f16::from_bits(scale(7.0) as u16) * f16::from_f32(-8.0)).to_bits()) << 16
            }
        };
        let place = [self.rows.0, self.rows.1, self.words.0, self.words.1].map(|n| n as u32);
        [self.seed, self.base.to_bits(), step, place[0], place[1], place[2], place[3]]
    }
}

/// The finaliser of MurmurHash3 over the tensor's seed and a place in it.
fn hash(seed: u32, i: u32) -> u32 {
    let mut h = i.wrapping_mul(0x9e37_79b1).wrapping_add(seed);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Half precision, rounded half up.
fn half_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let size = bits & 0x7fff_ffff;
    let rounded = match size < 0x3880_0000 {
        true => (x.abs() * 16_777_216.0 + 0.5) as u32,
        false => (size - 0x3800_0000 + 0x1000) >> 13,
    };
    bits >> 16 & 0x8000 | rounded
}

impl Random {
    /// The launch's part for the type.
    fn part(&self) -> &'static str {
        match self.dtype {
            DType::F32 | DType::U32 => "random_f32",
            DType::F16 => "random_f16",
            DType::BF16 => "random_bf16",
            DType::Q8_0 => "random_bytes",
            DType::Q4_0 | DType::Q4_1 => "random_nibbles",
        }
    }

    /// A word of the tensor: the `word`th of its row, of which `h` is the hash.
    fn word(&self, rule: &[u32], word: usize, h: u32) -> u32 {
        let number = |bits: u32| f32::from_bits(rule[1]) + f32::from_bits(rule[2]) * ((2 * (bits & STEPS)) as f32 - STEPS as f32);
        let is_scale = self.dtype.is_quantised() && word >= self.dtype.quant_words(self.width);
        match self.dtype {
            _ if is_scale => rule[2],
            DType::F32 | DType::U32 => number(h).to_bits(),
            DType::F16 => half_bits(number(h)) | half_bits(number(h >> 16)) << 16,
            DType::BF16 => {
                let rounded = |bits: u32| number(bits).to_bits().wrapping_add(0x8000);
                rounded(h) >> 16 | rounded(h >> 16) & 0xffff_0000
            }
            DType::Q8_0 => h,
            DType::Q4_0 | DType::Q4_1 => {
                let any = (h | h >> 1 | h >> 2 | h >> 3) & 0x1111_1111;
                h | (any ^ 0x1111_1111) << 3
            }
        }
    }
}

impl Kernel for Random {
    fn infer(&self, inputs: &[&Desc]) -> Result<Vec<Desc>, OpError> {
        expect_inputs(inputs, 2)?;
        let rule = inputs[0];
        if rule.dtype != DType::U32 || rule.axis != Axis::Fixed || rule.len() != 7 {
            return Err(OpError::input(inputs, 0, "fixed u32 with 7 elements"));
        }
        let row = Desc::fixed(self.dtype, &[1, self.width]).row_bytes() / 4;
        let words = inputs[1];
        if words.dtype != DType::U32 || words.axis != Axis::Fixed || words.width() != row {
            return Err(OpError::input(inputs, 1, format!("u32[rows, {row}], rows of {} elements in {}", self.width, self.dtype)));
        }
        Ok(vec![words.clone()])
    }

    fn updates(&self) -> Vec<(usize, usize)> {
        vec![(1, 0)]
    }

    fn divisible(&self) -> Vec<usize> {
        vec![1]
    }

    fn variants(&self, io: &Io, _: &Caps) -> Vec<Launch> {
        let row = io.outputs[0].desc.width();
        let grid = Grid(vec![Extent::fixed(row, 256), Extent::new(Live::Part, 1)]);
        let launch = Launch::new("random", grid).bind(&["rule", "words"]).part(self.part()).size("ROW_WORDS", row);
        vec![if self.dtype.is_quantised() { launch.size("SCALES", self.dtype.quant_words(self.width)) } else { launch }]
    }

    fn reference(&self, args: &mut Args<'_>) {
        let rule = args.inputs[0].u32s();
        let [seed, _, _, first_row, rows, first_word, words] = rule[..7] else { unreachable!("seven words") };
        let (first_row, rows, first_word, words) = (first_row as usize, rows as usize, first_word as usize, words as usize);
        let (width, first) = (args.outputs[0].width(), args.part.first as usize);
        let in_part = args.outputs[0].u32s().par_chunks_mut(width).take(args.part.count as usize).enumerate();
        in_part.filter(|(i, _)| (first_row..first_row + rows).contains(&(first + i))).for_each(|(i, row)| {
            let start = (first + i - first_row) * words;
            for (word, out) in row.iter_mut().skip(first_word).take(words).enumerate() {
                *out = self.word(rule, word, hash(seed, (start + word) as u32));
            }
        });
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost::streaming(io, 0.0)
    }
}

/// See [`Kernel`].
pub fn cases() -> Vec<Case> {
    let case = |dtype, shape: [usize; 2], rows, words: Option<(usize, usize)>, base, amplitude| {
        let desc = Desc::fixed(dtype, &shape);
        let row = desc.row_bytes() / 4;
        let rule = Rule { seed: 7, base, amplitude, rows, words: words.unwrap_or((0, row)) };
        let inputs = vec![
            CaseInput::activation(Desc::fixed(DType::U32, &[7]), Fill::Words(rule.words(dtype))),
            CaseInput::state(Desc::fixed(DType::U32, &[shape[0], row]), Fill::Below { seed: 1, n: 9 }),
        ];
        let name = format!("{desc}, rows {rows:?}, words {:?}, {base} ± {amplitude}", rule.words);
        Case::new(name, Random { dtype, width: shape[1] }, 1, inputs).bound(0.0)
    };
    let mut cases = vec![
        case(DType::F32, [1, 5], (0, 1), Some((1, 3)), 0.0, 0.3),
        case(DType::F32, [3, 600], (1, 2), Some((255, 257)), -4.6, 0.7),
        case(DType::F32, [70_000, 4], (3, 66_000), None, 1.0, 0.0).thorough(),
    ];
    for dtype in [DType::F16, DType::BF16] {
        cases.push(case(dtype, [4, 600], (1, 3), None, 0.0, 0.043));
        // In half precision these are below the smallest normal number, in part.
        cases.push(case(dtype, [2, 8], (0, 2), None, 0.0, 1e-4));
        cases.push(case(dtype, [2, 30], (0, 2), None, 1.0, 0.5));
    }
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1] {
        cases.push(case(dtype, [5, 96], (1, 3), None, 0.0, 0.043));
        cases.push(case(dtype, [2, 4096], (0, 2), None, 0.0, 2.0));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Matrix;

    /// The numbers of a filled matrix.
    fn filled(dtype: DType, shape: [usize; 2], seed: u32, base: f32, amplitude: f32) -> Vec<f32> {
        let desc = Desc::fixed(dtype, &shape);
        let row = desc.row_bytes() / 4;
        let rule = Rule { seed, base, amplitude, rows: (0, shape[0]), words: (0, row) }.words(dtype);
        let mut words = vec![0; shape[0] * row];
        let (rule_of, words_of) =
            (Operand::whole(Desc::fixed(DType::U32, &[7])), Operand::whole(Desc::fixed(DType::U32, &[shape[0], row])));
        Random { dtype, width: shape[1] }.reference(&mut Args {
            step: &Step::new(vec![Sequence::new(0, 1)]),
            part: crate::step::Part { first: 0, count: shape[0] as u32 },
            inputs: vec![In { operand: &rule_of, words: &rule }],
            outputs: vec![Out { operand: &words_of, words: &mut words }],
        });
        let operand = Operand::whole(desc.clone());
        let matrix: Matrix<'_> = In { operand: &operand, words: &words }.matrix();
        let mut numbers = Vec::new();
        for r in 0..shape[0] {
            let mut row = vec![0.0; shape[1]];
            crate::vector::widen(matrix, r * desc.stride(), &mut row);
            numbers.extend(row);
        }
        numbers
    }

    #[test]
    fn numbers_are_uniform_in_every_type() {
        for dtype in DType::WEIGHTS {
            let numbers = filled(dtype, [64, 256], 3, 0.0, 0.05);
            let n = numbers.len() as f32;
            let mean = numbers.iter().sum::<f32>() / n;
            let deviation = (numbers.iter().map(|x| x * x).sum::<f32>() / n).sqrt();
            let largest = numbers.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(mean.abs() < 1e-3, "{dtype}: mean {mean}");
            // Of a uniform number: the amplitude over √3.
            assert!((deviation / 0.05 * 3f32.sqrt() - 1.0).abs() < 0.05, "{dtype}: deviation {deviation}");
            assert!(largest < 0.0505 && largest > 0.049, "{dtype}: largest {largest}");
            assert_ne!(numbers, filled(dtype, [64, 256], 4, 0.0, 0.05), "{dtype}: another seed, other numbers");
        }
    }

    #[test]
    fn half_precision_is_rounded_to_the_nearest() {
        for i in 1..60_000u32 {
            let x = f32::from_bits(i * 18_000) * if i % 2 == 0 { 1.0 } else { -1.0 };
            if x.abs() < 65_000.0 {
                let (found, wanted) = (f16::from_bits(half_bits(x) as u16), f16::from_f32(x));
                // A tie may go either way.
                assert!((found.to_bits() as i32 - wanted.to_bits() as i32).abs() <= 1, "{x}: {found}, wanted {wanted}");
                assert!((f64::from(found) - f64::from(x)).abs() <= (f64::from(wanted) - f64::from(x)).abs(), "{x}: {found}");
            }
        }
    }
}
