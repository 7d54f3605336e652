// For each token, query head and split of SPLIT positions, over the split's positions j up to that of the token:
//   m = max_j s_j,  l = Σ_j exp(s_j − m),  o = Σ_j exp(s_j − m) v[j],  s_j = SCALE · q · k[j]
// with the keys and values of head h / GROUP; this dispatch has sequences first .. first + count
//
//   q        [tokens, HEADS · HD]                   read
//   k_cache  [sequences, context, CACHE_WIDTH]      read
//   v_cache  [sequences, context, CACHE_WIDTH]      read
//   partial  [tokens, HEADS · SPLITS · (HD + 2)]    read_write   o, m, l of each head and split
//
// A workgroup of 256 takes one split of one token for TILE_HEADS query heads of one key/value head.

override Q_STRIDE: u32;
override Q_OFFSET: u32;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k_cache: array<Cached>;
@group(0) @binding(2) var<storage, read> v_cache: array<Cached>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

// Four elements of a row of queries, from element i on: rows may start anywhere.
fn query4(row: u32, i: u32) -> vec4<f32> {
    let at = Q_OFFSET + row * Q_STRIDE + i;
    return vec4(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
}

// Group `c` of four of the key at a position.
fn key4(sequence: u32, position: u32, c: u32) -> vec4<f32> {
    return widened(k_cache[cache_row(sequence, position) + c]);
}

fn value4(sequence: u32, position: u32, c: u32) -> vec4<f32> {
    return widened(v_cache[cache_row(sequence, position) + c]);
}

// The caches have the row's key and value already.
fn keep(local: u32, sequence: u32, row: u32, column: u32) {
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    attend_split(id, n, local);
}
