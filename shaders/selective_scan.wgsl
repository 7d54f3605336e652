// A state space that is selective (arXiv 2312.00752), token by token: with its head's Δ = softplus(dt + bias), each channel has
//   s ← exp(Δ A) ∘ s + Δ x B,  y = s·C + D x, then the gate
//
//   x       [tokens, HEADS · HEAD_DIM]             read
//   dt      [tokens, HEADS]                        read
//   bc      [tokens, 2 · GROUPS · STATE]           read         B of every group, then C
//   params  [HEADS · RATES + 2 · HEADS]            read         log(−A), bias, D
//   gate    [tokens, HEADS · HEAD_DIM]             read         with the gate only
//   y       [tokens, HEADS · HEAD_DIM]             read_write
//   state   [sequences · HEADS, HEAD_DIM · STATE]  read_write
//
// A workgroup of 256 takes CHANNELS channels, which may be of several heads and sequences. LANES invocations hold a channel's
// state in registers, every LANES-th element each, and bring it through TILE tokens between barriers; what has no
// recurrence (Δ, the sum over the lanes, skip and gate) is spread over the tile's tokens and channels.

const CHANNELS = 256u / LANES;

// Δ and x of the tile's tokens, then each invocation's share of s·C.
var<workgroup> sh_step: array<f32, TILE * CHANNELS>;
var<workgroup> sh_x: array<f32, TILE * CHANNELS>;
var<workgroup> sh_share: array<f32, TILE * 256u>;

struct Channel {
    // The channel in a row.
    column: u32,
    head: u32,
    // The sequence's tokens: the first row, and how many. None for what is beyond the part or the run's sequences.
    row: u32,
    count: u32,
}

// Channel `i` of the part at hand.
fn channel(i: u32) -> Channel {
    let index = part.first * HEAD_DIM + i;
    let sequence = index / (HEADS * HEAD_DIM);
    var found = Channel();
    found.column = index % (HEADS * HEAD_DIM);
    found.head = found.column / HEAD_DIM;
    if i < part.count * HEAD_DIM && sequence < step.sequences {
        found.row = step.sequence[sequence].first_row;
        found.count = step.sequence[sequence].count;
    }
    return found;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let start = workgroup_index(id, n) * CHANNELS;
    let end = min(start + CHANNELS, part.count * HEAD_DIM);
    if start >= end {
        return;
    }
    // All invocations walk as far as the longest sequence among their channels.
    let last = (part.first * HEAD_DIM + end - 1u) / (HEADS * HEAD_DIM);
    var longest = 0u;
    for (var s = (part.first * HEAD_DIM + start) / (HEADS * HEAD_DIM); s <= last && s < step.sequences; s++) {
        longest = max(longest, step.sequence[s].count);
    }

    // The channel whose state this invocation has a share of, and the one whose inputs and outputs it sees to.
    let held = channel(start + local / LANES);
    let tended = channel(start + local % CHANNELS);
    let lane = local % LANES;
    let state_start = (start + local / LANES) * STATE;
    var a = array<f32, ELEMENTS>();
    var s = array<f32, ELEMENTS>();
    for (var e = 0u; e < ELEMENTS; e++) {
        let i = lane + e * LANES;
        if i < STATE && held.count > 0u {
            a[e] = a_at(held.head, i);
            s[e] = state[state_start + i];
        }
    }

    for (var t0 = 0u; t0 < longest; t0 += TILE) {
        for (var t = local / CHANNELS; t < TILE; t += LANES) {
            if t0 + t < tended.count {
                sh_step[t * CHANNELS + local % CHANNELS] = step_at(tended.row + t0 + t, tended.head);
                sh_x[t * CHANNELS + local % CHANNELS] = x_at(tended.row + t0 + t, tended.column);
            }
        }
        workgroupBarrier();
        for (var t = 0u; t < TILE && t0 + t < held.count; t++) {
            let row = held.row + t0 + t;
            let delta = sh_step[t * CHANNELS + local / LANES];
            let weight = delta * sh_x[t * CHANNELS + local / LANES];
            var sum = 0.0;
            for (var e = 0u; e < ELEMENTS; e++) {
                let i = lane + e * LANES;
                if i < STATE {
                    s[e] = decay(delta * a[e]) * s[e] + weight * b_at(row, held.head, i);
                    sum += s[e] * c_at(row, held.head, i);
                }
            }
            sh_share[t * 256u + local] = sum;
        }
        workgroupBarrier();
        for (var t = local / CHANNELS; t < TILE; t += LANES) {
            if t0 + t < tended.count {
                let row = tended.row + t0 + t;
                var sum = skip_at(tended.head) * sh_x[t * CHANNELS + local % CHANNELS];
                for (var l = 0u; l < LANES; l++) {
                    sum += sh_share[t * 256u + (local % CHANNELS) * LANES + l];
                }
                y[row * HEADS * HEAD_DIM + tended.column] = gated(row, tended.column, sum);
            }
        }
    }
    for (var e = 0u; e < ELEMENTS; e++) {
        let i = lane + e * LANES;
        if i < STATE && held.count > 0u {
            state[state_start + i] = s[e];
        }
    }
}
