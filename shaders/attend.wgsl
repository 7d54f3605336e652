// y[t, h] = Σ_j softmax_j(SCALE · q[t, h] · k[j]) v[j] over the positions j up to that of token t, with the keys and values of head
// h / GROUP; this dispatch has sequences first .. first + count
//
//   q        [tokens, HEADS · HD]               read
//   k_cache  [sequences, context, CACHE_WIDTH]  read
//   v_cache  [sequences, context, CACHE_WIDTH]  read
//   y        [tokens, HEADS · HD]               read_write
//
// A workgroup of 256 takes TILE_TOKENS tokens of one sequence for TILE_HEADS query heads of one key/value head, and walks the
// positions in tiles of KEYS with a running maximum and sum (online softmax, arXiv 1805.02867), so that scores are never stored.

override HEADS: u32;
override GROUP: u32;
override SCALE: f32;
override Q_STRIDE: u32;
override Q_OFFSET: u32;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k_cache: array<Cached>;
@group(0) @binding(2) var<storage, read> v_cache: array<Cached>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

const FOURS = HD / 4u; // groups of four in a row of a head
const ROWS = TILE_TOKENS * TILE_HEADS;
// Invocations that share a group of four when the output is spread over the workgroup, and the rows that each takes.
const LANES = 256u / FOURS;
const ROWS_A_LANE = (ROWS + LANES - 1u) / LANES;

var<workgroup> sh_q: array<vec4<f32>, ROWS * FOURS>;
// A tile of keys, group by group of four, then one of values, row by row.
var<workgroup> sh_tile: array<vec4<f32>, KEYS * FOURS>;
// The scores of a tile, then their exponentials.
var<workgroup> sh_p: array<f32, ROWS * KEYS>;
// Of each row: the largest score so far, the factor that brings older sums to it, and the sum of the exponentials.
var<workgroup> sh_largest: array<f32, ROWS>;
var<workgroup> sh_factor: array<f32, ROWS>;
var<workgroup> sh_total: array<f32, ROWS>;

// Four elements of q from element i on: rows may start anywhere.
fn query4(i: u32) -> vec4<f32> {
    return SCALE * vec4(q[i], q[i + 1u], q[i + 2u], q[i + 3u]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let head_tiles = HEADS / TILE_HEADS;
    let token_tiles = (step.longest + TILE_TOKENS - 1u) / TILE_TOKENS;
    let index = workgroup_index(id, n);
    let head_start = (index % head_tiles) * TILE_HEADS;
    let token_start = ((index / head_tiles) % token_tiles) * TILE_TOKENS;
    let sequence = part.first + index / (head_tiles * token_tiles);
    if !in_part(sequence) || sequence >= step.sequences || token_start >= step.sequence[sequence].count {
        return;
    }
    let tokens = min(TILE_TOKENS, step.sequence[sequence].count - token_start);
    let first_row = step.sequence[sequence].first_row + token_start;
    let position = step.sequence[sequence].position + token_start;
    let end = position + tokens;
    let column = (head_start / GROUP) * FOURS;

    for (var i = local; i < ROWS * FOURS; i += 256u) {
        let r = i / FOURS;
        let token = min(r / TILE_HEADS, tokens - 1u);
        let head = head_start + r % TILE_HEADS;
        sh_q[(i % FOURS) * ROWS + r] = query4(Q_OFFSET + (first_row + token) * Q_STRIDE + head * HD + i % FOURS * 4u);
    }
    if local < ROWS {
        sh_largest[local] = -3e38;
        sh_total[local] = 0.0;
    }
    let lane = local / FOURS;
    let c = local % FOURS;
    var sums = array<vec4<f32>, ROWS_A_LANE>();
    for (var start = 0u; start < end; start += KEYS) {
        for (var i = local; i < KEYS * FOURS; i += 256u) {
            let key = min(start + i / FOURS, end - 1u);
            sh_tile[(i % FOURS) * KEYS + i / FOURS] = widened(k_cache[cache_row(sequence, key) + column + i % FOURS]);
        }
        workgroupBarrier();
        for (var e = local; e < ROWS * KEYS; e += 256u) {
            let r = e / KEYS;
            var score = -3e38;
            if start + e % KEYS <= position + r / TILE_HEADS {
                score = 0.0;
                for (var d = 0u; d < FOURS; d++) {
                    score += dot(sh_q[d * ROWS + r], sh_tile[d * KEYS + e % KEYS]);
                }
            }
            sh_p[e] = score;
        }
        workgroupBarrier();
        for (var i = local; i < KEYS * FOURS; i += 256u) {
            let key = min(start + i / FOURS, end - 1u);
            sh_tile[i] = widened(v_cache[cache_row(sequence, key) + column + i % FOURS]);
        }
        if local < ROWS {
            var largest = sh_largest[local];
            for (var j = 0u; j < KEYS; j++) {
                largest = max(largest, sh_p[local * KEYS + j]);
            }
            sh_factor[local] = exp(max(sh_largest[local] - largest, -80.0));
            sh_largest[local] = largest;
        }
        workgroupBarrier();
        for (var e = local; e < ROWS * KEYS; e += 256u) {
            let r = e / KEYS;
            let seen = start + e % KEYS <= min(position + r / TILE_HEADS, end - 1u);
            sh_p[e] = select(0.0, exp(max(sh_p[e] - sh_largest[r], -80.0)), seen);
        }
        workgroupBarrier();
        if local < ROWS {
            var total = sh_total[local] * sh_factor[local];
            for (var j = 0u; j < KEYS; j++) {
                total += sh_p[local * KEYS + j];
            }
            sh_total[local] = total;
        }
        if lane < LANES {
            for (var u = 0u; u < ROWS_A_LANE; u++) {
                let r = min(lane + u * LANES, ROWS - 1u);
                var sum = sums[u] * sh_factor[r];
                for (var j = 0u; j < KEYS; j++) {
                    sum += sh_p[r * KEYS + j] * sh_tile[j * FOURS + c];
                }
                sums[u] = sum;
            }
        }
        workgroupBarrier();
    }
    if lane < LANES {
        for (var u = 0u; u < ROWS_A_LANE; u++) {
            let r = lane + u * LANES;
            if r < ROWS && r / TILE_HEADS < tokens {
                let head = head_start + r % TILE_HEADS;
                y[((first_row + r / TILE_HEADS) * HEADS + head) * FOURS + c] = sums[u] / sh_total[r];
            }
        }
    }
}
