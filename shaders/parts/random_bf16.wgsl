// Random numbers as the upper halves of floats, rounded half up: two to a word, of one hash.

fn random_word(row: u32, word: u32) -> u32 {
    let h = hash(row * row_words() + word);
    let low = bitcast<u32>(number(h)) + 0x8000u;
    let high = bitcast<u32>(number(h >> 16u)) + 0x8000u;
    return (low >> 16u) | (high & 0xffff0000u);
}
