// Weight format: blocks of 32 signed bytes q with a half-precision scale d, w = d q. Rows of W_STRIDE words: the bytes of all blocks,
// from word W_SCALES on the scales, two to a word (engine/src/tensor.rs).
alias Weight = u32;

override W_STRIDE: u32;
override W_SCALES: u32;

fn signed_bytes(packed: i32) -> vec4<f32> {
    return vec4<f32>(vec4(packed << 24u, packed << 16u, packed << 8u, packed) >> vec4(24u));
}

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let start = row * W_STRIDE;
    let packed = bitcast<i32>(w[start + k / 4u]);
    let d = unpack2x16float(w[start + W_SCALES + k / 64u] >> (16u * ((k / 32u) % 2u))).x;
    return d * signed_bytes(packed);
}

// w[row, k .. k + 8], k a multiple of eight.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let start = row * W_STRIDE;
    let at = start + k / 4u;
    let d = unpack2x16float(w[start + W_SCALES + k / 64u] >> (16u * ((k / 32u) % 2u))).x;
    return mat2x4(d * signed_bytes(bitcast<i32>(w[at])), d * signed_bytes(bitcast<i32>(w[at + 1u])));
}
