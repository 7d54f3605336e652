// TTT-MLP in the dual form: with W1, b1, W2, b2 as of the start of the mini-batch and its rows (k_j, h1_j, x2_j, h2_j),
//   z1 = k W1 + b1,  x2 = gelu(z1),  z2 = x2 W2 + b2,  h2 = lr ∇_z2 ½‖LN(z2) − (v − k)‖²,  h1 = (h2 W2ᵀ) ∘ gelu'(z1)
//   x̄2 = gelu(q W1 + b1 − tok_i Σ_{j ≤ i} (1 + q·k_j) h1_j)
//   out = q + LN(x̄2 W2 + b2 − tok_i Σ_{j ≤ i} (1 + x̄2·x2_j) h2_j)
// and the commit of both layers after the last row of a mini-batch
//
//   qk      [tokens, 2 · HEADS · HD]                  read         all q, then all k
//   v       [tokens, HEADS · HD]                      read
//   lr      [tokens, HEADS]                           read
//   params  [2 · HEADS · HD + MINI_BATCH]             read         γ, β, idx
//   out     [tokens, HEADS · HD]                      read_write
//   fast    [sequences · HEADS, (8 · HD + 5) · HD]    read_write   W1, b1, W2, b2
//   open    [sequences · HEADS, MINI_BATCH · 10 · HD] read_write   rows k, h1, x2, h2
//   probe   [tokens, 2 · HEADS]                       read_write   inner losses before and after, with probe_store only
//
// One workgroup of 256 a head and sequence, which walks its tokens in chunks of up to CHUNK rows of one mini-batch.

