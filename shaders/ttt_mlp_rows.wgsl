// TTT-MLP row by row (the per-token update), for decoding: the same function as ttt_mlp.wgsl, one token at a time
//
//   qk      [tokens, 2 · HEADS · HD]                  read         all q, then all k, with ttt_given only
//   v       [tokens, HEADS · HD]                      read         with ttt_given only
//   lr      [tokens, HEADS]                           read         with ttt_given only
//   p       [tokens, …]                               read         columns for q and k, v and lr, with ttt_projected only
//   params  [2 · HEADS · HD + MINI_BATCH]             read         γ, β, idx; longer with ttt_projected
//   table   [MINI_BATCH, HD]                          read         cos and sin of each pair, with ttt_projected only
//   out     [tokens, HEADS · HD]                      read_write
//   fast    [sequences · HEADS, (8 · HD + 5) · HD]    read_write   W1, b1, W2, b2
//   open    [sequences · HEADS, MINI_BATCH · 10 · HD] read_write   rows k, h1, x2, h2
//   window  [sequences, TAPS − 1, HEADS · HD]         read_write   of q and k, with ttt_filtered only
//   probe   [tokens, 2 · HEADS]                       read_write   inner losses before and after, with probe_store only
//
// One workgroup of 256 a head and sequence.

var<workgroup> sh_q: array<f32, HD>;
var<workgroup> sh_k: array<f32, HD>;
var<workgroup> sh_wide: array<f32, 4u * HD>;
// q W1 + b1, read with k W1 in one pass over W1.
var<workgroup> sh_zq: array<f32, 4u * HD>;
var<workgroup> sh_partial: array<f32, LANES * HD>;
var<workgroup> sh_slope: array<f32, 4u * HD>;
// Parts of products with four rows of W2.
var<workgroup> sh_parts: array<vec4<f32>, 256>;
var<workgroup> sh_score: array<f32, 64>;

fn set_hidden4(r: u32, column: u32, x: vec4<f32>) {
    sh_wide[column] = x.x;
    sh_wide[column + 1u] = x.y;
    sh_wide[column + 2u] = x.z;
    sh_wide[column + 3u] = x.w;
}

fn hidden4(r: u32, column: u32) -> vec4<f32> {
    return vec4(sh_wide[column], sh_wide[column + 1u], sh_wide[column + 2u], sh_wide[column + 3u]);
}

// sh_z ← sh_wide W2 + b2, W2's rows spread over the lanes.
fn second_layer(local: u32, fast_start: u32) {
    let lane = local / HD;
    let c = local % HD;
    if lane < LANES {
        var sum = 0.0;
        for (var i = lane; i < WIDE; i += LANES) {
            sum += sh_wide[i] * fast[fast_start + W2 + i * HD + c];
        }
        sh_partial[local] = sum;
    }
    workgroupBarrier();
    if local < HD {
        var z = fast[fast_start + B2 + local];
        for (var l = 0u; l < LANES; l++) {
            z += sh_partial[l * HD + local];
        }
        sh_z[local] = z;
    }
    workgroupBarrier();
}

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

    let count = step.sequence[sequence].count;
    for (var t = 0u; t < count; t++) {
        let i = (step.sequence[sequence].position + t) % MINI_BATCH;
        let row = step.sequence[sequence].first_row + t;
        let own = open_start + i * ROW;
        let factor = token_factor(i);
        begin_row(local, head, sequence, t);
        if local < HD {
            sh_q[local] = q_at(head, row, local);
            let k = k_at(head, row, local);
            sh_k[local] = k;
            open[own + local] = k;
        }
        workgroupBarrier();
        for (var column = local; column < WIDE; column += 256u) {
            var z1 = fast[fast_start + B1 + column];
            var zq = z1;
            for (var r = 0u; r < HD; r++) {
                let w = fast[fast_start + r * WIDE + column];
                z1 += sh_k[r] * w;
                zq += sh_q[r] * w;
            }
            sh_zq[column] = zq;
            sh_wide[column] = gelu(z1);
            open[own + X2 + column] = gelu(z1);
            sh_slope[column] = gelu_slope(z1);
        }
        workgroupBarrier();
        second_layer(local, fast_start);
        probe_before(local, head, row, 1u, t + MINI_BATCH - i <= count);
        inner_gradient(local, head, row, 1u);
        // h1, 16 invocations a row of W2, so that neighbours read what lies in one piece: four such rows, 16 apart, before their parts are added up.
        for (var first = 0u; first < WIDE; first += 64u) {
            let r = min(first + local / 16u + vec4(0u, 16u, 32u, 48u), vec4(WIDE - 1u));
            let at = fast_start + W2 + r * HD;
            var parts = vec4(0.0);
            for (var d = local % 16u; d < FOURS; d += 16u) {
                let c = 4u * d;
                let h2 = vec4(sh_z[c], sh_z[c + 1u], sh_z[c + 2u], sh_z[c + 3u]);
                parts += vec4(dot(h2, fast4(at.x + c)), dot(h2, fast4(at.y + c)), dot(h2, fast4(at.z + c)), dot(h2, fast4(at.w + c)));
            }
            sh_parts[local] = parts;
            workgroupBarrier();
            if local < 64u && first + local < WIDE {
                var sum = 0.0;
                for (var l = 0u; l < 16u; l++) {
                    sum += sh_parts[local % 16u * 16u + l][local / 16u];
                }
                open[own + H1 + first + local] = sum * sh_slope[first + local];
            }
            workgroupBarrier();
        }
        if local < HD {
            open[own + H2 + local] = sh_z[local];
        }
        storageBarrier();
        workgroupBarrier();

        // Scores of the first layer, 16 invocations an open row.
        for (var first = 0u; first <= i; first += 16u) {
            let j = min(first + local / 16u, i);
            var sum = 0.0;
            for (var d = local % 16u; d < HD; d += 16u) {
                sum += sh_q[d] * open[open_start + j * ROW + d];
            }
            let score = (1.0 + row_sum(local, sum)) * factor;
            if local % 16u == 0u {
                sh_score[j] = score;
            }
        }
        workgroupBarrier();
        for (var column = local; column < WIDE; column += 256u) {
            var z = sh_zq[column];
            for (var j = 0u; j <= i; j++) {
                z -= sh_score[j] * open[open_start + j * ROW + H1 + column];
            }
            sh_wide[column] = gelu(z);
        }
        workgroupBarrier();
        for (var first = 0u; first <= i; first += 16u) {
            let j = min(first + local / 16u, i);
            var sum = 0.0;
            for (var d = local % 16u; d < WIDE; d += 16u) {
                sum += sh_wide[d] * open[open_start + j * ROW + X2 + d];
            }
            let score = (1.0 + row_sum(local, sum)) * factor;
            if local % 16u == 0u {
                sh_score[j] = score;
            }
        }
        workgroupBarrier();
        second_layer(local, fast_start);
        if local < HD {
            for (var j = 0u; j <= i; j++) {
                sh_z[local] -= sh_score[j] * open[open_start + j * ROW + H2 + local];
            }
        }
        inner_output(local, head, row, 1u);
        if i == MINI_BATCH - 1u {
            commit(local, fast_start, open_start);
            probe_after(local, head, fast_start, row + 1u, min(t + 1u, MINI_BATCH));
        }
    }
    end_rows(local, head, sequence);
}
