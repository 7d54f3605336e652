// Weight format: the upper halves of 32-bit floats, eight to four words, rows of whole groups of eight.
alias Weight = vec4<u32>;

override W_STRIDE: u32;

// w[row, k .. k + 8], k a multiple of eight.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let packed = w[(row * W_STRIDE + k) / 8u];
    let even = bitcast<vec4<f32>>(packed << vec4(16u));
    let odd = bitcast<vec4<f32>>(packed & vec4(0xffff0000u));
    return mat2x4(vec4(even.x, odd.x, even.y, odd.y), vec4(even.z, odd.z, even.w, odd.w));
}
