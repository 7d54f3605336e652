// Prologue: the row's RMS norm, x · norm / sqrt(mean(x²) + EPS). The root is the same for the whole row: it scales the result.
@group(0) @binding(2) var<storage, read> norm: array<f32>;

override EPS: f32;

fn prologue4(k: u32) -> vec4<f32> {
    let last = K - 1u;
    return vec4(norm[min(k, last)], norm[min(k + 1u, last)], norm[min(k + 2u, last)], norm[min(k + 3u, last)]);
}

fn prologue_scale(row: u32, local: u32) -> f32 {
    var sum = 0.0;
    for (var k = local * 4u; k < K; k += 1024u) {
        let v = row4(row, k);
        sum += dot(v, v);
    }
    return inverseSqrt(workgroup_sum(local, sum) / f32(K) + EPS);
}
