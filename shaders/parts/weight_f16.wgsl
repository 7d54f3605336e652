// Weight format: half precision, four to two words, rows padded to whole groups of four.
alias Weight = vec2<u32>;

// Four weights from element `start` on, a multiple of four.
fn weight4(start: u32) -> vec4<f32> {
    let packed = w[start / 4u];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
