// What earlier rows of a mini-batch have taught TTT-Linear, as its rows see it.

// Scores of the rows against open rows, CHUNK a row that is open.
var<workgroup> sh_scores: array<f32, CHUNK * OPEN>;

// Four parts of q_i·k_j, for row i at hand and open row j. Each row from a place of its own on, so that neighbours are in different banks.
fn score_sums(i: u32, j: u32, start: u32, batch: Batch) -> vec4<f32> {
    var sums = vec4(0.0);
    if j >= start {
        for (var s = 0u; s < STRIDE; s++) {
            let d = (s + i) % STRIDE;
            sums = fused_sums(sums, sh_rows[i * STRIDE + d], sh_rows[(KEYS + j - start) * STRIDE + d]);
        }
    } else {
        for (var d = 0u; d < FOURS; d++) {
            sums = fma(sh_rows[i * STRIDE + d / 4u][d % 4u], open_key4(batch, j, d), sums);
        }
    }
    return sums;
}

// sh_scores ← (1 + q_i·k_j) tok_i for the rows i at hand and the open rows j up to each, 0 for rows to come.
fn find_scores(local: u32, m: u32, start: u32, batch: Batch) {
    for (var e = local; e < CHUNK * (start + m); e += 256u) {
        // Neighbours have the same open row.
        let i = e % CHUNK;
        let j = e / CHUNK;
        var score = 0.0;
        if i < m && j <= start + i {
            let sums = score_sums(i, j, start, batch);
            score = (1.0 + (sums.x + sums.y) + (sums.z + sums.w)) * token_factor(start + i);
        }
        sh_scores[e] = score;
    }
}

// This invocation's share of Σ_j score_ij h_j for the rows at hand, four a column from FIRST on.
fn seen_shares(local: u32, m: u32, start: u32, batch: Batch) -> mat4x4<f32> {
    var sums = mat4x4<f32>();
    if local / HD >= SHARES {
        return sums;
    }
    for (var j = local / HD; j < start + m; j += SHARES) {
        var h = 0.0;
        if j >= start {
            h = sh_z[(j - start) * HD + local % HD];
        } else {
            h = open_step(batch, j, local % HD);
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
