// TTT-Linear in the dual form: with W, b as of the start of the mini-batch and its rows (k_j, h_j),
//   z = k W + b,  h = lr ∇_z ½‖LN(z) − (v − k)‖²,  out = q + LN(q W + b − tok_i Σ_{j ≤ i} (1 + q·k_j) h_j)
// and, after the last row of a mini-batch, W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j
//
//   qk      [tokens, 2 · HEADS · HD]                 read         all q, then all k
//   v       [tokens, HEADS · HD]                     read
//   lr      [tokens, HEADS]                          read
//   params  [2 · HEADS · HD + MINI_BATCH]            read         γ, β, idx
//   out     [tokens, HEADS · HD]                     read_write
//   fast    [sequences · HEADS, (HD + 1) · HD]       read_write   W, b
//   open    [sequences · HEADS, MINI_BATCH · 2 · HD] read_write   rows k, h
//   probe   [tokens, 2 · HEADS]                      read_write   inner losses before and after, with probe_store only
//
// One workgroup of 256 a head and sequence, which walks its tokens in chunks of up to CHUNK rows of one mini-batch. W and b are read once, stay in
// registers for all of them, and are written once; `open` has the rows that a later run or chunk needs.

// The first row of k among the rows at hand: q's come before.
const KEYS = CHUNK;

// A mini-batch: all its rows are open ones.
struct Batch {
    open_start: u32,
}

fn open_key4(batch: Batch, j: u32, d: u32) -> vec4<f32> {
    return open4(batch.open_start + j * 2u * HD + 4u * d);
}

fn open_step(batch: Batch, j: u32, c: u32) -> f32 {
    return open[batch.open_start + (j * 2u + 1u) * HD + c];
}

fn open_step4(batch: Batch, j: u32, d: u32) -> vec4<f32> {
    return open4(batch.open_start + (j * 2u + 1u) * HD + 4u * d);
}

fn model_at(at: u32) -> f32 {
    return fast[at];
}

fn put(at: u32, x: f32, aside: bool) {
    fast[at] = x;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    let sequence = (part.first + index) / HEADS;
    let head = (part.first + index) % HEADS;
    if index >= part.count || sequence >= step.sequences {
        return;
    }
    let fast_start = index * (HD + 1u) * HD;
    let open_start = index * MINI_BATCH * 2u * HD;
    let position = step.sequence[sequence].position;
    let count = step.sequence[sequence].count;
    let batch = Batch(open_start);
    load_model(local, fast_start);

    var t = 0u;
    while t < count {
        let start = (position + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let row = step.sequence[sequence].first_row + t;
        load_rows(local, head, row, m);
        storageBarrier();
        workgroupBarrier();

        find_scores(local, m, start, batch);
        let bias = held_bias;
        let ends = start + m == MINI_BATCH;
        // z and h from k, then the output from q: a loop, for compilers to meet the products once.
        for (var second = 0u; second < 2u; second++) {
            var shares = row_shares(local, select(KEYS, 0u, second == 1u));
            if second == 1u {
                shares -= seen_shares(local, m, start, batch);
                if ends {
                    commit(local, m, start, batch);
                }
                workgroupBarrier();
            }
            add_shares(local, shares, bias);
            if second == 1u {
                inner_output(local, head, row, m);
            } else {
                probe_before(local, head, row, m, t + MINI_BATCH - start <= count);
                inner_gradient(local, head, row, m);
                for (var e = local; e < m * HD; e += 256u) {
                    let r = e / HD;
                    // Of others the same run neither reads them nor leaves them as they are.
                    if start > 0u || MINI_BATCH > CHUNK || t + r + MINI_BATCH >= count {
                        let at = open_start + (start + r) * 2u * HD + e % HD;
                        open[at] = k_at(head, row + r, e % HD);
                        open[at + HD] = sh_z[e];
                    }
                }
            }
        }
        t += m;
        if ends && (probing() || t + MINI_BATCH > count) {
            store_model(local, fast_start, false);
            probe_after(local, head, fast_start, row + m, min(t, MINI_BATCH));
        }
    }
}
