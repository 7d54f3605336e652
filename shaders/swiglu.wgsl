// y = silu(gate) ∘ x
//
//   gate  [rows, WIDTH]  read
//   x     [rows, WIDTH]  read
//   y     [rows, WIDTH]  read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override GATE_STRIDE: u32;
override GATE_OFFSET: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let column = (index % blocks) * 256u + local;
    if row < live_rows(AXIS, ROWS) && column < WIDTH {
        let g = gate[GATE_OFFSET + row * GATE_STRIDE + column];
        y[row * WIDTH + column] = silu(g) * x[X_OFFSET + row * X_STRIDE + column];
    }
}
