// Random numbers as q8_0: signed bytes of the hash, then scales, two halves to a word, all of them the rule's step.

override SCALES: u32;

fn random_word(row: u32, word: u32) -> u32 {
    return select(hash(row * row_words() + word), rule[2], word >= SCALES);
}
