// y[t, n] = Σₖ x'[t, k] · w[n, k], then the epilogue; x' is x after the prologue; this dispatch has rows first .. first + count of w
//
//   x      [rows, K]  read
//   w      [N, K]     read        twice as many rows where the epilogue makes one result of two
//   norm   [K]        read        with the RMS norm only
//   gamma  [K]        read        with the layer norm only
//   beta   [K]        read        with the layer norm only
//   gate   [rows, K]  read        with the gated layer norm only
//   y      [rows, N]  read_write
//
// A workgroup of 256 computes FOURS · 1024 / LANES sums of one row. LANES invocations share FOURS times four of them, so that each has
// many loads of w under way for one of x; their partial sums meet at one barrier.

override K: u32;
override N: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<Activation>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const SHARERS = 256u / LANES;
// One more than there are, so that the sharers' sums lie in different banks.
const PITCH = LANES + 1u;

var<workgroup> sh_partial: array<vec4<f32>, FOURS * SHARERS * PITCH>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (results() + RESULTS - 1u) / RESULTS;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let start = (index % blocks) * RESULTS;
    let at = (local / LANES) * PITCH + local % LANES;
    prologue_begin(local, row);
    var rows = array<vec4<u32>, FOURS>();
    var sums = array<vec4<f32>, FOURS>();
    for (var f = 0u; f < FOURS; f++) {
        rows[f] = weight_rows(start + local / LANES, f);
    }
    var squares = 0.0;
    for (var k = (local % LANES) * SPAN; k < K; k += LANES * SPAN) {
        let value = span_source(row, k);
        let scaled = span_scaled(value, k);
        squares += span_dot(value, value);
        for (var f = 0u; f < FOURS; f++) {
            sums[f] += vec4(
                span_dot(scaled, span_weight(rows[f].x, k)),
                span_dot(scaled, span_weight(rows[f].y, k)),
                span_dot(scaled, span_weight(rows[f].z, k)),
                span_dot(scaled, span_weight(rows[f].w, k)),
            );
        }
    }
    for (var f = 0u; f < FOURS; f++) {
        sh_partial[f * SHARERS * PITCH + at] = sums[f];
    }
    prologue_share(at, squares);
    workgroupBarrier();
    if local < 4u * SHARERS {
        let first = (local % SHARERS) * PITCH;
        let scale = prologue_scale(first);
        var totals = array<f32, FOURS>();
        for (var f = 0u; f < FOURS; f++) {
            var sum = 0.0;
            for (var i = 0u; i < LANES; i++) {
                sum += sh_partial[f * SHARERS * PITCH + first + i][local / SHARERS];
            }
            totals[f] = sum * scale;
        }
        finish(row, start + local, totals);
    }
}
