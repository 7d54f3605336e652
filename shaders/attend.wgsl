// y[t, h] = Σ_j softmax_j(SCALE · q[t, h] · k[j]) v[j] over the positions j up to that of token t, with the keys and values of head
// h / GROUP; this dispatch has sequences first .. first + count
//
//   q        [tokens, HEADS · HD]               read
//   k_cache  [sequences, context, CACHE_WIDTH]  read
//   v_cache  [sequences, context, CACHE_WIDTH]  read
//   y        [tokens, HEADS · HD]               read_write
//
// A workgroup of 64 takes TILE_TOKENS tokens of one sequence for TILE_HEADS query heads of one key/value head, and walks the
// positions in tiles of KEYS with a running maximum and sum (online softmax, arXiv 1805.02867), so that scores are never stored.
// LANES invocations share four rows. Each computes blocks of 4 rows by 4 keys of the scores, then up to two of 4 rows by 4 columns of y:
// matrices by name, since not every compiler keeps an array in registers.

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
const ROW_FOURS = (ROWS + 3u) / 4u;
const LANES = 64u / ROW_FOURS;
const KEY_FOURS = KEYS / 4u;

// Element by element of a row: that of four rows.
var<workgroup> sh_q: array<vec4<f32>, HD * ROW_FOURS>;
// A tile of keys, group by group of four, then one of values, row by row.
var<workgroup> sh_tile: array<vec4<f32>, KEYS * FOURS>;
// The scores of a tile, then their exponentials: key by key, those of four rows.
var<workgroup> sh_p: array<vec4<f32>, KEYS * ROW_FOURS>;
// What each invocation has of its four rows: the largest score of a tile; in the end the sum of the exponentials.
var<workgroup> sh_own: array<vec4<f32>, 64>;

// Keeps the scores of four rows against a key of the tile, as long as they see it.
fn keep_score(found: vec4<f32>, key: u32, start: u32, rows: u32, seen: vec4<u32>) -> vec4<f32> {
    let score = select(vec4(-3e38), found, vec4(start + key) <= seen);
    sh_p[key * ROW_FOURS + rows] = score;
    return score;
}

// sums and the part of four keys in column c of y.
fn gathered(sums: mat4x4<f32>, key: u32, rows: u32, c: u32) -> mat4x4<f32> {
    let at = key * ROW_FOURS + rows;
    let p = mat4x4(sh_p[at], sh_p[at + ROW_FOURS], sh_p[at + 2u * ROW_FOURS], sh_p[at + 3u * ROW_FOURS]);
    let first = key * FOURS + c;
    let values = mat4x4(sh_tile[first], sh_tile[first + FOURS], sh_tile[first + 2u * FOURS], sh_tile[first + 3u * FOURS]);
    return block_product(sums, p, transpose(values));
}

fn scaled(sums: mat4x4<f32>, factor: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(sums[0] * factor, sums[1] * factor, sums[2] * factor, sums[3] * factor);
}

