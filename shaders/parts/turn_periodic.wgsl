// The angles repeat after PERIOD positions.
override PERIOD: u32;

// cos and sin of the angle of a pair.
fn turn(position: u32, pair: u32) -> vec2<f32> {
    let at = (position % PERIOD) * HEAD_DIM + 2u * pair;
    return vec2(table[at], table[at + 1u]);
}
