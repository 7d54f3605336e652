// loss[t] = log Σᵥ exp(logits[t, v]) − logits[t, target], 0 for a target outside the vocabulary
//
//   logits   [rows, WIDTH]  read
//   targets  [rows]         read
//   loss     [rows]         read_write
//
// One workgroup of 256 a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup_index(id, n);
    if row >= live_rows(AXIS, ROWS) {
        return;
    }
    let start = X_OFFSET + row * X_STRIDE;
    var largest = -3e38;
    for (var i = local; i < WIDTH; i += 256u) {
        largest = max(largest, logits[start + i]);
    }
    largest = workgroup_max(local, largest);
    var sum = 0.0;
    for (var i = local; i < WIDTH; i += 256u) {
        sum += exp(max(logits[start + i] - largest, -80.0));
    }
    sum = workgroup_sum(local, sum);
    if local == 0u {
        let target_id = targets[row];
        var value = 0.0;
        if target_id < WIDTH {
            value = log(sum) + (largest - logits[start + target_id]);
        }
        loss[row] = value;
    }
}
