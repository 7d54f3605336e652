// The layout of TTT-MLP's states, and the end of its mini-batch: W1 −= tok Σ k_jᵀ h1_j, b1 −= tok Σ h1_j, and so W2, b2 with
// x2_j and h2_j, over the rows (k, h1, x2, h2).

const FOURS = HD / 4u; // groups of four in a row of a head; a wide row has HD
const WIDE = 4u * HD;
const FAST = (8u * HD + 5u) * HD;
const B1 = WIDE * HD;
const W2 = B1 + WIDE;
const B2 = W2 + WIDE * HD;
const ROW = 10u * HD;
const H1 = HD;
const X2 = HD + WIDE;
const H2 = HD + 2u * WIDE;

// For each block of four rows and four columns of a matrix at `weights`, of HD / 4 · HD of them, `across` of which lie side by side:
// −= factor · Σ_j a_jᵀ b_j, with a_j and b_j at `a` and `b` of the open rows.
fn commit_matrix(local: u32, weights: u32, across: u32, a: u32, b: u32, factor: f32) {
    for (var e = local; e < FOURS * HD; e += 256u) {
        let row = e / across * 4u;
        let column = e % across * 4u;
        var sums = mat4x4<f32>();
        for (var j = 0u; j < MINI_BATCH; j++) {
            let left = open4(a + j * ROW + row);
            let right = open4(b + j * ROW + column);
            sums = mat4x4(
                fma(vec4(left.x), right, sums[0]),
                fma(vec4(left.y), right, sums[1]),
                fma(vec4(left.z), right, sums[2]),
                fma(vec4(left.w), right, sums[3]),
            );
        }
        let at = weights + row * across * 4u + column;
        let down = across * 4u;
        set_fast4(at, fast4(at) - factor * sums[0]);
        set_fast4(at + down, fast4(at + down) - factor * sums[1]);
        set_fast4(at + 2u * down, fast4(at + 2u * down) - factor * sums[2]);
        set_fast4(at + 3u * down, fast4(at + 3u * down) - factor * sums[3]);
    }
}

// The same for a vector of `fours` groups of four: −= factor · Σ_j b_j.
fn commit_vector(local: u32, weights: u32, fours: u32, b: u32, factor: f32) {
    if local < fours {
        var sum = vec4(0.0);
        for (var j = 0u; j < MINI_BATCH; j++) {
            sum += open4(b + j * ROW + 4u * local);
        }
        set_fast4(weights + 4u * local, fast4(weights + 4u * local) - factor * sum);
    }
}

fn commit(local: u32, fast_start: u32, open_start: u32) {
    let factor = token_factor(MINI_BATCH - 1u);
    // A loop, for compilers to meet the products once.
    for (var layer = 0u; layer < 2u; layer++) {
        let second = layer == 1u;
        let across = select(HD, FOURS, second);
        let inputs = open_start + select(0u, X2, second);
        let steps = open_start + select(H1, H2, second);
        commit_matrix(local, fast_start + select(0u, W2, second), across, inputs, steps, factor);
        commit_vector(local, fast_start + select(B1, B2, second), across, steps, factor);
    }
    storageBarrier();
}
