// Weight format: half precision, eight to four words, rows of whole groups of eight.
alias Weight = vec4<u32>;

override W_STRIDE: u32;

// w[row, k .. k + 8], k a multiple of eight.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let packed = w[(row * W_STRIDE + k) / 8u];
    return mat2x4(
        vec4(unpack2x16float(packed.x), unpack2x16float(packed.y)),
        vec4(unpack2x16float(packed.z), unpack2x16float(packed.w)),
    );
}
