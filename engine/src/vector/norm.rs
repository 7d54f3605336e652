//! The norm of a row, and the gradient of an error through it.

use multiversion::multiversion;

use super::folded;

/// Sums that run side by side.
const WIDTH: usize = 16;

/// The mean of a row, and the mean of the squares around it.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(crate) fn mean_and_variance(x: &[f32]) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = folded_sum(x, |x| x) / n;
    (mean, folded_sum(x, |x| (x - mean) * (x - mean)) / n)
}

/// Σ f(xᵢ).
#[inline(always)]
pub(super) fn folded_sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (x, rest) = x.as_chunks::<WIDTH>();
    let mut sums = [0f32; WIDTH];
    x.iter().for_each(|x| sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f(*x)));
    rest.iter().fold(folded(sums), |sum, x| sum + f(*x))
}

/// Σ xᵢ and Σ xᵢ yᵢ.
#[inline(always)]
fn folded_sums(x: &[f32], y: &[f32]) -> [f32; 2] {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<WIDTH>(), y.as_chunks::<WIDTH>());
    let mut sums = [[0f32; WIDTH]; 2];
    for (x, y) in x.iter().zip(y) {
        for i in 0..WIDTH {
            sums[0][i] += x[i];
            sums[1][i] += x[i] * y[i];
        }
    }
    let sums = sums.map(folded);
    x_rest.iter().zip(y_rest).fold(sums, |[sum, products], (x, y)| [sum + x, products + x * y])
}

/// z ← γ ∘ (z − mean) · scale + β.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(crate) fn normalise(z: &mut [f32], mean: f32, scale: f32, gamma: &[f32], beta: &[f32]) {
    for ((z, gamma), beta) in z.iter_mut().zip(gamma).zip(beta) {
        *z = gamma * (*z - mean) * scale + beta;
    }
}

/// z ← (z − mean) · scale, and g ← rate · ∇_z ½‖γ ∘ z + β − wanted‖², where wanted = v − k: with u = (γ ∘ z + β − wanted) ∘ γ for the new z,
/// g = rate · scale · (u − mean(u) − z · mean(u ∘ z)).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(crate) fn norm_gradient(
    z: &mut [f32],
    (mean, scale, rate): (f32, f32, f32),
    (gamma, beta): (&[f32], &[f32]),
    (v, k): (&[f32], &[f32]),
    g: &mut [f32],
) {
    let n = g.len();
    // Of one length, which spares the bounds of each element.
    let (z, gamma, beta, v, k) = (&mut z[..n], &gamma[..n], &beta[..n], &v[..n], &k[..n]);
    for i in 0..n {
        z[i] = (z[i] - mean) * scale;
        g[i] = (gamma[i] * z[i] + beta[i] - (v[i] - k[i])) * gamma[i];
    }
    let [of_u, of_uz] = folded_sums(g, z).map(|sum| sum / n as f32);
    for i in 0..n {
        g[i] = (g[i] - of_u - z[i] * of_uz) * (scale * rate);
    }
}
