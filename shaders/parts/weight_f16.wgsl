// Weight format: half precision, four to two words, rows padded to whole groups of four.
alias Weight = vec2<u32>;

override W_STRIDE: u32;

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let packed = w[(row * W_STRIDE + k) / 4u];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
