//! Texts in pieces, and what is no text.

use std::io::Cursor;

use fastweight::evaluate::{EvaluateError, Pieces, Tokens};
use fastweight::text::Tokenizer;
use fastweight_tests::Random;
use fastweight_tests::fixtures::shipped;
use serde_json::{Value, json};

fn tokenizer(change: impl FnOnce(&mut Value)) -> Tokenizer {
    let bytes = std::fs::read(shipped().join("tokenizer.json")).expect("the shipped tokenizer");
    let mut value: Value = serde_json::from_slice(&bytes).expect("JSON");
    change(&mut value);
    Tokenizer::parse("tokenizer.json", value.to_string().as_bytes(), 4096).expect("a tokenizer")
}

/// Paragraphs with all that makes cutting hard.
fn story() -> String {
    let paragraph = "“Naïve?” said the café—owner;  he had 1,234 cups... \tAnd then\nthe king's sons (all three) rode on!\n\nNext day 東京は雨。\r\n";
    paragraph.repeat(12) + &"unbroken".repeat(60) + "   "
}

fn pieces(bytes: &[u8], size: usize) -> Result<Vec<String>, EvaluateError> {
    Pieces::new("story.txt", Cursor::new(bytes), size).collect()
}

#[test]
fn pieces_are_the_text_and_their_tokens_its_tokens() {
    let (text, tokenizer) = (story(), tokenizer(|_| ()));
    let whole = tokenizer.encode_measured(&text).expect("tokens");
    assert_eq!(whole.iter().map(|t| t.bytes as usize).sum::<usize>(), text.len());
    assert_eq!(whole.iter().map(|t| t.id).collect::<Vec<_>>(), tokenizer.encode(&text).expect("ids"));
    for size in [16, 17, 31, 64, 200, 1000, 1 << 20] {
        let parts = pieces(text.as_bytes(), size).expect("it is UTF-8");
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|p| !p.is_empty() && p.len() <= size), "size {size}");
        if size >= 200 {
            // The long word is cut in its middle where a piece is shorter than it.
            let one = || Ok(Pieces::new("story.txt", Cursor::new(text.as_bytes()), size));
            let tokens = Tokens::new(&tokenizer, std::iter::once(one())).collect::<Result<Vec<_>, _>>().expect("tokens");
            let end = if size >= 1000 { whole.len() } else { whole.len() * 3 / 4 };
            assert_eq!(tokens[..end], whole[..end], "size {size}");
            let two = Tokens::new(&tokenizer, [one(), one()].into_iter()).count();
            assert_eq!(two, 2 * tokens.len());
        }
    }
}

#[test]
fn what_is_no_utf8_is_named_with_its_place() {
    let mut random = Random::new();
    let text = story();
    for size in [16, 64, 1 << 20] {
        for _ in 0..20 {
            let mut bytes = text.clone().into_bytes();
            let at = random.within(0, bytes.len() - 1);
            bytes[at] = 0xff;
            let wanted = std::str::from_utf8(&bytes).expect_err("0xff is never UTF-8").valid_up_to() as u64;
            match pieces(&bytes, size) {
                Err(EvaluateError::NotUtf8 { file, at }) => assert_eq!((file.as_str(), at), ("story.txt", wanted)),
                other => panic!("{other:?}"),
            }
        }
        // A character that the file's end cuts.
        assert!(matches!(
            pieces("so é".as_bytes().split_last().expect("bytes").1, size),
            Err(EvaluateError::NotUtf8 { at: 3, .. })
        ));
        assert_eq!(pieces(b"", size).expect("an empty text is one"), Vec::<String>::new());
    }
    let missing =
        std::iter::once(Err(EvaluateError::Io { file: "gone.txt".into(), source: std::io::ErrorKind::NotFound.into() }));
    let tokenizer = tokenizer(|_| ());
    let first = Tokens::<Cursor<Vec<u8>>, _>::new(&tokenizer, missing).next();
    assert!(matches!(first, Some(Err(EvaluateError::Io { .. }))));
}

#[test]
fn the_opening_is_what_the_tokenizer_puts_first() {
    assert_eq!(tokenizer(|_| ()).opening().expect("ids"), Vec::<u32>::new());
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let sequence = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let end = "<|endoftext|>";
    for single in [json!([special(end), sequence]), json!([special(end), sequence, special(end)])] {
        let opened = tokenizer(|value| {
            value["post_processor"] = json!({
                "type": "TemplateProcessing",
                "single": single,
                "pair": [special(end), sequence, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { end: { "id": end, "ids": [0], "tokens": [end] } },
            });
        });
        assert_eq!(opened.opening().expect("ids"), [0]);
        assert_eq!(opened.encode_plain("Once upon").expect("ids"), tokenizer(|_| ()).encode("Once upon").expect("ids"));
    }
}
