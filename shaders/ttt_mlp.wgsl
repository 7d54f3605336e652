// TTT-MLP in the dual form: with W1, b1, W2, b2 as of the start of the mini-batch and its rows (k_j, h1_j, x2_j, h2_j),
//   z1 = k W1 + b1,  x2 = gelu(z1),  z2 = x2 W2 + b2,  h2 = lr ∇_z2 ½‖LN(z2) − (v − k)‖²,  h1 = (h2 W2ᵀ) ∘ gelu'(z1)
//   x̄2 = gelu(q W1 + b1 − tok_i Σ_{j ≤ i} (1 + q·k_j) h1_j)
//   out = q + LN(x̄2 W2 + b2 − tok_i Σ_{j ≤ i} (1 + x̄2·x2_j) h2_j)
// and the commit of both layers after the last row of a mini-batch
//
//   qk      [tokens, 2 · HEADS · HD]                  read         all q, then all k
//   v       [tokens, HEADS · HD]                      read
//   lr      [tokens, HEADS]                           read
//   params  [2 · HEADS · HD + MINI_BATCH]             read         γ, β, idx
//   out     [tokens, HEADS · HD]                      read_write
//   fast    [sequences · HEADS, (8 · HD + 5) · HD]    read_write   W1, b1, W2, b2
//   open    [sequences · HEADS, MINI_BATCH · 10 · HD] read_write   rows k, h1, x2, h2
//   probe   [tokens, 2 · HEADS]                       read_write   inner losses before and after, with probe_store only
//
// One workgroup of 256 a head and sequence, which walks its tokens in chunks of up to CHUNK rows of one mini-batch, a multiple of four.
// In the products each invocation has a block of 4 rows by 4 columns, the rows ROW_FOURS apart: neighbours share the weights' columns.
// PAD groups of four between rows keep neighbours out of each other's banks, where workgroup memory allows.

const ROW_FOURS = CHUNK / 4u;
const STRIDE = FOURS + PAD;
const WIDE_STRIDE = HD + PAD;
// Of the scores of a row against up to 64 open rows.
const SCORES_STRIDE = 16u + PAD;
// Shares of the inner dimension, where 64 invocations have all blocks of a product.
const SHARES = 4u;

var<workgroup> sh_q: array<vec4<f32>, CHUNK * STRIDE>;
// Rows of k, then of h2, then scores.
var<workgroup> sh_k: array<vec4<f32>, CHUNK * max(STRIDE, SCORES_STRIDE)>;
// Rows of x2, then of x̄2; between them the shares of their products with W2.
var<workgroup> sh_wide: array<vec4<f32>, CHUNK * WIDE_STRIDE>;

// Four rows from r on, as the rows of a matrix: group of four d of each.
fn q_rows(r: u32, d: u32) -> mat4x4<f32> {
    let at = r * STRIDE + d;
    let next = ROW_FOURS * STRIDE;
    return transpose(mat4x4(sh_q[at], sh_q[at + next], sh_q[at + 2u * next], sh_q[at + 3u * next]));
}

// Rows of k, of h2 or of scores, which lie so far apart.
fn k_rows(r: u32, d: u32, stride: u32) -> mat4x4<f32> {
    let at = r * stride + d;
    let next = ROW_FOURS * stride;
    return transpose(mat4x4(sh_k[at], sh_k[at + next], sh_k[at + 2u * next], sh_k[at + 3u * next]));
}

fn hidden_rows(r: u32, d: u32) -> mat4x4<f32> {
    let at = r * WIDE_STRIDE + d;
    let next = ROW_FOURS * WIDE_STRIDE;
    return transpose(mat4x4(sh_wide[at], sh_wide[at + next], sh_wide[at + 2u * next], sh_wide[at + 3u * next]));
}

// Four columns of a matrix of rows of `width`, whose block begins at `at`.
fn columns_of(at: u32, width: u32) -> mat4x4<f32> {
    return transpose(mat4x4(fast4(at), fast4(at + width), fast4(at + 2u * width), fast4(at + 3u * width)));
}

// Four columns of a part of four open rows from j on, of which there are `end`: scores are 0 beyond.
fn open_columns(at: u32, j: u32, end: u32) -> mat4x4<f32> {
    let last = end - 1u;
    return transpose(mat4x4(
        open4(at + j * ROW),
        open4(at + min(j + 1u, last) * ROW),
        open4(at + min(j + 2u, last) * ROW),
        open4(at + min(j + 3u, last) * ROW),
    ));
}

fn set_hidden4(r: u32, column: u32, x: vec4<f32>) {
    sh_wide[r * WIDE_STRIDE + column / 4u] = x;
}

fn hidden4(r: u32, column: u32) -> vec4<f32> {
    return sh_wide[r * WIDE_STRIDE + column / 4u];
}

