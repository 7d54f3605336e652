// y[t] = w[ids[t]]; this dispatch has rows first .. first + count of the table
//
//   ids  [tokens]             read
//   w    [vocabulary, WIDTH]  read
//   y    [tokens, WIDTH]      read_write
//
// One invocation takes four elements; a workgroup of 64 stays within a row.

override WIDTH: u32;

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let t = index / blocks;
    let column = ((index % blocks) * 64u + local) * 4u;
    if t >= step.rows || column >= WIDTH {
        return;
    }
    let token = ids[t];
    if token < part.first || token >= part.first + part.count {
        return;
    }
    let values = weight4(token - part.first, column);
    for (var i = 0u; i < min(4u, WIDTH - column); i++) {
        y[t * WIDTH + column + i] = values[i];
    }
}
