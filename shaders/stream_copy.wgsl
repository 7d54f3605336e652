// y = x, in every pass
//
//   x  [n]           read        n a multiple of 8 · 256 · 4
//   y  [n]           read_write
//
// One workgroup of 256 a chunk of 32 KiB and a pass: neighbours copy side by side. All passes write the same values.

override CHUNKS: u32;
override PASSES: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    if index >= CHUNKS * PASSES {
        return;
    }
    let at = (index % CHUNKS) * 2048u + local;
    y[at] = x[at];
    y[at + 256u] = x[at + 256u];
    y[at + 512u] = x[at + 512u];
    y[at + 768u] = x[at + 768u];
    y[at + 1024u] = x[at + 1024u];
    y[at + 1280u] = x[at + 1280u];
    y[at + 1536u] = x[at + 1536u];
    y[at + 1792u] = x[at + 1792u];
}
