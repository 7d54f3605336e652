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

// Scores of the rows against open rows, CHUNK a row that is open.
var<workgroup> sh_scores: array<f32, CHUNK * OPEN>;

// The end of a mini-batch, whose last m rows are at hand; `start` open ones came before them. Rows are taken in their order wherever the chunks were
// cut, so that the sums are the same to the last bit.
fn commit(local: u32, m: u32, start: u32, open_start: u32) {
    for (var first = 0u; first < start + m; first += CHUNK) {
        let rows = min(CHUNK, start + m - first);
        if start > 0u {
            storageBarrier();
            workgroupBarrier();
            for (var e = local; e < rows * FOURS; e += 256u) {
                let r = e / FOURS;
                let d = e % FOURS;
                let at = open_start + (first + r) * 2u * HD + 4u * d;
                sh_rows[(CHUNK + r) * STRIDE + d / 4u][d % 4u] = open4(at);
                set_z4(4u * e, open4(at + HD));
            }
            workgroupBarrier();
        }
        take_rows(local, rows, token_factor(MINI_BATCH - 1u));
    }
}

// Four parts of q_i·k_j, for row i at hand and open row j. Each row from a place of its own on, so that neighbours are in different banks.
fn score_sums(i: u32, j: u32, start: u32, open_start: u32) -> vec4<f32> {
    var sums = vec4(0.0);
    if j >= start {
        for (var s = 0u; s < STRIDE; s++) {
            let d = (s + i) % STRIDE;
            sums = fused_sums(sums, sh_rows[i * STRIDE + d], sh_rows[(CHUNK + j - start) * STRIDE + d]);
        }
    } else {
        let at = open_start + j * 2u * HD;
        for (var d = 0u; d < FOURS; d++) {
            sums = fma(sh_rows[i * STRIDE + d / 4u][d % 4u], open4(at + 4u * d), sums);
        }
    }
    return sums;
}

// sh_scores ← (1 + q_i·k_j) tok_i for the rows i at hand and the open rows j up to each, 0 for rows to come.
fn find_scores(local: u32, m: u32, start: u32, open_start: u32) {
    for (var e = local; e < CHUNK * (start + m); e += 256u) {
        // Neighbours have the same open row.
        let i = e % CHUNK;
        let j = e / CHUNK;
        var score = 0.0;
        if i < m && j <= start + i {
            let sums = score_sums(i, j, start, open_start);
            score = (1.0 + (sums.x + sums.y) + (sums.z + sums.w)) * token_factor(start + i);
        }
        sh_scores[e] = score;
    }
}

// This invocation's share of Σ_j score_ij h_j for the rows at hand, four a column from FIRST on.
fn seen_shares(local: u32, m: u32, start: u32, open_start: u32) -> mat4x4<f32> {
    var sums = mat4x4<f32>();
    if local / HD >= SHARES {
        return sums;
    }
    for (var j = local / HD; j < start + m; j += SHARES) {
        var h = 0.0;
        if j >= start {
            h = sh_z[(j - start) * HD + local % HD];
        } else {
            h = open[open_start + (j * 2u + 1u) * HD + local % HD];
        }
        sums = mat4x4(
            fma(score_four(j, 0u), vec4(h), sums[0]),
            fma(score_four(j, 1u), vec4(h), sums[1]),
            fma(score_four(j, 2u), vec4(h), sums[2]),
            fma(score_four(j, 3u), vec4(h), sums[3]),
        );
    }
    return sums;
}

fn score_four(j: u32, column: u32) -> vec4<f32> {
    if column < FIRST {
        return vec4(0.0);
    }
    let at = j * CHUNK + 4u * (column - FIRST);
    return vec4(sh_scores[at], sh_scores[at + 1u], sh_scores[at + 2u], sh_scores[at + 3u]);
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
    load_model(local, fast_start);

    var t = 0u;
    while t < count {
        let start = (position + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let row = step.sequence[sequence].first_row + t;
        for (var e = local; e < CHUNK * STRIDE * 4u; e += 256u) {
            let r = e / (STRIDE * 4u);
            let d = e % (STRIDE * 4u);
            let from_row = row + min(r, m - 1u);
            let c = 4u * min(d, FOURS - 1u);
            let inside = vec4(r < m && d < FOURS);
            let q = vec4(q_at(head, from_row, c), q_at(head, from_row, c + 1u), q_at(head, from_row, c + 2u), q_at(head, from_row, c + 3u));
            let k = vec4(k_at(head, from_row, c), k_at(head, from_row, c + 1u), k_at(head, from_row, c + 2u), k_at(head, from_row, c + 3u));
            sh_rows[r * STRIDE + d / 4u][d % 4u] = select(vec4(0.0), q, inside);
            sh_rows[(CHUNK + r) * STRIDE + d / 4u][d % 4u] = select(vec4(0.0), k, inside);
        }
        storageBarrier();
        workgroupBarrier();

        find_scores(local, m, start, open_start);
        let bias = held_bias;
        let ends = start + m == MINI_BATCH;
        // z and h from k, then the output from q: a loop, for compilers to meet the products once.
        for (var second = 0u; second < 2u; second++) {
            var shares = row_shares(local, select(CHUNK, 0u, second == 1u));
            if second == 1u {
                shares -= seen_shares(local, m, start, open_start);
                if ends {
                    commit(local, m, start, open_start);
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
            store_model(local, fast_start);
            probe_after(local, head, fast_start, row + m, min(t, MINI_BATCH));
        }
    }
}
