// y = w ∘ x / sqrt(mean(x²) + EPS), the mean over each group of WIDTH / GROUPS channels
//
//   x  [rows, WIDTH]  read
//   w  [WIDTH]        read
//   y  [rows, WIDTH]  read_write
//
// One workgroup of 256 a row and group.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override GROUPS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    let row = index / GROUPS;
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let width = WIDTH / GROUPS;
    let column = (index % GROUPS) * width;
    let start = X_OFFSET + row * X_STRIDE + column;
    var sum = 0.0;
    for (var i = local; i < width; i += 256u) {
        sum += x[start + i] * x[start + i];
    }
    let scale = inverseSqrt(workgroup_sum(local, sum) / f32(width) + EPS);
    for (var i = local; i < width; i += 256u) {
        y[row * WIDTH + column + i] = x[start + i] * scale * w[column + i];
    }
}
