//! Text to tokens and back: a stream gives whole characters only, and all of them.

#[path = "text/templates.rs"]
mod templates;

use fastweight::text::{TextStream, Tokenizer};
use fastweight_tests::Random;
use fastweight_tests::fixtures::shipped;

fn tokenizer() -> Tokenizer {
    let bytes = std::fs::read(shipped().join("tokenizer.json")).expect("the shipped tokenizer");
    Tokenizer::parse("tokenizer.json", &bytes, 4096).expect("a tokenizer")
}

/// The pieces that a stream gives for these tokens, and what is left at the end.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    let mut stream = TextStream::default();
    let pieces = ids.iter().map(|id| stream.push(tokenizer, *id).expect("a token")).collect();
    (pieces, stream.finish(tokenizer).expect("the rest"))
}

#[test]
fn streams_give_whole_characters() {
    let tokenizer = tokenizer();
    for text in
        ["“Naïve?” said the café—owner.", "🦀🇨🇭👩‍👩‍👧‍👦 x", "日本語のお話", "a\u{301}\n\n\ttabs", " leading", "\u{10ffff}|\u{0}|"]
    {
        let ids = tokenizer.encode(text).expect("ids");
        let (pieces, rest) = streamed(&tokenizer, &ids);
        assert_eq!(pieces.concat() + &rest, text);
        assert!(!text.contains(char::REPLACEMENT_CHARACTER) && !pieces.iter().any(|p| p.contains(char::REPLACEMENT_CHARACTER)));
        // These texts have characters that no single token holds: some pieces must have been held back.
        if text.chars().any(|c| c as u32 > 0x2fff) {
            assert!(pieces.iter().any(String::is_empty), "{text}: {pieces:?}");
        }
    }
}

#[test]
fn an_unfinished_character_is_kept_until_the_end() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("ab🦀").expect("ids");
    let (pieces, rest) = streamed(&tokenizer, &ids[..ids.len() - 1]);
    assert!(!pieces.concat().contains(char::REPLACEMENT_CHARACTER), "{pieces:?}");
    assert!(rest.contains(char::REPLACEMENT_CHARACTER), "{rest:?}");
}

#[test]
fn any_tokens_stream_to_what_they_decode_to() {
    let (tokenizer, mut random) = (tokenizer(), Random::new());
    for _ in 0..300 {
        let ids: Vec<u32> = (0..random.within(1, 40)).map(|_| random.within(1, 4095) as u32).collect();
        let (pieces, rest) = streamed(&tokenizer, &ids);
        let whole = tokenizer.decode(&ids).expect("a text");
        // Bytes that are no text come as replacement characters, perhaps more or fewer of them where they meet.
        let plain = |text: &str| text.replace(char::REPLACEMENT_CHARACTER, "");
        assert_eq!(plain(&(pieces.concat() + &rest)), plain(&whole), "{ids:?}");
    }
}
