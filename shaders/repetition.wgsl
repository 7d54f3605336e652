// x ← x / penalty if x > 0, else x · penalty, for each distinct token among the last last_n of each sequence
//
//   ring    [sequences, 256]         read
//   logits  [sequences, VOCABULARY]  read_write
//
// One workgroup of 256 a sequence, one invocation a place of the ring. The host divides: WGSL's division differs between devices.

override VOCABULARY: u32;

@group(0) @binding(0) var<storage, read> ring: array<u32>;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;

var<workgroup> sh_seen: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let s = workgroup_index(id, n);
    if s >= step.sequences {
        return;
    }
    let end = step.sequence[s].position + step.sequence[s].count;
    let seen = min(min(step.sequence[s].last_n, end), 256u);
    if local < seen {
        sh_seen[local] = ring[s * 256u + (end - 1u - local) % 256u];
    }
    workgroupBarrier();
    if local >= seen {
        return;
    }
    let token = sh_seen[local];
    for (var later = 0u; later < local; later++) {
        if sh_seen[later] == token {
            return;
        }
    }
    if token < VOCABULARY {
        let i = s * VOCABULARY + token;
        let x = logits[i];
        logits[i] = x * select(step.sequence[s].penalty, step.sequence[s].inverse_penalty, x > 0.0);
    }
}
