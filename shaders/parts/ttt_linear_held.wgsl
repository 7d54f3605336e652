// The inner model of TTT-Linear in registers, for heads of up to 128. SHARES invocations share a column of W; each has up to four times 16 of its rows, in
// matrices by name: an index that is only known at run time would put them into memory. Rows of q and k lie in matrices, too, so that one index
// finds 16 elements. What is beyond the head is zero.

const FOURS = HD / 4u;
const SIXTEENS = (HD + 15u) / 16u;
const SHARES = min(min(LANES, SIXTEENS), 4u);
// Sixteens of an invocation, and of a row.
const HELD = (SIXTEENS + SHARES - 1u) / SHARES;
const STRIDE = SHARES * HELD;
// The first column of a matrix that has CHUNK rows' results, four a column.
const FIRST = 4u - CHUNK / 4u;

// CHUNK rows of q if KEYS, the first row of k, leaves room for them, then as many of k.
var<workgroup> sh_rows: array<mat4x4<f32>, (KEYS + CHUNK) * STRIDE>;

var<private> held_0: mat4x4<f32>;
var<private> held_1: mat4x4<f32>;
var<private> held_2: mat4x4<f32>;
var<private> held_3: mat4x4<f32>;
var<private> held_bias: f32;

// The first row of group m of four of an invocation, if W has it.
fn held_row(local: u32, m: u32) -> u32 {
    return local / HD * HELD * 16u + 4u * m;
}

fn loaded_four(local: u32, start: u32, m: u32) -> vec4<f32> {
    let row = held_row(local, m);
    if row >= HD {
        return vec4(0.0);
    }
    let at = start + row * HD + local % HD;
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

// Takes W and then b from `start` on of where `model_at` finds them.
fn load_model(local: u32, start: u32) {
    if local / HD < SHARES {
        held_0 = loaded(local, start, 0u);
        if HELD > 1u {
            held_1 = loaded(local, start, 4u);
        }
        if HELD > 2u {
            held_2 = loaded(local, start, 8u);
        }
        if HELD > 3u {
            held_3 = loaded(local, start, 12u);
        }
        held_bias = model_at(start + HD * HD + local % HD);
    }
}

// sh_rows ← m rows of k, and of q if there is room for them, from `row` on; what is beyond is zero.
fn load_rows(local: u32, head: u32, row: u32, m: u32) {
    for (var e = local; e < CHUNK * STRIDE * 4u; e += 256u) {
        let r = e / (STRIDE * 4u);
        let d = e % (STRIDE * 4u);
        let from_row = row + min(r, m - 1u);
        let c = 4u * min(d, FOURS - 1u);
        let inside = vec4(r < m && d < FOURS);
        if KEYS > 0u {
            let q = vec4(q_at(head, from_row, c), q_at(head, from_row, c + 1u), q_at(head, from_row, c + 2u), q_at(head, from_row, c + 3u));
            sh_rows[r * STRIDE + d / 4u][d % 4u] = select(vec4(0.0), q, inside);
        }
        let k = vec4(k_at(head, from_row, c), k_at(head, from_row, c + 1u), k_at(head, from_row, c + 2u), k_at(head, from_row, c + 3u));
        sh_rows[(KEYS + r) * STRIDE + d / 4u][d % 4u] = select(vec4(0.0), k, inside);
    }
}

fn fused_sums(sums: vec4<f32>, w: mat4x4<f32>, x: mat4x4<f32>) -> vec4<f32> {
    return fma(x[3], w[3], fma(x[2], w[2], fma(x[1], w[1], fma(x[0], w[0], sums))));
}

// This invocation's share of the product of a row with its column of W.
fn row_share(local: u32, row: u32) -> f32 {
    let at = row * STRIDE + local / HD * HELD;
    var sums = fused_sums(vec4(0.0), held_0, sh_rows[at]);
    if HELD > 1u {
        sums = fused_sums(sums, held_1, sh_rows[at + 1u]);
    }
    if HELD > 2u {
        sums = fused_sums(sums, held_2, sh_rows[at + 2u]);
    }
    if HELD > 3u {
        sums = fused_sums(sums, held_3, sh_rows[at + 3u]);
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
