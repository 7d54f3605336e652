//! Arithmetic on rows of floats for the references: the few loops that are hot on the CPU device, compiled for several
//! instruction sets and chosen when the program runs.

use multiversion::multiversion;

use crate::kernels::Matrix;

/// Elements of a half-width row that are widened at a time: small enough for the first cache.
const PIECE: usize = 512;

/// Σ aᵢ bᵢ.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    const CHAINS: usize = 4;
    let fused = multiversion::target::target_cfg_f!(target_feature = "fma");
    let mut sums = [[0f32; LANES]; CHAINS];
    let (a_blocks, a_rest) = a.as_chunks::<{ LANES * CHAINS }>();
    let (b_blocks, b_rest) = b.as_chunks::<{ LANES * CHAINS }>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for chain in 0..CHAINS {
            for lane in 0..LANES {
                let (x, y) = (a[chain * LANES + lane], b[chain * LANES + lane]);
                let sum = &mut sums[chain][lane];
                *sum = if fused { x.mul_add(y, *sum) } else { x * y + *sum };
            }
        }
    }
    let mut total = 0.0;
    for lane in 0..LANES {
        total += (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
    }
    for (x, y) in a_rest.iter().zip(b_rest) {
        total += x * y;
    }
    total
}

/// y ← y + a x.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(crate) fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    let fused = multiversion::target::target_cfg_f!(target_feature = "fma");
    for (y, x) in y.iter_mut().zip(x) {
        *y = if fused { a.mul_add(*x, *y) } else { a * x + *y };
    }
}

/// One stored row of a weight, from element `start` on, times `x`.
pub(crate) fn dot_stored(w: Matrix<'_>, start: usize, x: &[f32]) -> f32 {
    if let Matrix::F32(w) = w {
        return dot(&w[start..start + x.len()], x);
    }
    let mut piece = [0f32; PIECE];
    let mut sum = 0.0;
    for (i, x) in x.chunks(PIECE).enumerate() {
        let piece = &mut piece[..x.len()];
        w.widen(start + i * PIECE, piece);
        sum += dot(piece, x);
    }
    sum
}

/// A row-major matrix in a slice, or its transpose: element (i, j) is at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a> View<'a> {
    /// `rows` rows of `columns` elements, `stride` apart.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> View<'a> {
        assert!(rows > 0 && columns > 0 && columns <= stride && data.len() >= (rows - 1) * stride + columns);
        View { data, rows, columns, row: stride, column: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> View<'a> {
        View { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }
}

/// C ← C + alpha A B, where C has rows of B's width, `stride` apart.
pub(crate) fn product(alpha: f32, a: View<'_>, b: View<'_>, c: &mut [f32], stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows && n <= stride && c.len() >= (m - 1) * stride + n);
    if m == 1 && b.column == 1 {
        // One row: streaming B once beats packing it.
        for i in 0..k {
            axpy(alpha * a.data[i * a.column], &b.data[i * b.row..][..n], &mut c[..n]);
        }
        return;
    }
    if m == 1 && a.column == 1 && b.row == 1 {
        for (j, c) in c[..n].iter_mut().enumerate() {
            *c += alpha * dot(&a.data[..k], &b.data[j * b.column..][..k]);
        }
        return;
    }
    let strides = |v: View<'_>| (v.row as isize, v.column as isize);
    let ((ar, ac), (br, bc)) = (strides(a), strides(b));
    #[expect(unsafe_code, reason = "the library's interface is raw pointers; the assertions above bound every access")]
    // SAFETY: `View::new` and the assertion on `c` keep every index inside its slice, and `c` is borrowed mutably.
    unsafe {
        let (a, b, c) = (a.data.as_ptr(), b.data.as_ptr(), c.as_mut_ptr());
        matrixmultiply::sgemm(m, k, n, alpha, a, ar, ac, b, br, bc, 1.0, c, stride as isize, 1);
    }
}

/// x / (1 + e⁻ˣ).
pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// 1 / (1 + e⁻ˣ).
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of GELU.
pub(crate) fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_56;
    0.5 * x * (1.0 + (SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)).tanh())
}
