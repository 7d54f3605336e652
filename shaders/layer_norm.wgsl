// y = γ ∘ (x − mean) / sqrt(var + EPS) + β, then the gate
//
//   x      [rows, WIDTH]  read
//   gamma  [WIDTH]        read
//   beta   [WIDTH]        read
//   gate   [rows, WIDTH]  read        with the gate only
//   y      [rows, WIDTH]  read_write
//
// One workgroup of 256 a row. Mean first, then the squares around it: no cancellation.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup_index(id, n);
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let start = X_OFFSET + row * X_STRIDE;
    var sum = 0.0;
    for (var i = local; i < WIDTH; i += 256u) {
        sum += x[start + i];
    }
    let mean = workgroup_sum(local, sum) / f32(WIDTH);
    var squares = 0.0;
    for (var i = local; i < WIDTH; i += 256u) {
        let d = x[start + i] - mean;
        squares += d * d;
    }
    let scale = inverseSqrt(workgroup_sum(local, squares) / f32(WIDTH) + EPS);
    for (var i = local; i < WIDTH; i += 256u) {
        let normed = gamma[i] * (x[start + i] - mean) * scale + beta[i];
        y[row * WIDTH + i] = gated(row, i, normed);
    }
}
