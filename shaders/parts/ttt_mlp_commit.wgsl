// The layout of TTT-MLP's states, and the end of its mini-batch: W1 −= tok Σ k_jᵀ h1_j, b1 −= tok Σ h1_j, and so W2, b2 with
// x2_j and h2_j, over the rows (k, h1, x2, h2).

const WIDE = 4u * HD;
const FAST = (8u * HD + 5u) * HD;
const B1 = WIDE * HD;
const W2 = B1 + WIDE;
const B2 = W2 + WIDE * HD;
const ROW = 10u * HD;
const H1 = HD;
const X2 = HD + WIDE;
const H2 = HD + 2u * WIDE;

fn commit(local: u32, fast_start: u32, open_start: u32) {
    let factor = token_factor(MINI_BATCH - 1u);
    for (var column = local; column < WIDE; column += 256u) {
        for (var r = 0u; r < HD; r += 4u) {
            var sums = vec4(0.0);
            for (var j = 0u; j < MINI_BATCH; j++) {
                let at = open_start + j * ROW;
                sums += open[at + H1 + column] * vec4(open[at + r], open[at + r + 1u], open[at + r + 2u], open[at + r + 3u]);
            }
            for (var i = 0u; i < 4u; i++) {
                fast[fast_start + (r + i) * WIDE + column] -= factor * sums[i];
            }
        }
        var sum = 0.0;
        for (var j = 0u; j < MINI_BATCH; j++) {
            sum += open[open_start + j * ROW + H1 + column];
        }
        fast[fast_start + B1 + column] -= factor * sum;
    }
    let lane = local / HD;
    let c = local % HD;
    if lane < LANES {
        for (var r = lane * 4u; r < WIDE; r += LANES * 4u) {
            var sums = vec4(0.0);
            for (var j = 0u; j < MINI_BATCH; j++) {
                let at = open_start + j * ROW;
                let x2 = at + X2 + r;
                sums += open[at + H2 + c] * vec4(open[x2], open[x2 + 1u], open[x2 + 2u], open[x2 + 3u]);
            }
            for (var i = 0u; i < 4u; i++) {
                fast[fast_start + W2 + (r + i) * HD + c] -= factor * sums[i];
            }
        }
    }
    if lane == 0u {
        var sum = 0.0;
        for (var j = 0u; j < MINI_BATCH; j++) {
            sum += open[open_start + j * ROW + H2 + c];
        }
        fast[fast_start + B2 + c] -= factor * sum;
    }
    storageBarrier();
}
