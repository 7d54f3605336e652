// ring[s, position mod 256] = id, for the last 256 tokens of each sequence in the run
//
//   ids   [tokens]          read
//   ring  [sequences, 256]  read_write
//
// One workgroup of 256 a sequence.

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> ring: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let s = workgroup_index(id, n);
    if s >= step.sequences {
        return;
    }
    let count = step.sequence[s].count;
    let t = max(count, 256u) - 256u + local;
    if t < count {
        ring[s * 256u + (step.sequence[s].position + t) % 256u] = ids[step.sequence[s].first_row + t];
    }
}
