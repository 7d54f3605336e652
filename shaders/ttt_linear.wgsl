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
// One workgroup of 256 a head and sequence, which walks its tokens in chunks of up to CHUNK rows of one mini-batch: the rows
// already open are read from `open`, so a chunk may start anywhere and its tiles don't grow with the mini-batch.

var<workgroup> sh_q: array<f32, CHUNK * HD>;
// Rows of k; then the scores of each row against up to 64 open rows.
var<workgroup> sh_k: array<f32, CHUNK * max(HD, 64u)>;

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
    let lane = local / HD;
    let c = local % HD;

    var t = 0u;
    while t < count {
        let start = (position + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let row = step.sequence[sequence].first_row + t;
        for (var e = local; e < CHUNK * HD; e += 256u) {
            let inside = e / HD < m;
            let r = row + min(e / HD, m - 1u);
            sh_q[e] = select(0.0, q_at(head, r, e % HD), inside);
            sh_k[e] = select(0.0, k_at(head, r, e % HD), inside);
        }
        workgroupBarrier();

        // k W and q W, each weight read once for all rows of the lane.
        var zk = array<f32, ROWS_A_LANE>();
        var zq = array<f32, ROWS_A_LANE>();
        if lane < LANES {
            for (var i = 0u; i < HD; i++) {
                let w = fast[fast_start + i * HD + c];
                for (var u = 0u; u < ROWS_A_LANE; u++) {
                    let r = min(lane + u * LANES, CHUNK - 1u);
                    zk[u] += sh_k[r * HD + i] * w;
                    zq[u] += sh_q[r * HD + i] * w;
                }
            }
            let b = fast[fast_start + HD * HD + c];
            for (var u = 0u; u < ROWS_A_LANE; u++) {
                let r = lane + u * LANES;
                if r < CHUNK {
                    sh_z[r * HD + c] = zk[u] + b;
                }
                zq[u] += b;
            }
        }
        probe_before(local, head, row, m, t + MINI_BATCH - start <= count);
        inner_gradient(local, head, row, m);
        for (var e = local; e < m * HD; e += 256u) {
            let at = open_start + (start + e / HD) * 2u * HD + e % HD;
            open[at] = sh_k[e];
            open[at + HD] = sh_z[e];
        }
        storageBarrier();
        workgroupBarrier();

        // The score of row i against open row j, 0 for rows to come.
        let end = start + m;
        for (var e = local; e < m * end; e += 256u) {
            let i = e / end;
            let j = e % end;
            var score = 0.0;
            if j <= start + i {
                score = 1.0;
                for (var d = 0u; d < HD; d++) {
                    score += sh_q[i * HD + d] * open[open_start + j * 2u * HD + d];
                }
                score *= token_factor(start + i);
            }
            sh_k[i * 64u + j] = score;
        }
        workgroupBarrier();
        if lane < LANES {
            for (var j = 0u; j < end; j++) {
                let h = open[open_start + (j * 2u + 1u) * HD + c];
                for (var u = 0u; u < ROWS_A_LANE; u++) {
                    zq[u] -= sh_k[min(lane + u * LANES, m - 1u) * 64u + j] * h;
                }
            }
            for (var u = 0u; u < ROWS_A_LANE; u++) {
                let r = lane + u * LANES;
                if r < CHUNK {
                    sh_z[r * HD + c] = zq[u];
                }
            }
        }
        inner_output(local, head, row, m);
        if end == MINI_BATCH {
            commit(local, fast_start, open_start);
            probe_after(local, head, fast_start, row + m, min(t + m, MINI_BATCH));
        }
        t += m;
    }
}
