// Random numbers in half precision: two to a word, of one hash. Rounded here, since devices may round either way.

fn half(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // Below 2^-14 halves are multiples of 2^-24; above, an exponent of five bits, and ten bits rounded half up.
    let small = u32(abs(x) * 16777216.0 + 0.5);
    let normal = (size - 0x38000000u + 0x1000u) >> 13u;
    return ((bits >> 16u) & 0x8000u) | select(normal, small, size < 0x38800000u);
}

fn random_word(row: u32, word: u32) -> u32 {
    let h = hash(row * row_words() + word);
    return half(number(h)) | (half(number(h >> 16u)) << 16u);
}
