// Weight format: 32-bit floats, rows of any length. What is read past a row meets a zero of x.
alias Weight = f32;

// Four weights from element `start` on.
fn weight4(start: u32) -> vec4<f32> {
    return vec4(w[start], w[start + 1u], w[start + 2u], w[start + 3u]);
}
