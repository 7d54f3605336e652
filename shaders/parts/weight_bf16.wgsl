// Weight format: the upper halves of 32-bit floats, four to two words, rows padded to whole groups of four.
alias Weight = vec2<u32>;

// Four weights from element `start` on, a multiple of four.
fn weight4(start: u32) -> vec4<f32> {
    let packed = w[start / 4u];
    return bitcast<vec4<f32>>(vec4(packed.x << 16u, packed.x & 0xffff0000u, packed.y << 16u, packed.y & 0xffff0000u));
}
