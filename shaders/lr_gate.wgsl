// lr = SCALE · learning · sigmoid(z + bias). The exponent is clamped: no infinity may arise.
//
//   z     [tokens, WIDTH]  read
//   bias  [WIDTH]          read
//   lr    [tokens, WIDTH]  read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override Z_STRIDE: u32;
override Z_OFFSET: u32;
override SCALE: f32;

@group(0) @binding(0) var<storage, read> z: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> lr: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let column = (index % blocks) * 256u + local;
    if row < live_rows(AXIS, ROWS) && column < WIDTH {
        let scale = SCALE * step.sequence[sequence_of(row)].learning;
        let logit = z[Z_OFFSET + row * Z_STRIDE + column] + bias[column];
        lr[row * WIDTH + column] = scale / (1.0 + exp(-clamp(logit, -80.0, 80.0)));
    }
}
