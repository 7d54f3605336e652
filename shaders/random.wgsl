// Numbers from a hash of the seed and their place, uniform in BASE ± 4095 STEP: a tensor's part of a weight's stored words
//
//   rule   [7]                read         seed, base, step (bits of floats); first row, rows, first word, words of the tensor
//   words  [rows, ROW_WORDS]  read_write   the rest stays as it is; this dispatch has rows first .. first + count
//
// One invocation a word; a workgroup of 256 stays within a row. What a word holds is the format's: random_word(tensor row, word in it).

override ROW_WORDS: u32;

@group(0) @binding(0) var<storage, read> rule: array<u32>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

// The finaliser of MurmurHash3 over the tensor's seed and a place in it.
fn hash(i: u32) -> u32 {
    var h = i * 0x9e3779b1u + rule[0];
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

// Twelve bits of a hash as a number: the step has twelve significant bits, so that the product is exact and every device rounds once, alike.
fn number(bits: u32) -> f32 {
    return bitcast<f32>(rule[1]) + bitcast<f32>(rule[2]) * f32(i32(2u * (bits & 4095u)) - 4095);
}

// The words of a row of the tensor: elements' places follow from them.
fn row_words() -> u32 {
    return rule[6];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (ROW_WORDS + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let word = (index % blocks) * 256u + local;
    if row >= part.count {
        return;
    }
    // Below the first row or word these wrap around, and are far over.
    let tensor_row = part.first + row - rule[3];
    let tensor_word = word - rule[5];
    if word < ROW_WORDS && tensor_row < rule[4] && tensor_word < rule[6] {
        words[row * ROW_WORDS + word] = random_word(tensor_row, tensor_word);
    }
}
