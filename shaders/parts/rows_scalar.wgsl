// Activations with rows of any length.
alias Activation = f32;

// x[row, k .. k + 4], zero from K on.
fn row4(row: u32, k: u32) -> vec4<f32> {
    let i = X_OFFSET + row * X_STRIDE + k;
    let inside = vec4(k, k + 1u, k + 2u, k + 3u) < vec4(K);
    return select(vec4(0.0), vec4(x[i], x[i + 1u], x[i + 2u], x[i + 3u]), inside);
}
