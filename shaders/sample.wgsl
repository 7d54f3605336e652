// Draws the next token of each sequence: temperature, top-k, top-p, min-p, then the draw; arg-max if sharpness is 0.
// Past the logits all is integer arithmetic, or one subtraction and one product: the same on every device.
//
//   logits  [sequences, VOCABULARY]  read
//   record  [sequences, 64]          read_write   at 4 · (position mod 16): id, 1 if all logits were finite, candidates kept, 0
//   token   [sequences]              read_write   id
//
// One workgroup of 256 a sequence. Candidates are ordered by (logit, lower id first); every filter keeps a prefix, and the
// draw is the first candidate whose running sum of weights passes a threshold. All three are one search, `descend`.

override VOCABULARY: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> record: array<u32>;
@group(0) @binding(2) var<storage, read_write> token: array<u32>;

// A candidate's place in the order.
struct Candidate {
    key: u32,
    id: u32,
}

// What `descend` sums.
const COUNTS = 0u;
const WEIGHTS = 1u;
const DRAWN_WEIGHTS = 2u; // those within min-p

var<workgroup> sh_low: array<atomic<u32>, 256>;
var<workgroup> sh_high: array<atomic<u32>, 256>;
var<workgroup> sh_best: array<Candidate, 256>;
var<workgroup> sh_bad: atomic<u32>;
var<workgroup> sh_choice: vec4<u32>;

