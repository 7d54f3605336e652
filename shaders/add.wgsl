// x += y
//
//   y  [rows, WIDTH]  read
//   x  [rows, WIDTH]  read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override Y_STRIDE: u32;
override Y_OFFSET: u32;

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let column = (index % blocks) * 256u + local;
    if row < live_rows(AXIS, ROWS) && column < WIDTH {
        x[row * WIDTH + column] += y[Y_OFFSET + row * Y_STRIDE + column];
    }
}
