// The state pass of TTT-Linear in the dual form, what ttt_linear.wgsl computes of its states: with W, b as of the start of the mini-batch,
//   z = k W + b,  h = lr ∇_z ½‖LN(z) − (v − k)‖²
// and, after the last row of a mini-batch, W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j
//
//   qk      [tokens, 2 · HEADS · HD]                 read         all q, then all k
//   v       [tokens, HEADS · HD]                     read
//   lr      [tokens, HEADS]                          read
//   params  [2 · HEADS · HD + MINI_BATCH]            read         γ, β, idx
//   steps   [tokens, HEADS · HD]                     read_write   h of each row
//   models  [slots · HEADS, (HD + 1) · HD]           read_write   W, b as of the start of each mini-batch
//   fast    [sequences · HEADS, (HD + 1) · HD]       read_write   W, b
//   open    [sequences · HEADS, MINI_BATCH · 2 · HD] read_write   rows k, h, which stay as they are
//
// One workgroup of 256 a head and sequence, which walks its tokens in chunks of up to CHUNK rows of one mini-batch with W and b in registers.

@group(0) @binding(4) var<storage, read_write> steps: array<f32>;
@group(0) @binding(5) var<storage, read_write> models: array<f32>;
@group(0) @binding(6) var<storage, read_write> fast: array<f32>;
@group(0) @binding(7) var<storage, read_write> open: array<f32>;

// The first row of k among the rows at hand: there are no others.
const KEYS = 0u;

fn model_at(at: u32) -> f32 {
    return fast[at];
}

fn put(at: u32, x: f32, aside: bool) {
    if aside {
        models[at] = x;
    } else {
        fast[at] = x;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    let sequence = index / HEADS;
    let head = index % HEADS;
    if sequence >= step.sequences {
        return;
    }
    let fast_start = index * (HD + 1u) * HD;
    let begun = step.sequence[sequence].position % MINI_BATCH;
    let count = step.sequence[sequence].count;
    load_model(local, fast_start);

    var t = 0u;
    while t < count {
        let which = (begun + t) / MINI_BATCH;
        let start = (begun + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let row = step.sequence[sequence].first_row + t;
        if t == 0u || start == 0u {
            store_model(local, model_start(slot_of(sequence) + which, head), true);
        }
        load_rows(local, head, row, m);
        workgroupBarrier();

        add_shares(local, row_shares(local, KEYS), held_bias);
        inner_gradient(local, head, row, m);
        for (var e = local; e < m * HD; e += 256u) {
            steps[step_at(row + e / HD, head, e % HD)] = sh_z[e];
        }
        if start + m == MINI_BATCH {
            commit(local, m, start, batch_at(sequence, head, which));
        }
        workgroupBarrier();
        t += m;
    }
    if begun + count >= MINI_BATCH {
        store_model(local, fast_start, false);
    }
}
