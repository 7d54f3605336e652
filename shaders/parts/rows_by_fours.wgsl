// Activations whose rows are whole groups of four.
alias Activation = vec4<f32>;

// x[row, k .. k + 4], zero from K on.
fn row4(row: u32, k: u32) -> vec4<f32> {
    return x[(X_OFFSET + row * X_STRIDE + k) / 4u];
}
