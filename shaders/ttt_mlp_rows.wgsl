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
// One workgroup of 256 a head and sequence. 16 invocations read a row of W2, so that neighbours read what lies in one piece.

var<workgroup> sh_q: array<f32, HD>;
var<workgroup> sh_k: array<f32, HD>;
var<workgroup> sh_wide: array<f32, WIDE>;
// q W1 + b1 without what the earlier rows of the mini-batch have taken off, read with k W1 in one pass over W1.
var<workgroup> sh_zq: array<f32, WIDE>;
var<workgroup> sh_slope: array<f32, WIDE>;
// Parts of products with four rows of W2, or with four of its columns.
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

// W2 between its two uses, where heads are up to 64: an invocation's four rows of each 64, in four columns, by name, since an index that is only known at
// run time would put them into memory.
var<private> held_0: mat4x4<f32>;
var<private> held_1: mat4x4<f32>;
var<private> held_2: mat4x4<f32>;
var<private> held_3: mat4x4<f32>;

fn hold(first: u32, rows: mat4x4<f32>) {
    switch first {
        case 0u: {
            held_0 = rows;
        }
        case 64u: {
            held_1 = rows;
        }
        case 128u: {
            held_2 = rows;
        }
        default: {
            held_3 = rows;
        }
    }
}

// The rows of the 64 from `first` on: held, or read again.
fn rows_again(local: u32, fast_start: u32, first: u32, c: u32) -> mat4x4<f32> {
    if HD > 64u {
        return second_rows(fast_start, first + local / 16u, c);
    }
    switch first {
        case 0u: {
            return held_0;
        }
        case 64u: {
            return held_1;
        }
        case 128u: {
            return held_2;
        }
        default: {
            return held_3;
        }
    }
}

// Four rows of W2 where an invocation has them, 16 apart from `row` on, in the columns from c on; zero past the last column.
fn second_rows(fast_start: u32, row: u32, c: u32) -> mat4x4<f32> {
    if c >= HD {
        return mat4x4<f32>();
    }
    let at = fast_start + W2 + min(row + vec4(0u, 16u, 32u, 48u), vec4(WIDE - 1u)) * HD + c;
    return mat4x4(fast4(at.x), fast4(at.y), fast4(at.z), fast4(at.w));
}

// Elements of sh_wide for an invocation's four rows of the 64 from `first` on; zero past the last row.
fn hidden_of_rows(local: u32, first: u32) -> vec4<f32> {
    let r = first + local / 16u + vec4(0u, 16u, 32u, 48u);
    let at = min(r, vec4(WIDE - 1u));
    return select(vec4(0.0), vec4(sh_wide[at.x], sh_wide[at.y], sh_wide[at.z], sh_wide[at.w]), r < vec4(WIDE));
}

// sh_z[first .. first + 64] ← b2 + the parts of a product with W2, four columns an invocation, from 16 groups of rows.
fn add_parts(local: u32, fast_start: u32, first: u32, parts: vec4<f32>) {
    sh_parts[local] = parts;
    workgroupBarrier();
    let c = first + local;
    if local < 64u && c < HD {
        var z = fast[fast_start + B2 + c];
        for (var l = 0u; l < 16u; l++) {
            z += sh_parts[l * 16u + local / 4u][local % 4u];
        }
        sh_z[c] = z;
    }
    workgroupBarrier();
}

// The scores (1 + a · b_j) tok_i of open rows j up to i, whose b begin at `b`, for an `a` of so many elements: 16 invocations a row. With q they are
// those of the first layer, with the output's hidden row those of the second.
fn score_rows(local: u32, open_start: u32, i: u32, second: bool) {
    let factor = token_factor(i);
    let width = select(HD, WIDE, second);
    let b = open_start + select(0u, X2, second);
    for (var first = 0u; first <= i; first += 16u) {
        let j = min(first + local / 16u, i);
        var sum = 0.0;
        for (var d = local % 16u; d < width; d += 16u) {
            let a = select(sh_q[min(d, HD - 1u)], sh_wide[d], second);
            sum += a * open[b + j * ROW + d];
        }
        let score = (1.0 + row_sum(local, sum)) * factor;
        if local % 16u == 0u {
            sh_score[j] = score;
        }
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
        begin_row(local, head, sequence, t);
        if local < HD {
            sh_q[local] = q_at(head, row, local);
            let k = k_at(head, row, local);
            sh_k[local] = k;
            open[own + local] = k;
        }
        storageBarrier();
        workgroupBarrier();
        score_rows(local, open_start, i, false);
        for (var column = local; column < WIDE; column += 256u) {
            var z1 = fast[fast_start + B1 + column];
            var zq = z1;
            for (var r = 0u; r < HD; r++) {
                let w = fast[fast_start + r * WIDE + column];
                z1 += sh_k[r] * w;
                zq += sh_q[r] * w;
            }
            for (var j = 0u; j < i; j++) {
                zq -= sh_score[j] * open[open_start + j * ROW + H1 + column];
            }
            sh_zq[column] = zq;
            sh_wide[column] = gelu(z1);
            open[own + X2 + column] = gelu(z1);
            sh_slope[column] = gelu_slope(z1);
        }
        workgroupBarrier();
        let c = 4u * (local % 16u);
        var parts = vec4(0.0);
        var parts_above = vec4(0.0);
        for (var first = 0u; first < WIDE; first += 64u) {
            let hidden = hidden_of_rows(local, first);
            let rows = second_rows(fast_start, first + local / 16u, c);
            parts += rows * hidden;
            if HD > 64u {
                parts_above += second_rows(fast_start, first + local / 16u, c + 64u) * hidden;
            } else {
                hold(first, rows);
            }
        }
        add_parts(local, fast_start, 0u, parts);
        if HD > 64u {
            add_parts(local, fast_start, 64u, parts_above);
        }
        probe_before(local, head, row, 1u, t + MINI_BATCH - i <= count);
        inner_gradient(local, head, row, 1u);

        // h1 and the output in one pass over W2, 64 rows at a time: the h1 of these rows complete q's hidden elements there, which the same rows then take to
        // the output.
        let own_score = sh_score[i];
        parts = vec4(0.0);
        parts_above = vec4(0.0);
        for (var first = 0u; first < WIDE; first += 64u) {
            let rows = rows_again(local, fast_start, first, c);
            var of_h1 = z4(min(c, HD - 4u)) * rows;
            var rows_above = mat4x4<f32>();
            if HD > 64u {
                rows_above = second_rows(fast_start, first + local / 16u, c + 64u);
                of_h1 += z4(min(c + 64u, HD - 4u)) * rows_above;
            }
            sh_parts[local] = of_h1;
            workgroupBarrier();
            if local < 64u && first + local < WIDE {
                var sum = 0.0;
                for (var l = 0u; l < 16u; l++) {
                    sum += sh_parts[local % 16u * 16u + l][local / 16u];
                }
                let h1 = sum * sh_slope[first + local];
                open[own + H1 + first + local] = h1;
                sh_wide[first + local] = gelu(sh_zq[first + local] - own_score * h1);
            }
            workgroupBarrier();
            let hidden = hidden_of_rows(local, first);
            parts += rows * hidden;
            if HD > 64u {
                parts_above += rows_above * hidden;
            }
        }
        if local < HD {
            open[own + H2 + local] = sh_z[local];
        }
        storageBarrier();
        workgroupBarrier();

        add_parts(local, fast_start, 0u, parts);
        if HD > 64u {
            add_parts(local, fast_start, 64u, parts_above);
        }
        score_rows(local, open_start, i, true);
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
