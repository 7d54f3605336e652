// One split of the positions for one token and TILE_HEADS query heads of one key/value head: the scores, the maximum, the sum of
// exponentials and the sum of values. A workgroup of 256: each key and value is read once for all of the heads; for the scores 8
// invocations share a key, for the sums each takes four columns.

override HEADS: u32;
override GROUP: u32;
override SPLITS: u32;
override SCALE: f32;

const FOURS = HD / 4u; // groups of four in a row of a head
const SHARERS = 8u; // invocations that share a key
const KEYS = 256u / SHARERS;
const LANES = 256u / FOURS;

var<workgroup> sh_q: array<vec4<f32>, TILE_HEADS * FOURS>;
// The scores of the split, then their exponentials.
var<workgroup> sh_p: array<f32, TILE_HEADS * SPLIT>;
// What the invocations bring together: parts of scores, maxima, sums, parts of the output.
var<workgroup> sh_work: array<f32, max(TILE_HEADS, 4u) * 256u>;

fn attend_split(id: vec3<u32>, n: vec3<u32>, local: u32) {
    let head_tiles = HEADS / TILE_HEADS;
    let splits = (step.context + SPLIT - 1u) / SPLIT;
    let index = workgroup_index(id, n);
    let head_start = (index % head_tiles) * TILE_HEADS;
    let split = (index / head_tiles) % splits;
    let row = index / (head_tiles * splits);
    if row >= step.rows {
        return;
    }
    let sequence = sequence_of(row);
    let start = split * SPLIT;
    let end = step.sequence[sequence].position + row - step.sequence[sequence].first_row + 1u;
    if !in_part(sequence) || start >= end {
        return;
    }
    let count = min(SPLIT, end - start);
    let column = (head_start / GROUP) * FOURS;
    for (var i = local; i < TILE_HEADS * FOURS; i += 256u) {
        sh_q[i] = SCALE * query4(row, head_start * HD + i * 4u);
    }
    // One of the workgroups that see the row's own key sees to the caches.
    if head_start % GROUP == 0u && start + count == end {
        keep(local, sequence, row, column);
    }
    workgroupBarrier();

    for (var tile = 0u; tile < count; tile += KEYS) {
        let key = tile + local / SHARERS;
        var dots = array<f32, TILE_HEADS>();
        if key < count {
            for (var d = local % SHARERS; d < FOURS; d += SHARERS) {
                let k = key4(sequence, start + key, column + d);
                for (var h = 0u; h < TILE_HEADS; h++) {
                    dots[h] += dot(sh_q[h * FOURS + d], k);
                }
            }
        }
        for (var h = 0u; h < TILE_HEADS; h++) {
            sh_work[h * 256u + local] = dots[h];
        }
        workgroupBarrier();
        for (var e = local; e < TILE_HEADS * KEYS; e += 256u) {
            var score = 0.0;
            for (var i = 0u; i < SHARERS; i++) {
                score += sh_work[e * SHARERS + i];
            }
            sh_p[(e / KEYS) * SPLIT + tile + e % KEYS] = score;
        }
        workgroupBarrier();
    }

    // 32 invocations a head from here on.
    let h = local / 32u;
    var largest = -3e38;
    if h < TILE_HEADS {
        for (var j = local % 32u; j < count; j += 32u) {
            largest = max(largest, sh_p[h * SPLIT + j]);
        }
    }
    sh_work[local] = largest;
    workgroupBarrier();
    for (var half = 16u; half > 0u; half >>= 1u) {
        if local % 32u < half {
            sh_work[local] = max(sh_work[local], sh_work[local + half]);
        }
        workgroupBarrier();
    }
    largest = sh_work[local & ~31u];
    workgroupBarrier();
    var total = 0.0;
    if h < TILE_HEADS {
        for (var j = local % 32u; j < count; j += 32u) {
            let p = exp(max(sh_p[h * SPLIT + j] - largest, -80.0));
            sh_p[h * SPLIT + j] = p;
            total += p;
        }
    }
    sh_work[local] = total;
    workgroupBarrier();
    for (var half = 16u; half > 0u; half >>= 1u) {
        if local % 32u < half {
            sh_work[local] += sh_work[local + half];
        }
        workgroupBarrier();
    }
    if h < TILE_HEADS && local % 32u == 0u {
        let at = ((row * HEADS + head_start + h) * SPLITS + split) * (HD + 2u) + HD;
        partial[at] = largest;
        partial[at + 1u] = sh_work[local];
    }

    let lane = local / FOURS;
    let c = local % FOURS;
    var sums = array<vec4<f32>, TILE_HEADS>();
    if lane < LANES {
        for (var j = lane; j < count; j += LANES) {
            let v = value4(sequence, start + j, column + c);
            for (var g = 0u; g < TILE_HEADS; g++) {
                sums[g] += sh_p[g * SPLIT + j] * v;
            }
        }
    }
    for (var g = 0u; g < TILE_HEADS; g++) {
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            sh_work[i * 256u + local] = sums[g][i];
        }
        workgroupBarrier();
        if local < HD {
            var sum = 0.0;
            for (var l = 0u; l < LANES; l++) {
                sum += sh_work[(local % 4u) * 256u + l * FOURS + local / 4u];
            }
            partial[((row * HEADS + head_start + g) * SPLITS + split) * (HD + 2u) + local] = sum;
        }
    }
}
