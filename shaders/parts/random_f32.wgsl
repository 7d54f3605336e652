// Random numbers in f32: a word each.

fn random_word(row: u32, word: u32) -> u32 {
    return bitcast<u32>(number(hash(row * row_words() + word)));
}
