// Weight format: 32-bit floats, rows of whole groups of four.
alias Weight = vec4<f32>;

// Four weights from element `start` on, a multiple of four.
fn weight4(start: u32) -> vec4<f32> {
    return w[start / 4u];
}
