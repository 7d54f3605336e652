// Weight format: blocks of 32 four-bit integers q with half-precision scale d and minimum m, w = d q + m. Rows of W_STRIDE words: 16 bytes a
// block, byte i holding elements i (low bits) and i + 16; from word W_SCALES on d and m, a word a block (engine/src/tensor.rs).
alias Weight = u32;

override W_STRIDE: u32;
override W_SCALES: u32;

// The integers of four bytes, of which `shift` tells which half.
fn nibbles(packed: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>((vec4(packed >> shift) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u));
}

// w[row, k .. k + 4], k a multiple of four.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let start = row * W_STRIDE;
    let packed = w[start + (k / 32u) * 4u + (k % 16u) / 4u];
    let dm = unpack2x16float(w[start + W_SCALES + k / 32u]);
    return dm.x * nibbles(packed, 4u * ((k / 16u) % 2u)) + dm.y;
}

// w[row, k .. k + 8], k a multiple of eight.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let start = row * W_STRIDE;
    let at = start + (k / 32u) * 4u + (k % 16u) / 4u;
    let shift = 4u * ((k / 16u) % 2u);
    let dm = unpack2x16float(w[start + W_SCALES + k / 32u]);
    return mat2x4(dm.x * nibbles(w[at], shift) + dm.y, dm.x * nibbles(w[at + 1u], shift) + dm.y);
}
