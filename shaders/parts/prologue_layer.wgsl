// Prologue: the row's layer norm, γ ∘ (x − mean) / sqrt(var + EPS) + β, then its gate. Each workgroup makes the row once and keeps it.
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;

override EPS: f32;

var<workgroup> sh_row: array<vec4<f32>, ROW_FOURS>;

// Element k of the row, zero past its end.
fn normed(row: u32, k: u32, scaled: f32) -> f32 {
    if k >= K {
        return 0.0;
    }
    return gated(row, k, gamma[k] * scaled + beta[k]);
}

// Mean first, then the squares around it: no cancellation.
fn prologue_begin(local: u32, row: u32) {
    var sum = 0.0;
    for (var i = local; i < ROW_FOURS; i += 256u) {
        let value = row4(row, 4u * i);
        sh_row[i] = value;
        sum += dot(value, vec4(1.0));
    }
    let mean = workgroup_sum(local, sum) / f32(K);
    var squares = 0.0;
    for (var i = local; i < ROW_FOURS; i += 256u) {
        let inside = vec4(4u * i) + vec4(0u, 1u, 2u, 3u) < vec4(K);
        let d = select(vec4(0.0), sh_row[i] - mean, inside);
        squares += dot(d, d);
    }
    let scale = inverseSqrt(workgroup_sum(local, squares) / f32(K) + EPS);
    for (var i = local; i < ROW_FOURS; i += 256u) {
        let d = (sh_row[i] - mean) * scale;
        let k = 4u * i;
        sh_row[i] = vec4(normed(row, k, d.x), normed(row, k + 1u, d.y), normed(row, k + 2u, d.z), normed(row, k + 3u, d.w));
    }
    workgroupBarrier();
}

fn source4(row: u32, k: u32) -> vec4<f32> {
    return sh_row[k / 4u];
}

fn prologue4(k: u32) -> vec4<f32> {
    return vec4(1.0);
}

fn prologue_share(at: u32, squares: f32) {
}

fn prologue_scale(first: u32) -> f32 {
    return 1.0;
}
