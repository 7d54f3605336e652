// What the TTT layers share: the small vectors and the statistics of the inner norm. A workgroup of 256 works on one head of one
// sequence, CHUNK rows (at most 16) at a time, 16 invocations a row in the norms.

override HEADS: u32;
override MINI_BATCH: u32;

@group(0) @binding(3) var<storage, read> params: array<f32>;

// Added to the variance of the inner norm; hard-coded in the published model.
const INNER_EPS = 1e-6;
// Invocations that share a column when a product's columns are spread over the workgroup.
const LANES = 256u / HD;

// Rows of z on their way through the norm.
var<workgroup> sh_z: array<f32, CHUNK * HD>;
var<workgroup> sh_sums: array<vec2<f32>, 256>;

// Four elements of z from one on.
fn z4(at: u32) -> vec4<f32> {
    return vec4(sh_z[at], sh_z[at + 1u], sh_z[at + 2u], sh_z[at + 3u]);
}

fn set_z4(at: u32, x: vec4<f32>) {
    sh_z[at] = x.x;
    sh_z[at + 1u] = x.y;
    sh_z[at + 2u] = x.z;
    sh_z[at + 3u] = x.w;
}

// tok_i = max(1 / (i + 1) + idx_i, 0).
fn token_factor(i: u32) -> f32 {
    return max(1.0 / f32(i + 1u) + params[2u * HEADS * HD + i], 0.0);
}

// Two sums over the 16 invocations of a row, the same in each of them: everyone adds up all 16, since a barrier costs more than that.
fn row_sums(local: u32, values: vec2<f32>) -> vec2<f32> {
    sh_sums[local] = values;
    workgroupBarrier();
    var sums = vec2(0.0);
    for (var i = local & ~15u; i < (local | 15u); i += 4u) {
        sums += sh_sums[i] + sh_sums[i + 1u] + sh_sums[i + 2u] + sh_sums[i + 3u];
    }
    // Nobody may write the next values before all have read these.
    workgroupBarrier();
    return sums;
}

fn row_sum(local: u32, value: f32) -> f32 {
    return row_sums(local, vec2(value, 0.0)).x;
}

// (mean, 1 / sqrt(var + eps)) of this invocation's row of z.
fn row_statistics(local: u32) -> vec2<f32> {
    let start = min(local / 16u, CHUNK - 1u) * HD;
    var sum = 0.0;
    for (var c = local % 16u; c < HD; c += 16u) {
        sum += sh_z[start + c];
    }
    let mean = row_sum(local, sum) / f32(HD);
    var squares = 0.0;
    for (var c = local % 16u; c < HD; c += 16u) {
        let d = sh_z[start + c] - mean;
        squares += d * d;
    }
    return vec2(mean, inverseSqrt(row_sum(local, squares) / f32(HD) + INNER_EPS));
}
