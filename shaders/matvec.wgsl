// y[t, n] = Σₖ x'[t, k] · w[n, k], then the epilogue; x' is x after the prologue; this dispatch has rows first .. first + count of w
//
//   x     [rows, K]  read
//   w     [N, K]     read
//   norm  [K]        read        with the norm only
//   y     [rows, N]  read_write
//
// A workgroup of 256 computes 8 elements of one row, 32 invocations each.

override K: u32;
override N: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<Activation>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (part.count + 7u) / 8u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let column = (index % blocks) * 8u + local / 32u;
    let scale = prologue_scale(row, local);
    var sum = 0.0;
    if column < part.count {
        for (var k = (local % 32u) * 4u; k < K; k += 128u) {
            sum += dot(row4(row, k) * prologue4(k), weight4(column, k));
        }
    }
    sh_partial[local] = sum;
    workgroupBarrier();
    for (var half = 16u; half > 0u; half >>= 1u) {
        if local % 32u < half {
            sh_partial[local] += sh_partial[local + half];
        }
        workgroupBarrier();
    }
    if local % 32u == 0u && column < part.count {
        store(row * N + part.first + column, sh_partial[local] * scale);
    }
}
