// (y₂ᵢ, y₂ᵢ₊₁) = (x₂ᵢ, x₂ᵢ₊₁) turned by the angle of pair i at the position in the mini-batch
//
//   x      [tokens, WIDTH]     read
//   table  [PERIOD, HEAD_DIM]  read        cos and sin of each pair, side by side
//   y      [tokens, WIDTH]     read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override HEAD_DIM: u32;
override PERIOD: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let column = (index % blocks) * 256u + local;
    if row < live_rows(AXIS, ROWS) && column < WIDTH {
        let sequence = sequence_of(row);
        let position = step.sequence[sequence].position + row - step.sequence[sequence].first_row;
        let even = column & ~1u;
        let turn = (position % PERIOD) * HEAD_DIM + even % HEAD_DIM;
        let i = X_OFFSET + row * X_STRIDE + even;
        let a = x[i];
        let b = x[i + 1u];
        let turned = select(a * table[turn] - b * table[turn + 1u], b * table[turn] + a * table[turn + 1u], column != even);
        y[row * WIDTH + column] = turned;
    }
}
