// Weight format: the upper halves of 32-bit floats, four to two words, rows padded to whole groups of four.
alias Weight = vec2<u32>;

override W_STRIDE: u32;

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let packed = w[(row * W_STRIDE + k) / 4u];
    return bitcast<vec4<f32>>(vec4(packed.x << 16u, packed.x & 0xffff0000u, packed.y << 16u, packed.y & 0xffff0000u));
}