var<workgroup> sh_q: array<f32, CHUNK * HD>;
// Rows of k; then the scores of each row against up to 64 open rows.
var<workgroup> sh_k: array<f32, CHUNK * max(HD, 64u)>;
// Rows of x2, then of x̄2.
var<workgroup> sh_wide: array<f32, CHUNK * 4u * HD>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    let sequence = (part.first + index) / HEADS;
    let head = (part.first + index) % HEADS;
    if index >= part.count || sequence >= step.sequences {
        return;
    }
    let fast_start = index * FAST;
    let open_start = index * MINI_BATCH * ROW;
    let position = step.sequence[sequence].position;
    let count = step.sequence[sequence].count;
    let lane = local / HD;
    let c = local % HD;

    var t = 0u;
    while t < count {
        let start = (position + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let row = step.sequence[sequence].first_row + t;
        let own = open_start + start * ROW;
        for (var e = local; e < CHUNK * HD; e += 256u) {
            let inside = e / HD < m;
            let r = row + min(e / HD, m - 1u);
            sh_q[e] = select(0.0, q_at(head, r, e % HD), inside);
            sh_k[e] = select(0.0, k_at(head, r, e % HD), inside);
        }
        workgroupBarrier();

        // z1 = k W1 + b1: x2 and, in the place of h1 until that is known, the slope.
        for (var column = local; column < WIDE; column += 256u) {
            var z1 = array<f32, CHUNK>();
            for (var i = 0u; i < HD; i++) {
                let w = fast[fast_start + i * WIDE + column];
                for (var u = 0u; u < CHUNK; u++) {
                    z1[u] += sh_k[u * HD + i] * w;
                }
            }
            let b = fast[fast_start + B1 + column];
            for (var u = 0u; u < CHUNK; u++) {
                let x2 = gelu(z1[u] + b);
                sh_wide[u * WIDE + column] = x2;
                if u < m {
                    open[own + u * ROW + X2 + column] = x2;
                    open[own + u * ROW + H1 + column] = gelu_slope(z1[u] + b);
                }
            }
        }
        workgroupBarrier();

        // z2 = x2 W2 + b2 and h2.
        if lane < LANES {
            var z2 = array<f32, ROWS_A_LANE>();
            for (var i = 0u; i < WIDE; i++) {
                let w = fast[fast_start + W2 + i * HD + c];
                for (var u = 0u; u < ROWS_A_LANE; u++) {
                    z2[u] += sh_wide[min(lane + u * LANES, CHUNK - 1u) * WIDE + i] * w;
                }
            }
            for (var u = 0u; u < ROWS_A_LANE; u++) {
                let r = lane + u * LANES;
                if r < CHUNK {
                    sh_z[r * HD + c] = z2[u] + fast[fast_start + B2 + c];
                }
            }
        }
        probe_before(local, head, row, m, t + MINI_BATCH - start <= count);
        inner_gradient(local, head, row, m);

        // h1 = (h2 W2ᵀ) ∘ slope, by the invocations that wrote the slope.
        for (var column = local; column < WIDE; column += 256u) {
            var sums = array<f32, CHUNK>();
            for (var i = 0u; i < HD; i++) {
                let w = fast[fast_start + W2 + column * HD + i];
                for (var u = 0u; u < CHUNK; u++) {
                    sums[u] += sh_z[u * HD + i] * w;
                }
            }
            for (var u = 0u; u < m; u++) {
                open[own + u * ROW + H1 + column] *= sums[u];
            }
        }
        for (var e = local; e < m * HD; e += 256u) {
            let at = own + (e / HD) * ROW + e % HD;
            open[at] = sh_k[e];
            open[at + H2] = sh_z[e];
        }
        storageBarrier();
        workgroupBarrier();

        // The score of row i against open row j in the first layer, 0 for rows to come.
        let end = start + m;
        for (var e = local; e < m * end; e += 256u) {
            let i = e / end;
            let j = e % end;
            var score = 0.0;
            if j <= start + i {
                score = 1.0;
                for (var d = 0u; d < HD; d++) {
                    score += sh_q[i * HD + d] * open[open_start + j * ROW + d];
                }
                score *= token_factor(start + i);
            }
            sh_k[i * 64u + j] = score;
        }
        workgroupBarrier();
        for (var column = local; column < WIDE; column += 256u) {
            var z1 = array<f32, CHUNK>();
            for (var i = 0u; i < HD; i++) {
                let w = fast[fast_start + i * WIDE + column];
                for (var u = 0u; u < CHUNK; u++) {
                    z1[u] += sh_q[u * HD + i] * w;
                }
            }
            for (var j = 0u; j < end; j++) {
                let h1 = open[open_start + j * ROW + H1 + column];
                for (var u = 0u; u < CHUNK; u++) {
                    z1[u] -= sh_k[min(u, m - 1u) * 64u + j] * h1;
                }
            }
            let b = fast[fast_start + B1 + column];
            for (var u = 0u; u < CHUNK; u++) {
                sh_wide[u * WIDE + column] = gelu(z1[u] + b);
            }
        }
        workgroupBarrier();

        // The same for the second layer.
        for (var e = local; e < m * end; e += 256u) {
            let i = e / end;
            let j = e % end;
            var score = 0.0;
            if j <= start + i {
                score = 1.0;
                for (var d = 0u; d < WIDE; d++) {
                    score += sh_wide[i * WIDE + d] * open[open_start + j * ROW + X2 + d];
                }
                score *= token_factor(start + i);
            }
            sh_k[i * 64u + j] = score;
        }
        workgroupBarrier();
        if lane < LANES {
            var z2 = array<f32, ROWS_A_LANE>();
            for (var i = 0u; i < WIDE; i++) {
                let w = fast[fast_start + W2 + i * HD + c];
                for (var u = 0u; u < ROWS_A_LANE; u++) {
                    z2[u] += sh_wide[min(lane + u * LANES, CHUNK - 1u) * WIDE + i] * w;
                }
            }
            for (var j = 0u; j < end; j++) {
                let h2 = open[open_start + j * ROW + H2 + c];
                for (var u = 0u; u < ROWS_A_LANE; u++) {
                    z2[u] -= sh_k[min(lane + u * LANES, m - 1u) * 64u + j] * h2;
                }
            }
            for (var u = 0u; u < ROWS_A_LANE; u++) {
                let r = lane + u * LANES;
                if r < CHUNK {
                    sh_z[r * HD + c] = z2[u] + fast[fast_start + B2 + c];
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
