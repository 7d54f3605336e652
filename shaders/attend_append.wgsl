// attend_decode.wgsl with what comes before it: with q and k of a projection turned by their positions,
//   k_cache[s, p] = k[t] and v_cache[s, p] = v[t], where token t of sequence s is at position p,
// and of each token, query head and split of SPLIT positions the maximum m, the sum l and the sum of values o;
// this dispatch has sequences first .. first + count
//
//   p        [tokens, …]                            read         columns for q, then k, and for v
//   table    [2 · COARSE, HD]                       read         cos and sin of each pair, side by side
//   partial  [tokens, HEADS · SPLITS · (HD + 2)]    read_write   o, m, l of each head and split
//   k_cache  [sequences, context, CACHE_WIDTH]      read_write
//   v_cache  [sequences, context, CACHE_WIDTH]      read_write
//
// A workgroup of 256 takes one split of one token for TILE_HEADS query heads of one key/value head. What this run adds to the caches it makes
// itself from p, as the cache will hold it: nobody waits for anybody.

override P_STRIDE: u32;
override P_OFFSET: u32;
override V_COLUMN: u32;
override QK_COLUMN: u32;
override DISTANCE: u32;

@group(0) @binding(0) var<storage, read> p: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<Cached>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<Cached>;

const HEAD_DIM = HD;

// Element i of q and k of a row, turned by its position.
fn turned(row: u32, position: u32, i: u32) -> f32 {
    // Within the head: blocks of DISTANCE first elements of pairs, and as many second ones.
    let block = (i % HD) / DISTANCE;
    let second = block % 2u == 1u;
    let angle = turn(position, (block / 2u) * DISTANCE + i % HD % DISTANCE);
    let at = P_OFFSET + row * P_STRIDE + QK_COLUMN + i - select(0u, DISTANCE, second);
    let a = p[at];
    let b = p[at + DISTANCE];
    return select(a * angle.x - b * angle.y, b * angle.x + a * angle.y, second);
}

fn turned4(row: u32, position: u32, i: u32) -> vec4<f32> {
    return vec4(turned(row, position, i), turned(row, position, i + 1u), turned(row, position, i + 2u), turned(row, position, i + 3u));
}

fn position_of(sequence: u32, row: u32) -> u32 {
    return step.sequence[sequence].position + row - step.sequence[sequence].first_row;
}

// Group `c` of four of the key or value of a row of this run, as the cache holds it.
fn new_key(row: u32, position: u32, c: u32) -> Cached {
    return narrowed(turned4(row, position, HEADS * HD + 4u * c));
}

fn new_value(row: u32, c: u32) -> Cached {
    let at = P_OFFSET + row * P_STRIDE + V_COLUMN + 4u * c;
    return narrowed(vec4(p[at], p[at + 1u], p[at + 2u], p[at + 3u]));
}

// Four elements of a row of queries, from element i on.
fn query4(row: u32, i: u32) -> vec4<f32> {
    return turned4(row, position_of(sequence_of(row), row), i);
}

// Group `c` of four of the key at a position: of this run, or of one before.
fn key4(sequence: u32, position: u32, c: u32) -> vec4<f32> {
    let first = step.sequence[sequence].position;
    if position >= first {
        return widened(new_key(step.sequence[sequence].first_row + position - first, position, c));
    }
    return widened(k_cache[cache_row(sequence, position) + c]);
}

fn value4(sequence: u32, position: u32, c: u32) -> vec4<f32> {
    let first = step.sequence[sequence].position;
    if position >= first {
        return widened(new_value(step.sequence[sequence].first_row + position - first, c));
    }
    return widened(v_cache[cache_row(sequence, position) + c]);
}

// Puts the key and value of a row, in the head whose groups of four start at `column`, into the caches.
fn keep(local: u32, sequence: u32, row: u32, column: u32) {
    let position = position_of(sequence, row);
    if local < FOURS && position < cache_context() {
        let at = cache_row(sequence, position) + column + local;
        k_cache[at] = new_key(row, position, column + local);
        v_cache[at] = new_value(row, column + local);
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    attend_split(id, n, local);
}
