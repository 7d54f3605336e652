// k_cache[s, p] = k[t] and v_cache[s, p] = v[t], where token t of sequence s is at position p; this dispatch has sequences
// first .. first + count
//
//   k        [tokens, CACHE_WIDTH]              read
//   v        [tokens, CACHE_WIDTH]              read
//   k_cache  [sequences, context, CACHE_WIDTH]  read_write
//   v_cache  [sequences, context, CACHE_WIDTH]  read_write
//
// One invocation four elements of both; a workgroup of 64 stays within a row.

override K_STRIDE: u32;
override K_OFFSET: u32;
override V_STRIDE: u32;
override V_OFFSET: u32;

@group(0) @binding(0) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> k_cache: array<Cached>;
@group(0) @binding(3) var<storage, read_write> v_cache: array<Cached>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (CACHE_WIDTH / 4u + 63u) / 64u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let c = (index % blocks) * 64u + local;
    if row < step.rows && c < CACHE_WIDTH / 4u {
        let sequence = sequence_of(row);
        let position = step.sequence[sequence].position + row - step.sequence[sequence].first_row;
        if in_part(sequence) && position < cache_context() {
            let at = cache_row(sequence, position) + c;
            k_cache[at] = narrowed(k[(K_OFFSET + row * K_STRIDE) / 4u + c]);
            v_cache[at] = narrowed(v[(V_OFFSET + row * V_STRIDE) / 4u + c]);
        }
    }
}
