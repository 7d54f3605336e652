// Texts on which tokenizers tend to differ: spaces and line ends, digits, contractions, scripts, marks, emoji, spelled special tokens.
const PARTS = [
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\u00a0", "\u3000", "\u200b", "\ufeff", "0", "7", "12", "1234567", "3.14", "١٢٣",
    "Ⅷ", "½", "'s", "'S", "’s", "'ll", "'LL", "don't", "I'd've", "''", "a", "the", "Zeit", "straße", "naïve", "cafe\u0301", "İ", "ſ", "ﬁ",
    "Ελλάδα", "Привет", "שָׁלוֹם", "مرحبا", "नमस्ते", "ไทย", "日本語", "中文字", "한국어", "𝔘𝔫𝔦", "😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "—", "…", "!", "?!", "...", "\"", "`", "{}",
    "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_", "|>", "http://a.b/c?d=e&f", "snake_case", "camelCase", "#[x]", "\\n", "$", "€", "^",
    "_", "\u0000", "\u0007", "\u001b[0m", "\u0301", "\u200d", "\ue000",
];

// Some of the parts, one after the other; the same for the same seed.
function mixed(seed, length) {
    let state = seed;
    const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    return Array.from({length}, () => PARTS[Math.floor(next() * PARTS.length)]).join("");
}

export const TEXTS = [
    PARTS.join(" "),
    PARTS.join(""),
    "  leading and trailing  \n\n\n\t\t ",
    "I'm sure they'll say it's 1,234,567.89 or 0x1F; you'd've known, DON'T YOU'RE?",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "    def f(x):\n\t\treturn x  # 42\r\n\r\n\r\n",
    mixed(1, 1000),
    mixed(2, 1000),
    mixed(3, 1000),
];