// An integer with the order of the floats; both zeros are one.
fn sort_key(x: f32) -> u32 {
    var bits = bitcast<u32>(x);
    if bits == 0x80000000u {
        bits = 0u;
    }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn before(a: Candidate, b: Candidate) -> bool {
    return a.key > b.key || (a.key == b.key && a.id < b.id);
}

// The upper word of a product.
fn mul_high(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let middle = ah * bl + ((al * bl) >> 16u);
    return ah * bh + (middle >> 16u) + ((al * bh + (middle & 0xffffu)) >> 16u);
}

// Sums of 64 bits are (low, high).
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// a · b / 2³², rounded down.
fn scale64(a: vec2<u32>, b: u32) -> vec2<u32> {
    return add64(vec2(a.y * b, mul_high(a.y, b)), vec2(mul_high(a.x, b), 0u));
}

// Two words of partial sums, of the lower 14 bits and of the rest, as one sum.
fn join64(low: u32, high: u32) -> vec2<u32> {
    return add64(vec2(high << 14u, high >> 18u), vec2(low, 0u));
}

// A term of the Taylor series of e^−a in Horner's form, in units of 2⁻³¹.
fn term(a: u32, r: u32, n: u32) -> u32 {
    return 0x80000000u - mul_high(a, r) / n;
}

// 2^−y in units of 2⁻²⁸, rounded to nearest: e^−a for a = fraction · ln 2. Unrolled, so that the divisors are constants (and
// because lavapipe ends a shader's loops after 65,535 rounds of all of them).
fn weight(y: f32) -> u32 {
    if y >= 29.0 {
        return 0u;
    }
    let t = u32(y * 67108864.0);
    let a = mul_high(t << 6u, 0xb17217f8u);
    var r = term(a, 0x80000000u, 10u);
    r = term(a, r, 9u);
    r = term(a, r, 8u);
    r = term(a, r, 7u);
    r = term(a, r, 6u);
    r = term(a, r, 5u);
    r = term(a, r, 4u);
    r = term(a, r, 3u);
    r = term(a, r, 2u);
    r = term(a, r, 1u);
    let shift = (t >> 26u) + 3u;
    return min((r + (1u << (shift - 1u))) >> shift, 0x0fffffffu);
}

// The random number of a draw: the finaliser of MurmurHash3 over seed and position.
fn random(seed: u32, position: u32) -> u32 {
    var h = (position * 0x9e3779b1u) ^ (seed * 0x85ebca77u);
    for (var i = 0u; i < 2u; i++) {
        h = (h ^ (h >> 16u)) * 0x85ebca6bu;
        h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
        h = (h ^ (h >> 16u)) + seed;
    }
    return h;
}

// What candidate (key, id) adds to a sum over those up to `last`; 0 past it.
fn amount(s: u32, key: u32, id: u32, x: f32, largest: f32, last: Candidate, sums: u32) -> u32 {
    if before(last, Candidate(key, id)) {
        return 0u;
    }
    if sums == COUNTS {
        return 1u;
    }
    let drop = step.sequence[s].min_p_drop;
    if sums == DRAWN_WEIGHTS && drop >= 0.0 && largest - x > drop {
        return 0u;
    }
    return weight((largest - x) * step.sequence[s].sharpness);
}

// The sum over all candidates up to `last`.
fn total(s: u32, local: u32, largest: f32, last: Candidate, sums: u32) -> vec2<u32> {
    var sum = vec2(0u);
    for (var id = local; id < VOCABULARY; id += 256u) {
        let x = logits[s * VOCABULARY + id];
        sum = add64(sum, vec2(amount(s, sort_key(x), id, x, largest, last, sums), 0u));
    }
    atomicStore(&sh_low[local], sum.x);
    atomicStore(&sh_high[local], sum.y);
    workgroupBarrier();
    if local == 0u {
        sum = vec2(0u);
        for (var i = 0u; i < 256u; i++) {
            sum = add64(sum, vec2(atomicLoad(&sh_low[i]), atomicLoad(&sh_high[i])));
        }
        sh_choice = vec4(sum, 0u, 0u);
    }
    return workgroupUniformLoad(&sh_choice).xy;
}

// The first candidate up to `last` whose running sum passes `threshold`, which is below their total: a radix search, eight
// bits of the key and then of the id at a time.
fn descend(s: u32, local: u32, largest: f32, last: Candidate, sums: u32, threshold: vec2<u32>) -> Candidate {
    var rest = threshold;
    var key_prefix = 0u;
    var id_prefix = 0u;
    for (var digit = 0u; digit < 7u; digit++) {
        atomicStore(&sh_low[local], 0u);
        atomicStore(&sh_high[local], 0u);
        workgroupBarrier();
        for (var id = local; id < VOCABULARY; id += 256u) {
            let x = logits[s * VOCABULARY + id];
            let key = sort_key(x);
            // The lower id comes first, so ids count backwards.
            let back = 0xffffffu - id;
            var above = 0u;
            var bin = 0u;
            var chosen = key_prefix;
            if digit < 4u {
                above = select(key >> (32u - 8u * digit), 0u, digit == 0u);
                bin = (key >> (24u - 8u * digit)) & 255u;
            } else {
                above = select(back >> (24u - 8u * (digit - 4u)), 0u, digit == 4u);
                bin = (back >> (16u - 8u * (digit - 4u))) & 255u;
                chosen = id_prefix;
            }
            if above == chosen && (digit < 4u || key == key_prefix) {
                let value = amount(s, key, id, x, largest, last, sums);
                if value > 0u {
                    atomicAdd(&sh_low[bin], value & 0x3fffu);
                    atomicAdd(&sh_high[bin], value >> 14u);
                }
            }
        }
        workgroupBarrier();
        if local == 0u {
            var left = rest;
            var bin = 255u;
            loop {
                let sum = join64(atomicLoad(&sh_low[bin]), atomicLoad(&sh_high[bin]));
                if less64(left, sum) || bin == 0u {
                    break;
                }
                left = sub64(left, sum);
                bin--;
            }
            sh_choice = vec4(bin, left, 0u);
        }
        let choice = workgroupUniformLoad(&sh_choice);
        rest = choice.yz;
        if digit < 4u {
            key_prefix = (key_prefix << 8u) | choice.x;
        } else {
            id_prefix = (id_prefix << 8u) | choice.x;
        }
    }
    return Candidate(key_prefix, 0xffffffu - id_prefix);
}

// The candidate before all others, and whether every logit is finite.
fn best(s: u32, local: u32) -> vec3<u32> {
    if local == 0u {
        atomicStore(&sh_bad, 0u);
    }
    workgroupBarrier();
    var mine = Candidate(0u, 0xffffffffu);
    var bad = 0u;
    for (var id = local; id < VOCABULARY; id += 256u) {
        let x = logits[s * VOCABULARY + id];
        // Infinities and NaNs have all bits of the exponent set; a compiler may not assume them away from integers.
        bad |= select(0u, 1u, (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
        let other = Candidate(sort_key(x), id);
        if before(other, mine) {
            mine = other;
        }
    }
    sh_best[local] = mine;
    atomicOr(&sh_bad, bad);
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half && before(sh_best[local + half], sh_best[local]) {
            sh_best[local] = sh_best[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        sh_choice = vec4(sh_best[0].key, sh_best[0].id, atomicLoad(&sh_bad), 0u);
    }
    return workgroupUniformLoad(&sh_choice).xyz;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let s = workgroup_index(id, n);
    if s >= step.sequences {
        return;
    }
    let first = best(s, local);
    var drawn = first.y;
    var kept = 1u;
    if step.sequence[s].sharpness != 0.0 && first.z == 0u {
        let largest = logits[s * VOCABULARY + first.y];
        var last = Candidate(0u, 0xffffffffu);
        let top_k = step.sequence[s].top_k;
        if top_k > 0u && top_k < VOCABULARY {
            last = descend(s, local, largest, last, COUNTS, vec2(top_k - 1u, 0u));
        }
        if step.sequence[s].top_p > 0u {
            let sum = total(s, local, largest, last, WEIGHTS);
            last = descend(s, local, largest, last, WEIGHTS, scale64(sum, step.sequence[s].top_p));
        }
        kept = total(s, local, largest, last, COUNTS).x;
        let sum = total(s, local, largest, last, DRAWN_WEIGHTS);
        let position = step.sequence[s].position + step.sequence[s].count;
        let threshold = scale64(sum, random(step.sequence[s].seed, position));
        drawn = descend(s, local, largest, last, DRAWN_WEIGHTS, threshold).id;
    }
    if local == 0u {
        let finite = first.z == 0u;
        let at = s * 64u + step.sequence[s].position % 16u * 4u;
        record[at] = select(0u, drawn, finite);
        record[at + 1u] = select(0u, 1u, finite);
        record[at + 2u] = select(0u, kept, finite);
        record[at + 3u] = 0u;
        token[s] = select(0u, drawn, finite);
    }
}
