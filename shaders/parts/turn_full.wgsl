// A position is COARSE · a + b, and its angle the sum of two: the table has rows for b, then rows for COARSE · a.

// cos and sin of the angle of a pair.
fn turn(position: u32, pair: u32) -> vec2<f32> {
    let fine = (position % COARSE) * HEAD_DIM + 2u * pair;
    let coarse = (COARSE + position / COARSE) * HEAD_DIM + 2u * pair;
    let a = vec2(table[coarse], table[coarse + 1u]);
    let b = vec2(table[fine], table[fine + 1u]);
    return vec2(a.x * b.x - a.y * b.y, a.y * b.x + a.x * b.y);
}
