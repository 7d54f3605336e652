// Weight format: 32-bit floats, rows of any length. What is read past a row meets a zero of x.
alias Weight = f32;

override W_STRIDE: u32;

// w[row, k .. k + 4].
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let i = row * W_STRIDE + k;
    return vec4(w[i], w[i + 1u], w[i + 2u], w[i + 3u]);
}