// x2 of four elements of a row and, in the place of h1 until that is known, the slope.
fn keep_hidden(z1: vec4<f32>, r: u32, column: u32, own: u32, m: u32) {
    let x2 = gelu4(z1);
    set_hidden4(r, column, x2);
    if r < m {
        set_open4(own + r * ROW + X2 + column, x2);
        set_open4(own + r * ROW + H1 + column, gelu_slope4(z1));
    }
}

// h1 of four elements of a row, by the invocation that wrote the slope.
fn keep_step(sums: vec4<f32>, r: u32, column: u32, own: u32, m: u32) {
    if r < m {
        let at = own + r * ROW + H1 + column;
        set_open4(at, open4(at) * sums);
    }
}

// `before` and this invocation's share of the hidden rows' product with W2, for the block of rows from r on and columns from `column` on.
fn second_layer_share(before: mat4x4<f32>, share: u32, r: u32, column: u32, fast_start: u32) -> mat4x4<f32> {
    var sums = before;
    for (var d = share; d < HD; d += SHARES) {
        sums = block_product(sums, hidden_rows(r, d), columns_of(fast_start + W2 + 4u * d * HD + column, HD));
    }
    return sums;
}

// sh_z ← the sum of the shares + b2. The hidden rows make room for the shares.
fn add_shares(local: u32, working: bool, sums: mat4x4<f32>, share: u32, r: u32, column: u32, fast_start: u32) {
    workgroupBarrier();
    if working {
        let rows = transpose(sums);
        let at = (share * CHUNK + r) * FOURS + column / 4u;
        let next = ROW_FOURS * FOURS;
        sh_wide[at] = rows[0];
        sh_wide[at + next] = rows[1];
        sh_wide[at + 2u * next] = rows[2];
        sh_wide[at + 3u * next] = rows[3];
    }
    workgroupBarrier();
    for (var e = local; e < CHUNK * FOURS; e += 256u) {
        var z = fast4(fast_start + B2 + e % FOURS * 4u);
        for (var s = 0u; s < SHARES; s++) {
            z += sh_wide[s * CHUNK * FOURS + e];
        }
        set_z4(4u * e, z);
    }
}

// The score of row i against open row j from the product of what they are of, 0 for rows to come.
fn score(product: f32, i: u32, j: u32, start: u32) -> f32 {
    return select(0.0, (1.0 + product) * token_factor(start + i), j <= start + i);
}

