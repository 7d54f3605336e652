// y[t, n] = Σₖ x'[t, k] · w[n, k], then the epilogue; x' is x after the prologue; this dispatch has rows first .. first + count of w
//
//   x     [rows, K]  read
//   w     [N, K]     read
//   norm  [K]        read        with the norm only
//   y     [rows, N]  read_write
//
// A workgroup of 64 computes 256 / LANES elements of one row. LANES invocations share four of them, so that each has four loads of w
// under way for one of x; their partial sums meet at one barrier.

override K: u32;
override N: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<Activation>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const SHARERS = 64u / LANES;
const OUTPUTS = 4u * SHARERS;
// One more than there are, so that the sharers' sums lie in different banks.
const PITCH = LANES + 1u;

var<workgroup> sh_partial: array<vec4<f32>, SHARERS * PITCH>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (part.count + OUTPUTS - 1u) / OUTPUTS;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let start = (index % blocks) * OUTPUTS;
    let at = (local / LANES) * PITCH + local % LANES;
    // A column past the end does again what the last one does.
    let columns = min(vec4(start + local / LANES) + vec4(0u, 1u, 2u, 3u) * SHARERS, vec4(part.count - 1u));
    var sums = vec4(0.0);
    var squares = 0.0;
    for (var k = (local % LANES) * 4u; k < K; k += LANES * 4u) {
        let value = row4(row, k);
        let scaled = value * prologue4(k);
        squares += dot(value, value);
        sums += vec4(
            dot(scaled, weight4(columns.x, k)),
            dot(scaled, weight4(columns.y, k)),
            dot(scaled, weight4(columns.z, k)),
            dot(scaled, weight4(columns.w, k)),
        );
    }
    sh_partial[at] = sums;
    prologue_share(at, squares);
    workgroupBarrier();
    let column = start + local;
    if local < OUTPUTS && column < part.count {
        let first = (local % SHARERS) * PITCH;
        var sum = 0.0;
        for (var i = 0u; i < LANES; i++) {
            sum += sh_partial[first + i][local / SHARERS];
        }
        store(row * N + part.first + column, sum * prologue_scale(first));
    }
}
