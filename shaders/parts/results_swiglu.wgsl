// Epilogue: of 2 · N sums, the first half is the gate of the other, y = silu(gate) · value.
const RESULTS = 4u * SHARERS;

// How many results this dispatch has of a row.
fn results() -> u32 {
    return N;
}

// The rows of the weight behind four sums of the sharer of result `first`: gates, then values. What is past the end does again what the
// last one does.
fn weight_rows(first: u32, four: u32) -> vec4<u32> {
    return four * N + min(vec4(first) + vec4(0u, 1u, 2u, 3u) * SHARERS, vec4(N - 1u));
}

fn finish(row: u32, column: u32, totals: array<f32, FOURS>) {
    if column < N {
        y[row * N + column] = silu(totals[0]) * totals[1];
    }
}
