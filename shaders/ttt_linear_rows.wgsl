// TTT-Linear row by row (the per-token update), for decoding: the same function as ttt_linear.wgsl, one token at a time
//
//   qk      [tokens, 2 · HEADS · HD]                 read         all q, then all k, with ttt_given only
//   v       [tokens, HEADS · HD]                     read         with ttt_given only
//   lr      [tokens, HEADS]                          read         with ttt_given only
//   p       [tokens, …]                              read         columns for q and k, v and lr, with ttt_projected only
//   params  [2 · HEADS · HD + MINI_BATCH]            read         γ, β, idx; longer with ttt_projected
//   table   [MINI_BATCH, HD]                         read         cos and sin of each pair, with ttt_projected only
//   out     [tokens, HEADS · HD]                     read_write
//   fast    [sequences · HEADS, (HD + 1) · HD]       read_write   W, b
//   open    [sequences · HEADS, MINI_BATCH · 2 · HD] read_write   rows k, h
//   window  [sequences, TAPS − 1, HEADS · HD]        read_write   of q and k, with ttt_filtered only
//   probe   [tokens, 2 · HEADS]                      read_write   inner losses before and after, with probe_store only
//
// One workgroup of 256 a head and sequence. W is read once a token, its rows spread over the lanes, and written once a mini-batch.

var<workgroup> sh_q: array<f32, HD>;
var<workgroup> sh_k: array<f32, HD>;
var<workgroup> sh_zq: array<f32, HD>;
var<workgroup> sh_partial_k: array<f32, LANES * HD>;
var<workgroup> sh_partial_q: array<f32, LANES * HD>;
var<workgroup> sh_score: array<f32, 64>;

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
    let lane = local / HD;
    let c = local % HD;

    let count = step.sequence[sequence].count;
    for (var t = 0u; t < count; t++) {
        let i = (step.sequence[sequence].position + t) % MINI_BATCH;
        let row = step.sequence[sequence].first_row + t;
        let own = open_start + i * 2u * HD;
        begin_row(local, head, sequence, t);
        if local < HD {
            sh_q[local] = q_at(head, row, local);
            let k = k_at(head, row, local);
            sh_k[local] = k;
            open[own + local] = k;
        }
        workgroupBarrier();
        if lane < LANES {
            var zk = 0.0;
            var zq = 0.0;
            for (var r = lane; r < HD; r += LANES) {
                let w = fast[fast_start + r * HD + c];
                zk += sh_k[r] * w;
                zq += sh_q[r] * w;
            }
            sh_partial_k[local] = zk;
            sh_partial_q[local] = zq;
        }
        workgroupBarrier();
        if local < HD {
            var zk = fast[fast_start + HD * HD + local];
            var zq = zk;
            for (var l = 0u; l < LANES; l++) {
                zk += sh_partial_k[l * HD + local];
                zq += sh_partial_q[l * HD + local];
            }
            sh_z[local] = zk;
            sh_zq[local] = zq;
        }
        probe_before(local, head, row, 1u, t + MINI_BATCH - i <= count);
        inner_gradient(local, head, row, 1u);
        if local < HD {
            open[own + HD + local] = sh_z[local];
        }
        storageBarrier();
        workgroupBarrier();

        // Scores, 16 invocations an open row.
        for (var first = 0u; first <= i; first += 16u) {
            let j = min(first + local / 16u, i);
            var sum = 0.0;
            for (var d = local % 16u; d < HD; d += 16u) {
                sum += sh_q[d] * open[open_start + j * 2u * HD + d];
            }
            let score = (1.0 + row_sum(local, sum)) * token_factor(i);
            if local % 16u == 0u {
                sh_score[j] = score;
            }
        }
        workgroupBarrier();
        if local < HD {
            var z = sh_zq[local];
            for (var j = 0u; j <= i; j++) {
                z -= sh_score[j] * open[open_start + (j * 2u + 1u) * HD + local];
            }
            sh_z[local] = z;
        }
        inner_output(local, head, row, 1u);
        if i == MINI_BATCH - 1u {
            commit(local, fast_start, open_start);
            probe_after(local, head, fast_start, row + 1u, min(t + 1u, MINI_BATCH));
        }
    }
    end_rows(local, head, sequence);
}