// The scores of the first m rows against the open rows of which there are `end`: of q against k, or in the second layer of x̄2 against x2. Of each
// row against four open rows at a time, by as many invocations as there are shares.
fn find_scores(local: u32, second: bool, m: u32, start: u32, open_start: u32) {
    let end = start + m;
    let share = local / 64u;
    let at = open_start + select(0u, X2, second);
    let fours = select(FOURS, HD, second);
    for (var first = 0u; first < CHUNK * ((end + 3u) / 4u); first += 64u) {
        // Neighbours have the same open rows.
        let i = (first + local % 64u) % CHUNK;
        let j = (first + local % 64u) / CHUNK * 4u;
        let inside = i < m && j < end;
        var products = vec4(0.0);
        if inside {
            for (var d = share; d < fours; d += SHARES) {
                let row = select(sh_q[i * STRIDE + min(d, FOURS - 1u)], sh_wide[i * WIDE_STRIDE + d], second);
                products = column_product(products, open_columns(at + 4u * d, j, end), row);
            }
        }
        // One share after the other is added up where the last leaves the scores.
        let place = i * SCORES_STRIDE + j / 4u;
        for (var s = 0u; s < SHARES; s++) {
            if inside && share == s {
                if s > 0u {
                    products += sh_k[place];
                }
                if s == SHARES - 1u {
                    products = vec4(
                        score(products.x, i, j, start),
                        score(products.y, i, j + 1u, start),
                        score(products.z, i, j + 2u, start),
                        score(products.w, i, j + 3u, start),
                    );
                }
                sh_k[place] = products;
            }
            workgroupBarrier();
        }
    }
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
    let position = step.sequence[sequence].position;
    let count = step.sequence[sequence].count;
    // The block and share of the products with W2.
    let share = local / 64u;
    let block = local % 64u;
    let working = block < ROW_FOURS * FOURS;
    let block_row = block % ROW_FOURS;
    let block_column = block / ROW_FOURS * 4u;

    var t = 0u;
    while t < count {
        let start = (position + t) % MINI_BATCH;
        let m = min(min(CHUNK, MINI_BATCH - start), count - t);
        let end = start + m;
        let row = step.sequence[sequence].first_row + t;
        let own = open_start + start * ROW;
        for (var e = local; e < CHUNK * FOURS; e += 256u) {
            let r = e / FOURS;
            let c = e % FOURS * 4u;
            let from_row = row + min(r, m - 1u);
            let inside = vec4(r < m);
            let queries = vec4(q_at(head, from_row, c), q_at(head, from_row, c + 1u), q_at(head, from_row, c + 2u), q_at(head, from_row, c + 3u));
            let keys = vec4(k_at(head, from_row, c), k_at(head, from_row, c + 1u), k_at(head, from_row, c + 2u), k_at(head, from_row, c + 3u));
            sh_q[r * STRIDE + c / 4u] = select(vec4(0.0), queries, inside);
            sh_k[r * STRIDE + c / 4u] = select(vec4(0.0), keys, inside);
        }
        workgroupBarrier();

        // z1 = k W1 + b1.
        for (var e = local; e < ROW_FOURS * HD; e += 256u) {
            let r = e % ROW_FOURS;
            let column = e / ROW_FOURS * 4u;
            var sums = mat4x4<f32>();
            for (var d = 0u; d < FOURS; d++) {
                sums = block_product(sums, k_rows(r, d, STRIDE), columns_of(fast_start + 4u * d * WIDE + column, WIDE));
            }
            let rows = transpose(sums);
            let b = fast4(fast_start + B1 + column);
            keep_hidden(rows[0] + b, r, column, own, m);
            keep_hidden(rows[1] + b, r + ROW_FOURS, column, own, m);
            keep_hidden(rows[2] + b, r + 2u * ROW_FOURS, column, own, m);
            keep_hidden(rows[3] + b, r + 3u * ROW_FOURS, column, own, m);
        }
        workgroupBarrier();

        // z2 = x2 W2 + b2 and h2.
        var sums = mat4x4<f32>();
        if working {
            sums = second_layer_share(sums, share, block_row, block_column, fast_start);
        }
        add_shares(local, working, sums, share, block_row, block_column, fast_start);
        probe_before(local, head, row, m, t + MINI_BATCH - start <= count);
        inner_gradient(local, head, row, m);
        for (var e = local; e < CHUNK * FOURS; e += 256u) {
            let r = e / FOURS;
            let d = e % FOURS;
            let h2 = z4(4u * e);
            if r < m {
                set_open4(own + r * ROW + 4u * d, sh_k[r * STRIDE + d]);
                set_open4(own + r * ROW + H2 + 4u * d, h2);
            }
            sh_k[r * STRIDE + d] = h2;
        }
        workgroupBarrier();

        // h1 = (h2 W2ᵀ) ∘ slope: W2's rows are the columns.
        for (var e = local; e < ROW_FOURS * HD; e += 256u) {
            let r = e % ROW_FOURS;
            let column = e / ROW_FOURS * 4u;
            var steps = mat4x4<f32>();
            for (var d = 0u; d < FOURS; d++) {
                let at = fast_start + W2 + column * HD + 4u * d;
                let columns = mat4x4(fast4(at), fast4(at + HD), fast4(at + 2u * HD), fast4(at + 3u * HD));
                steps = block_product(steps, k_rows(r, d, STRIDE), columns);
            }
            let rows = transpose(steps);
            keep_step(rows[0], r, column, own, m);
            keep_step(rows[1], r + ROW_FOURS, column, own, m);
            keep_step(rows[2], r + 2u * ROW_FOURS, column, own, m);
            keep_step(rows[3], r + 3u * ROW_FOURS, column, own, m);
        }
        storageBarrier();
        workgroupBarrier();

        find_scores(local, false, m, start, open_start);
        let open_fours = (end + 3u) / 4u;
        // x̄2.
        for (var e = local; e < ROW_FOURS * HD; e += 256u) {
            let r = e % ROW_FOURS;
            let column = e / ROW_FOURS * 4u;
            var z1 = mat4x4<f32>();
            for (var j = 0u; j < open_fours; j++) {
                z1 = block_product(z1, k_rows(r, j, SCORES_STRIDE), open_columns(open_start + H1 + column, 4u * j, end));
            }
            z1 = -1.0 * z1;
            for (var d = 0u; d < FOURS; d++) {
                z1 = block_product(z1, q_rows(r, d), columns_of(fast_start + 4u * d * WIDE + column, WIDE));
            }
            let rows = transpose(z1);
            let b = fast4(fast_start + B1 + column);
            set_hidden4(r, column, gelu4(rows[0] + b));
            set_hidden4(r + ROW_FOURS, column, gelu4(rows[1] + b));
            set_hidden4(r + 2u * ROW_FOURS, column, gelu4(rows[2] + b));
            set_hidden4(r + 3u * ROW_FOURS, column, gelu4(rows[3] + b));
        }
        workgroupBarrier();

        find_scores(local, true, m, start, open_start);
        sums = mat4x4<f32>();
        if working {
            for (var j = share; j < open_fours; j += SHARES) {
                sums = block_product(sums, k_rows(block_row, j, SCORES_STRIDE), open_columns(open_start + H2 + block_column, 4u * j, end));
            }
            sums = second_layer_share(-1.0 * sums, share, block_row, block_column, fast_start);
        }
        add_shares(local, working, sums, share, block_row, block_column, fast_start);
        inner_output(local, head, row, m);
        if end == MINI_BATCH {
            commit(local, fast_start, open_start);
            probe_after(local, head, fast_start, row + m, min(t + m, MINI_BATCH));
        }
        t += m;
    }
}
