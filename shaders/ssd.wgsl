// A selective state space whose heads have one rate A each (state space duality, arXiv 2405.21060), in chunks, as matrix products:
// with Δ = softplus(dt + bias) and a_t = Δ_t A, from the state S before the chunk,
//   y_t = exp(Σ_{j ≤ t} a_j) S C_t + Σ_{j ≤ t} exp(a_{j+1} + … + a_t) Δ_j (C_t·B_j) x_j + D x_t, then the gate
//   S ← exp(Σ a_j) S + Σ_j exp(Σ_{i > j} a_i) Δ_j x_j B_jᵀ
//
//   x       [tokens, HEADS · HEAD_DIM]             read
//   dt      [tokens, HEADS]                        read
//   bc      [tokens, 2 · GROUPS · STATE]           read         B of every group, then C
//   params  [HEADS · RATES + 2 · HEADS]            read         log(−A), bias, D
//   gate    [tokens, HEADS · HEAD_DIM]             read         with the gate only
//   y       [tokens, HEADS · HEAD_DIM]             read_write
//   state   [sequences · HEADS, HEAD_DIM · STATE]  read_write
//
// One workgroup of 256 a sequence, head and block of 64 of its channels. It walks the tokens in chunks of 16, and the state in tiles of
// 16 columns: each is read once a chunk, used, brought forward and written back. Every decay is a sum of its own
// few terms, never a difference of long sums. Rows of 17 keep the columns of a tile in different banks.

const CHUNK = 16u;
const BLOCK = 64u;
const TILE = 16u;
const PITCH = 17u;

var<workgroup> sh_x: array<f32, CHUNK * BLOCK>;
var<workgroup> sh_b: array<f32, CHUNK * PITCH>;
var<workgroup> sh_c: array<f32, CHUNK * PITCH>;
var<workgroup> sh_state: array<f32, BLOCK * PITCH>;
// exp(a_{j+1} + … + a_t) Δ_j C_t·B_j at [t, j].
var<workgroup> sh_score: array<f32, CHUNK * CHUNK>;
var<workgroup> sh_step: array<f32, CHUNK>;
// exp(Σ_{i > j} a_i) Δ_j.
var<workgroup> sh_weight: array<f32, CHUNK>;

// The decay over tokens first .. end of the chunk.
fn decay_over(a: f32, first: u32, end: u32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < end; j++) {
        sum += sh_step[j];
    }
    return decay(a * sum);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (HEAD_DIM + BLOCK - 1u) / BLOCK;
    let index = workgroup_index(id, n);
    let sequence = (part.first + index / blocks) / HEADS;
    let head = (part.first + index / blocks) % HEADS;
    if index / blocks >= part.count || sequence >= step.sequences {
        return;
    }
    let first = (index % blocks) * BLOCK;
    let state_start = (index / blocks * HEAD_DIM + first) * STATE;
    let channels = min(BLOCK, HEAD_DIM - first);
    let column = head * HEAD_DIM + first;
    let a = a_at(head, 0u);
    let count = step.sequence[sequence].count;

    // A row and a column of 16 × 16; the 4 channels with whose state this invocation deals; the channel and 4 tokens of its outputs.
    let i = local / 16u;
    let j = local % 16u;
    let p = local % BLOCK;
    let t = local / BLOCK * 4u;

    for (var t0 = 0u; t0 < count; t0 += CHUNK) {
        let m = min(CHUNK, count - t0);
        let row = step.sequence[sequence].first_row + t0;
        // Tokens beyond the chunk's have x, B, C and Δ of zero: they change nothing.
        if local < CHUNK {
            var delta = 0.0;
            if local < m {
                delta = step_at(row + local, head);
            }
            sh_step[local] = delta;
        }
        for (var e = local; e < CHUNK * BLOCK; e += 256u) {
            var value = 0.0;
            if e / BLOCK < m && e % BLOCK < channels {
                value = x_at(row + e / BLOCK, column + e % BLOCK);
            }
            sh_x[e] = value;
        }
        workgroupBarrier();
        if local < CHUNK {
            sh_weight[local] = sh_step[local] * decay_over(a, local + 1u, CHUNK);
        }
        let through = decay_over(a, 0u, CHUNK);
        var sums = vec4(0.0);
        var score = 0.0;
        for (var n0 = 0u; n0 < STATE; n0 += TILE) {
            let inside = n0 + j < STATE;
            var b = 0.0;
            var c = 0.0;
            if i < m && inside {
                b = b_at(row + i, head, n0 + j);
                c = c_at(row + i, head, n0 + j);
            }
            sh_b[i * PITCH + j] = b;
            sh_c[i * PITCH + j] = c;
            var s = vec4(0.0);
            for (var u = 0u; u < 4u; u++) {
                if inside && i * 4u + u < channels {
                    s[u] = state[state_start + (i * 4u + u) * STATE + n0 + j];
                }
                sh_state[(i * 4u + u) * PITCH + j] = s[u];
            }
            workgroupBarrier();
            for (var k = 0u; k < TILE; k++) {
                let c4 = vec4(sh_c[t * PITCH + k], sh_c[(t + 1u) * PITCH + k], sh_c[(t + 2u) * PITCH + k], sh_c[(t + 3u) * PITCH + k]);
                sums += c4 * sh_state[p * PITCH + k];
                score += sh_c[i * PITCH + k] * sh_b[j * PITCH + k];
            }
            s *= through;
            for (var k = 0u; k < CHUNK; k++) {
                let at = k * BLOCK + i * 4u;
                s += sh_weight[k] * sh_b[k * PITCH + j] * vec4(sh_x[at], sh_x[at + 1u], sh_x[at + 2u], sh_x[at + 3u]);
            }
            for (var u = 0u; u < 4u; u++) {
                if inside && i * 4u + u < channels {
                    state[state_start + (i * 4u + u) * STATE + n0 + j] = s[u];
                }
            }
            workgroupBarrier();
        }
        if j <= i {
            score *= sh_step[j] * decay_over(a, j + 1u, i + 1u);
        } else {
            score = 0.0;
        }
        sh_score[local] = score;
        workgroupBarrier();
        for (var u = 0u; u < 4u; u++) {
            if t + u < m && p < channels {
                var sum = decay_over(a, 0u, t + u + 1u) * sums[u] + skip_at(head) * sh_x[(t + u) * BLOCK + p];
                for (var k = 0u; k <= t + u; k++) {
                    sum += sh_score[(t + u) * CHUNK + k] * sh_x[k * BLOCK + p];
                }
                y[(row + t + u) * HEADS * HEAD_DIM + column + p] = gated(row + t + u, column + p, sum);
            }
        }
        workgroupBarrier();
    }
}
