// The end of a mini-batch of TTT-Linear: W −= tok Σ k_jᵀ h_j, b −= tok Σ h_j over its rows (k, h).
fn commit(local: u32, fast_start: u32, open_start: u32) {
    let lane = local / HD;
    let c = local % HD;
    let factor = token_factor(MINI_BATCH - 1u);
    if lane < LANES {
        for (var r = lane * 4u; r < HD; r += LANES * 4u) {
            var sums = vec4(0.0);
            for (var j = 0u; j < MINI_BATCH; j++) {
                let at = open_start + j * 2u * HD;
                sums += open[at + HD + c] * vec4(open[at + r], open[at + r + 1u], open[at + r + 2u], open[at + r + 3u]);
            }
            for (var i = 0u; i < 4u; i++) {
                fast[fast_start + (r + i) * HD + c] -= factor * sums[i];
            }
        }
    }
    if lane == 0u {
        var sum = 0.0;
        for (var j = 0u; j < MINI_BATCH; j++) {
            sum += open[open_start + (j * 2u + 1u) * HD + c];
        }
        fast[fast_start + HD * HD + c] -= factor * sum;
    }
    storageBarrier();
}
