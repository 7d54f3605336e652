// The inner model of TTT-Linear in registers, for heads of up to 128. SHARES invocations share a column of W; each has so many groups of four of its
// rows, in four matrices by name: an index that is only known at run time would put them into memory.

const FOURS = HD / 4u;
const SHARES = min(min(LANES, FOURS), 4u);
const FOURS_A_SHARE = (FOURS + SHARES - 1u) / SHARES;
// Whether the shares are all alike and fill their matrices.
const EVEN = SHARES * FOURS_A_SHARE == FOURS && FOURS_A_SHARE % 4u == 0u;
// PAD groups of four between rows keep neighbours out of each other's banks, where workgroup memory allows.
const STRIDE = FOURS + PAD;
// The first column of a matrix that has CHUNK rows' results, four a column.
const FIRST = 4u - CHUNK / 4u;

// CHUNK rows of q, then as many of k.
var<workgroup> sh_rows: array<vec4<f32>, 2u * CHUNK * STRIDE>;

var<private> held_0: mat4x4<f32>;
var<private> held_1: mat4x4<f32>;
var<private> held_2: mat4x4<f32>;
var<private> held_3: mat4x4<f32>;
var<private> held_bias: f32;

// Whether group m of four of an invocation that has a share is one of W's.
fn held(local: u32, m: u32) -> bool {
    return EVEN || (m < FOURS_A_SHARE && local / HD * FOURS_A_SHARE + m < FOURS);
}

fn held_place(local: u32, start: u32, m: u32) -> u32 {
    return start + (local / HD * FOURS_A_SHARE + m) * 4u * HD + local % HD;
}

fn loaded_four(local: u32, start: u32, m: u32) -> vec4<f32> {
    if !held(local, m) {
        return vec4(0.0);
    }
    let at = held_place(local, start, m);
    return vec4(model_at(at), model_at(at + HD), model_at(at + 2u * HD), model_at(at + 3u * HD));
}

fn loaded(local: u32, start: u32, m: u32) -> mat4x4<f32> {
    return mat4x4(
        loaded_four(local, start, m),
        loaded_four(local, start, m + 1u),
        loaded_four(local, start, m + 2u),
        loaded_four(local, start, m + 3u),
    );
}

// Takes W and then b from `start` on of where `model_at` reads.
fn load_model(local: u32, start: u32) {
    if local / HD < SHARES {
        held_0 = loaded(local, start, 0u);
        if FOURS_A_SHARE > 4u {
            held_1 = loaded(local, start, 4u);
        }
        if FOURS_A_SHARE > 8u {
            held_2 = loaded(local, start, 8u);
        }
        if FOURS_A_SHARE > 12u {
            held_3 = loaded(local, start, 12u);
        }
        held_bias = model_at(start + HD * HD + local % HD);
    }
}

// Group m of four of this invocation's share of a row in sh_rows; zero where there is none.
fn row_four(local: u32, row: u32, m: u32) -> vec4<f32> {
    let at = row * STRIDE + local / HD * FOURS_A_SHARE + m;
    if EVEN {
        return sh_rows[at];
    }
    return select(vec4(0.0), sh_rows[min(at, row * STRIDE + FOURS - 1u)], held(local, m));
}

fn fused_fours(sums: vec4<f32>, w: mat4x4<f32>, local: u32, row: u32, m: u32) -> vec4<f32> {
    let first = fma(row_four(local, row, m + 1u), w[1], fma(row_four(local, row, m), w[0], sums));
    return fma(row_four(local, row, m + 3u), w[3], fma(row_four(local, row, m + 2u), w[2], first));
}

// This invocation's share of the product of a row with its column of W.
fn row_share(local: u32, row: u32) -> f32 {
    var sums = fused_fours(vec4(0.0), held_0, local, row, 0u);
    if FOURS_A_SHARE > 4u {
        sums = fused_fours(sums, held_1, local, row, 4u);
    }
    if FOURS_A_SHARE > 8u {
        sums = fused_fours(sums, held_2, local, row, 8u);
    }
    if FOURS_A_SHARE > 12u {
        sums = fused_fours(sums, held_3, local, row, 12u);
    }
    return (sums.x + sums.y) + (sums.z + sums.w);
}

// The same of CHUNK rows, four a column from FIRST on.
fn row_shares(local: u32, row: u32) -> mat4x4<f32> {
    var z = mat4x4<f32>();
    if local / HD >= SHARES {
        return z;
    }
    for (var r = row; r < row + CHUNK; r += 4u) {
        let four = vec4(row_share(local, r), row_share(local, r + 1u), row_share(local, r + 2u), row_share(local, r + 3u));
        z = mat4x4(z[1], z[2], z[3], four);
    }
    return z;
}

// sh_z ← the sum of the shares + b.
fn add_shares(local: u32, shares: mat4x4<f32>, bias: f32) {
    for (var s = 0u; s < SHARES; s++) {
        if local / HD == s {
            var rest = shares;
            for (var r = 0u; r < CHUNK; r += 4u) {
                let at = r * HD + local % HD;
                var four = rest[FIRST];
                rest = mat4x4(rest[1], rest[2], rest[3], rest[3]);
                if s == 0u {
                    four += bias;
                } else {
                    four += vec4(sh_z[at], sh_z[at + HD], sh_z[at + 2u * HD], sh_z[at + 3u * HD]);
                }
                sh_z[at] = four.x;
                sh_z[at + HD] = four.y;
                sh_z[at + 2u * HD] = four.z;
                sh_z[at + 3u * HD] = four.w;
            }
        }
        workgroupBarrier();
    }
}
