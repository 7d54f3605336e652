// Every sum of a product is a result.
const RESULTS = FOURS * 4u * SHARERS;

// How many results this dispatch has of a row.
fn results() -> u32 {
    return part.count;
}

// The rows of the weight behind four sums of the sharer of result `first`. What is past the end does again what the last one does.
fn weight_rows(first: u32, four: u32) -> vec4<u32> {
    let rows = vec4(first + four * 4u * SHARERS) + vec4(0u, 1u, 2u, 3u) * SHARERS;
    return min(rows, vec4(part.count - 1u));
}

fn finish(row: u32, first: u32, totals: array<f32, FOURS>) {
    for (var f = 0u; f < FOURS; f++) {
        let column = first + f * 4u * SHARERS;
        if column < part.count {
            store(row * N + part.first + column, totals[f]);
        }
    }
}
