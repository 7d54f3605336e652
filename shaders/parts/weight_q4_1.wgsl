// Weight format: blocks of 32 four-bit integers q with half-precision scale d and minimum m, w = d q + m. Rows of W_STRIDE words: 16 bytes a
// block, byte i holding elements i (low bits) and i + 16; from word W_SCALES on d and m, a word a block (engine/src/tensor.rs).
alias Weight = u32;

override W_STRIDE: u32;
override W_SCALES: u32;

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let start = row * W_STRIDE;
    let packed = w[start + (k / 32u) * 4u + (k % 16u) / 4u] >> (4u * ((k / 16u) % 2u));
    let dm = unpack2x16float(w[start + W_SCALES + k / 32u]);
    return dm.x * vec4<f32>((vec4(packed) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u)) + dm.y;
}