@compute @workgroup_size(64)
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

    for (var i = local; i < HD * ROW_FOURS; i += 64u) {
        let row = min(i / HD * 4u + vec4(0u, 1u, 2u, 3u), vec4(ROWS - 1u));
        let token = first_row + min(row / TILE_HEADS, vec4(tokens - 1u));
        let at = Q_OFFSET + token * Q_STRIDE + (head_start + row % TILE_HEADS) * HD + i % HD;
        sh_q[i % HD * ROW_FOURS + i / HD] = SCALE * vec4(q[at.x], q[at.y], q[at.z], q[at.w]);
    }
    let rows = min(local / LANES, ROW_FOURS - 1u);
    let lane = local % LANES;
    let working = local < LANES * ROW_FOURS;
    // The last position that each row sees.
    let seen = min(vec4(position) + (4u * rows + vec4(0u, 1u, 2u, 3u)) / TILE_HEADS, vec4(end - 1u));
    var largest = vec4(-3e38);
    var total = vec4(0.0);
    let c0 = min(lane, FOURS - 1u);
    let c1 = min(lane + LANES, FOURS - 1u);
    var sums0 = mat4x4<f32>();
    var sums1 = mat4x4<f32>();
    for (var start = 0u; start < end; start += KEYS) {
        for (var i = local; i < KEYS * FOURS; i += 64u) {
            let key = min(start + i / FOURS, end - 1u);
            sh_tile[(i % FOURS) * KEYS + i / FOURS] = widened(k_cache[cache_row(sequence, key) + column + i % FOURS]);
        }
        workgroupBarrier();
        var most = vec4(-3e38);
        if working {
            for (var key = lane; key < KEY_FOURS; key += LANES) {
                var scores = mat4x4<f32>();
                for (var d = 0u; d < FOURS; d++) {
                    let at = 4u * d * ROW_FOURS + rows;
                    let queries = mat4x4(sh_q[at], sh_q[at + ROW_FOURS], sh_q[at + 2u * ROW_FOURS], sh_q[at + 3u * ROW_FOURS]);
                    let first = d * KEYS + key;
                    let keys = mat4x4(sh_tile[first], sh_tile[first + KEY_FOURS], sh_tile[first + 2u * KEY_FOURS], sh_tile[first + 3u * KEY_FOURS]);
                    scores = block_product(scores, queries, keys);
                }
                most = max(most, keep_score(scores[0], key, start, rows, seen));
                most = max(most, keep_score(scores[1], key + KEY_FOURS, start, rows, seen));
                most = max(most, keep_score(scores[2], key + 2u * KEY_FOURS, start, rows, seen));
                most = max(most, keep_score(scores[3], key + 3u * KEY_FOURS, start, rows, seen));
            }
        }
        sh_own[local] = most;
        workgroupBarrier();
        for (var i = local; i < KEYS * FOURS; i += 64u) {
            let key = min(start + i / FOURS, end - 1u);
            sh_tile[i] = widened(v_cache[cache_row(sequence, key) + column + i % FOURS]);
        }
        most = largest;
        for (var l = 0u; l < LANES; l++) {
            most = max(most, sh_own[rows * LANES + l]);
        }
        let factor = exp(max(largest - most, vec4(-80.0)));
        largest = most;
        total *= factor;
        if working {
            for (var key = lane; key < KEY_FOURS; key += LANES) {
                for (var j = key; j < KEYS; j += KEY_FOURS) {
                    let score = sh_p[j * ROW_FOURS + rows];
                    let p = select(vec4(0.0), exp(max(score - largest, vec4(-80.0))), vec4(start + j) <= seen);
                    sh_p[j * ROW_FOURS + rows] = p;
                    total += p;
                }
            }
        }
        workgroupBarrier();
        sums0 = scaled(sums0, factor);
        sums1 = scaled(sums1, factor);
        for (var key = 0u; key < KEYS; key += 4u) {
            sums0 = gathered(sums0, key, rows, c0);
            if FOURS > LANES {
                sums1 = gathered(sums1, key, rows, c1);
            }
        }
        workgroupBarrier();
    }
    sh_own[local] = total;
    workgroupBarrier();
    total = vec4(0.0);
    for (var l = 0u; l < LANES; l++) {
        total += sh_own[rows * LANES + l];
    }
    var blocks = array(transpose(sums0), transpose(sums1));
    for (var r = 0u; r < 4u; r++) {
        let row = 4u * rows + r;
        if working && row < ROWS && row / TILE_HEADS < tokens {
            let at = ((first_row + row / TILE_HEADS) * HEADS + head_start + row % TILE_HEADS) * FOURS;
            for (var b = 0u; b < 2u; b++) {
                let c = lane + b * LANES;
                if c < FOURS {
                    y[at + c] = blocks[b][r] / total[r];
                }
            }
        }
    }
}
