// Weight format: 32-bit floats, rows of whole groups of four.
alias Weight = vec4<f32>;

override W_STRIDE: u32;

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    return w[(row * W_STRIDE + k) / 4u];
}
