// (y_i, y_j) = (x_i, x_j) turned by the angle of their pair at the token's position; j is DISTANCE after i
//
//   x      [tokens, WIDTH]    read
//   table  [rows, HEAD_DIM]   read        cos and sin of each pair, side by side
//   y      [tokens, WIDTH]    read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override HEAD_DIM: u32;
override DISTANCE: u32;
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
        // Within the head: blocks of DISTANCE first elements of pairs, and as many second ones.
        let block = (column % HEAD_DIM) / DISTANCE;
        let turned = turn(position, (block / 2u) * DISTANCE + column % HEAD_DIM % DISTANCE);
        let second = block % 2u == 1u;
        let i = X_OFFSET + row * X_STRIDE + column - select(0u, DISTANCE, second);
        let a = x[i];
        let b = x[i + DISTANCE];
        y[row * WIDTH + column] = select(a * turned.x - b * turned.y, b * turned.x + a * turned.y, second);
    }
}
