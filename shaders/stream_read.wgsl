// y[p, g, j] = Σ of the 32 groups of four that invocation j of chunk g reads; the same in every pass p
//
//   x  [n]                         read        n a multiple of 32 · 256 · 4
//   y  [PASSES · chunks, 256]      read_write
//
// One workgroup of 256 a chunk of 128 KiB and a pass: neighbours read side by side. Several passes keep the device busy with a small working set.

override CHUNKS: u32;
override PASSES: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    if index >= CHUNKS * PASSES {
        return;
    }
    var at = (index % CHUNKS) * 8192u + local;
    var a = vec4<f32>();
    var b = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        a += x[at];
        b += x[at + 256u];
        a += x[at + 512u];
        b += x[at + 768u];
        a += x[at + 1024u];
        b += x[at + 1280u];
        a += x[at + 1536u];
        b += x[at + 1792u];
        at += 2048u;
    }
    let sum = a + b;
    y[index * 256u + local] = sum.x + sum.y + sum.z + sum.w;
}
