// Random numbers as q4_0 or q4_1: four-bit integers of the hash, then scales, all of them the rule's step. An integer 0 would be the only one without an
// opposite, so that it becomes 8, which stands for zero.

override SCALES: u32;

fn random_word(row: u32, word: u32) -> u32 {
    let h = hash(row * row_words() + word);
    let any = (h | (h >> 1u) | (h >> 2u) | (h >> 3u)) & 0x11111111u;
    return select(h | ((any ^ 0x11111111u) << 3u), rule[2], word >= SCALES);
}
