// Prologue: the row's RMS norm, x · norm / sqrt(mean(x²) + EPS). The root is the same for the whole row: it scales the result.

override EPS: f32;

var<workgroup> sh_squares: array<f32, SHARERS * PITCH>;

fn prologue_begin(local: u32, row: u32) {
}

fn source4(row: u32, k: u32) -> vec4<f32> {
    return row4(row, k);
}

// Puts this invocation's share of Σ x² where the others find it.
fn prologue_share(at: u32, squares: f32) {
    sh_squares[at] = squares;
}

// The factor of the results, from the shares of the LANES invocations from `first` on: each of them has all of the row.
fn prologue_scale(first: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) {
        sum += sh_squares[first + i];
    }
    return inverseSqrt(sum / f32(K) + EPS);
}
