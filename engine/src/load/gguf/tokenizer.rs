//! Tokenizers in GGUF's metadata, to and from Hugging Face's `tokenizer.json`.
//!
//! `tokenizer.ggml.model` names the algorithm. `gpt2` is byte-level BPE: tokens and merges, after a pre-tokenizer that
//! `tokenizer.ggml.pre` names. `llama` is SentencePiece's BPE: of two neighbours, those merge first whose piece has the highest score,
//! which is BPE with the merges in order of the score of what they make. (Pieces of equal score, which trained vocabularies do not have,
//! merge from left to right in SentencePiece and in order of their ids here.)

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use super::value::{Array, Value};
use crate::load::LoadError;

/// The longest piece of a SentencePiece vocabulary: it is taken apart in every place.
const MAX_PIECE: usize = 256;

/// GPT-2's way of taking text apart.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Pre-tokenizers: llama.cpp's names, and the patterns that take text apart one after the other (`llama-vocab.cpp` there).
const PRE_TOKENIZERS: &[(&[&str], &[&str])] = &[
    (&["gpt-2", "phi-2", "olmo", "mpt", "roberta-bpe"], &[GPT2]),
    (&["smollm", "starcoder", "refact", "command-r", "codeshell"], &[r"\p{N}", GPT2]),
    (
        &["llama-bpe", "llama3", "llama-v3"],
        &[r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    ),
    (
        &["qwen2", "stablelm2"],
        &[r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    ),
    (&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
];

/// Kinds of tokens, as `tokenizer.ggml.token_type` numbers them.
mod kind {
    pub(super) const NORMAL: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const CONTROL: i32 = 3;
    pub(super) const USER: i32 = 4;
    pub(super) const UNUSED: i32 = 5;
    pub(super) const BYTE: i32 = 6;
}

/// The ids with a meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The token before a text.
    pub bos: Option<u32>,
    /// The token after it.
    pub eos: Option<u32>,
    /// The tokens after a turn and a message, where they are others.
    turn: [Option<u32>; 2],
    unknown: Option<u32>,
}

impl Tokens {
    /// The ids among the metadata.
    pub fn read(file: &str, metadata: &BTreeMap<String, Value>) -> Result<Tokens, LoadError> {
        let id = |name: &str| -> Result<Option<u32>, LoadError> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let Some(value) = metadata.get(&key) else { return Ok(None) };
            match value.as_integer() {
                // Converters write −1, as it comes out unsigned, for what there is not.
                Some(-1 | 0xffff_ffff) => Ok(None),
                Some(n) if (0..1 << 24).contains(&n) => Ok(Some(n as u32)),
                _ => Err(LoadError::invalid(file, key, value, "the id of a token")),
            }
        };
        Ok(Tokens { bos: id("bos")?, eos: id("eos")?, turn: [id("eot")?, id("eom")?], unknown: id("unknown")? })
    }

    /// The tokens that end a text.
    pub(super) fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = self.eos.into_iter().chain(self.turn.into_iter().flatten()).collect();
        ends.dedup();
        ends
    }
}

/// The arrays of a vocabulary.
struct Vocabulary<'a> {
    file: &'a str,
    metadata: &'a BTreeMap<String, Value>,
    tokens: &'a [String],
    kinds: Vec<i32>,
}

impl<'a> Vocabulary<'a> {
    fn invalid(&self, what: impl Into<String>, found: impl ToString, wanted: impl Into<String>) -> LoadError {
        LoadError::invalid(self.file, what, found, wanted)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, LoadError> {
        let key = format!("tokenizer.ggml.{name}");
        match self.metadata.get(&key) {
            None => Ok(default),
            Some(Value::Bool(x)) => Ok(*x),
            Some(other) => Err(self.invalid(key, other, "true or false")),
        }
    }

    fn strings(&self, name: &str) -> Result<&'a [String], LoadError> {
        match self.metadata.get(&format!("tokenizer.ggml.{name}")) {
            Some(Value::Array(Array::String(strings))) => Ok(strings),
            _ => Err(self.invalid(format!("tokenizer.ggml.{name}"), "missing or of another type", "an array of texts")),
        }
    }

    fn token(&self, id: u32) -> Result<&'a str, LoadError> {
        let token = self.tokens.get(id as usize).map(String::as_str);
        token.ok_or_else(|| self.invalid("the id of a special token", id, format!("below the {} tokens", self.tokens.len())))
    }

    /// Ids by token.
    fn ids(&self) -> Result<HashMap<&'a str, u32>, LoadError> {
        let mut ids = HashMap::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(first) = ids.insert(token.as_str(), id as u32) {
                return Err(self.invalid(format!("token {token:?}"), format!("at {first} and at {id}"), "in one place"));
            }
        }
        Ok(ids)
    }

    /// The tokens that are found in a text before all others.
    fn added(&self) -> Vec<Json> {
        let kinds = self.kinds.iter().enumerate();
        let added = kinds.filter(|(_, k)| matches!(**k, kind::CONTROL | kind::USER | kind::UNKNOWN));
        let entry = |(id, k): (usize, &i32)| {
            json!({
                "id": id, "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *k != kind::USER,
            })
        };
        added.map(entry).collect()
    }

    /// What puts the first and the last token around a text.
    fn post_processor(&self, tokens: &Tokens, bos: bool) -> Result<Json, LoadError> {
        let first = tokens.bos.filter(|_| bos);
        let last = tokens.eos;
        let (bos, eos) = (self.flag("add_bos_token", first.is_some())?, self.flag("add_eos_token", false)?);
        let (first, last) = (tokens.bos.filter(|_| bos), last.filter(|_| eos));
        if first.is_none() && last.is_none() {
            return Ok(Json::Null);
        }
        let mut special = serde_json::Map::new();
        let mut piece = |id: u32| -> Result<Json, LoadError> {
            let token = self.token(id)?;
            special.insert(token.into(), json!({ "id": token, "ids": [id], "tokens": [token] }));
            Ok(json!({ "SpecialToken": { "id": token, "type_id": 0 } }))
        };
        let (first, last) = (first.map(&mut piece).transpose()?, last.map(&mut piece).transpose()?);
        let around = |part: Json| -> Vec<Json> { first.iter().cloned().chain([part]).chain(last.iter().cloned()).collect() };
        let sequence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
        let pair: Vec<Json> = around(sequence("A")).into_iter().chain(around(sequence("B"))).collect();
        Ok(json!({
            "type": "TemplateProcessing", "single": around(sequence("A")), "pair": pair, "special_tokens": special,
        }))
    }
}

/// The `tokenizer.json` that does what the metadata says, if they have a tokenizer.
pub fn json(file: &str, metadata: &BTreeMap<String, Value>, tokens: &Tokens) -> Result<Option<Vec<u8>>, LoadError> {
    let Some(model) = metadata.get("tokenizer.ggml.model") else { return Ok(None) };
    let mut vocabulary = Vocabulary { file, metadata, tokens: &[], kinds: Vec::new() };
    vocabulary.tokens = vocabulary.strings("tokens")?;
    let n = vocabulary.tokens.len();
    vocabulary.kinds = match metadata.get("tokenizer.ggml.token_type") {
        None => vec![kind::NORMAL; n],
        Some(Value::Array(Array::I32(kinds))) if kinds.len() == n => kinds.clone(),
        Some(other) => return Err(vocabulary.invalid("tokenizer.ggml.token_type", other, format!("{n} of i32"))),
    };
    let whole = match model.as_str() {
        Some("gpt2") => byte_level(&vocabulary, tokens)?,
        Some("llama") => sentence_piece(&vocabulary, tokens)?,
        _ => return Err(vocabulary.invalid("tokenizer.ggml.model", model, "gpt2 or llama")),
    };
    Ok(Some(whole.to_string().into_bytes()))
}

/// A pre-tokenizer in Hugging Face's form: the patterns, then bytes to letters.
fn pre_tokenizer(patterns: &[&str]) -> Json {
    let split =
        |pattern: &&str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let all: Vec<Json> = patterns.iter().map(split).chain([bytes]).collect();
    json!({ "type": "Sequence", "pretokenizers": all })
}

fn byte_level(v: &Vocabulary<'_>, tokens: &Tokens) -> Result<Json, LoadError> {
    let name = v.metadata.get("tokenizer.ggml.pre").map_or(Some("default"), Value::as_str).unwrap_or("no text");
    let Some((names, patterns)) = PRE_TOKENIZERS.iter().find(|(names, _)| names.contains(&name)) else {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|(names, _)| *names).copied().collect();
        return Err(v.invalid("tokenizer.ggml.pre", name, format!("one of {}", known.join(", "))));
    };
    let merge = |merge: &String| -> Result<Json, LoadError> {
        // A space is no letter of a token, but for a first one.
        let space = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        let space = space.ok_or_else(|| v.invalid("a merge", format!("{merge:?}"), "two tokens with a space between them"))?;
        Ok(json!([merge[..space], merge[space + 1..]]))
    };
    let merges = v.strings("merges")?.iter().map(merge).collect::<Result<Vec<_>, _>>()?;
    let llama = names.contains(&"llama-bpe");
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": v.added(),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(patterns),
        // Llama 3 begins texts with its token unless told otherwise.
        "post_processor": v.post_processor(tokens, llama)?,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": llama, "vocab": v.ids()?, "merges": merges,
        },
    }))
}

fn sentence_piece(v: &Vocabulary<'_>, tokens: &Tokens) -> Result<Json, LoadError> {
    let scores = match v.metadata.get("tokenizer.ggml.scores") {
        Some(Value::Array(Array::F32(scores))) if scores.len() == v.tokens.len() => scores,
        _ => return Err(v.invalid("tokenizer.ggml.scores", "missing or of another size", format!("{} of f32", v.tokens.len()))),
    };
    let ids = v.ids()?;
    // Pieces that other pieces are merged from and to.
    let plain = |id: u32| matches!(v.kinds[id as usize], kind::NORMAL | kind::UNUSED);
    let mut merges = Vec::new();
    for (id, piece) in v.tokens.iter().enumerate().filter(|(id, _)| plain(*id as u32)) {
        if piece.len() > MAX_PIECE {
            return Err(v.invalid(format!("token {id}"), format!("{} bytes", piece.len()), format!("at most {MAX_PIECE}")));
        }
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            let of = |part| ids.get(part).copied().filter(|id| plain(*id));
            if let (Some(l), Some(r)) = (of(left), of(right)) {
                merges.push((scores[id], id, l, r, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2, a.3).cmp(&(b.1, b.2, b.3))));
    let merges: Vec<[&str; 2]> = merges.into_iter().map(|m| [m.4, m.5]).collect();
    let prefix = v.flag("add_space_prefix", true)?;
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let normalizers = prefix.then(|| json!({ "type": "Prepend", "prepend": "▁" })).into_iter().chain([space]);
    let decoders = [
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    let strip = prefix.then(|| json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    let unknown = match tokens.unknown {
        Some(id) => Some(id),
        None => v.kinds.iter().position(|k| *k == kind::UNKNOWN).map(|id| id as u32),
    };
    let bytes = v.kinds.contains(&kind::BYTE);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": v.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers.collect::<Vec<_>>() },
        "pre_tokenizer": null,
        "post_processor": v.post_processor(tokens, true)?,
        "decoder": { "type": "Sequence", "decoders": decoders.into_iter().chain(strip).collect::<Vec<_>>() },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.map(|id| v.token(id)).transpose()?,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": bytes,
            "ignore_merges": false, "vocab": ids, "merges": merges,
        },
    }))
}

/// The metadata of a tokenizer for a model of so many ids: the whole `tokenizer.json`, and llama.cpp's arrays where they can say the same.
pub(super) fn metadata(file: &str, bytes: &[u8], vocabulary: usize, ids: &Json) -> Result<Vec<(String, Value)>, LoadError> {
    let invalid = |found: String| LoadError::invalid(file, "the tokenizer", found, "a tokenizer.json");
    let text = std::str::from_utf8(bytes).map_err(|e| invalid(e.to_string()))?;
    let whole: Json = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let mut all = arrays(&whole, vocabulary).unwrap_or_default();
    for name in ["bos", "eos"] {
        let field = ids.get(format!("{name}_token_id"));
        let id = field.and_then(|v| v.as_array().map_or(Some(v), |ids| ids.first())).and_then(Json::as_u64);
        let id = id.and_then(|id| u32::try_from(id).ok());
        all.extend(id.map(|id| (format!("tokenizer.ggml.{name}_token_id"), Value::U32(id))));
    }
    all.push(("tokenizer.huggingface.json".into(), Value::String(text.into())));
    Ok(all)
}

/// llama.cpp's arrays for a `tokenizer.json`, if they can say the same.
fn arrays(whole: &Json, vocabulary: usize) -> Option<Vec<(String, Value)>> {
    let model = whole.get("model")?;
    let byte_fallback = model.get("byte_fallback").and_then(Json::as_bool).unwrap_or(false);
    let vocab = model.get("vocab")?.as_object()?;
    let mut tokens: Vec<Option<(String, i32)>> = vec![None; vocabulary];
    for (token, id) in vocab {
        let byte = byte_fallback && token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        *tokens.get_mut(id.as_u64()? as usize)? = Some((token.clone(), if byte { kind::BYTE } else { kind::NORMAL }));
    }
    let unknown = model.get("unk_token").and_then(Json::as_str);
    for added in whole.get("added_tokens").and_then(Json::as_array).into_iter().flatten() {
        let (id, content) = (added.get("id")?.as_u64()?, added.get("content")?.as_str()?);
        let kind = match added.get("special").and_then(Json::as_bool) {
            _ if unknown == Some(content) => kind::UNKNOWN,
            Some(true) => kind::CONTROL,
            _ => kind::USER,
        };
        *tokens.get_mut(id as usize)? = Some((content.into(), kind));
    }
    let pair = |merge: &Json| -> Option<(String, String)> {
        match merge {
            Json::String(text) => text.split_once(' ').map(|(a, b)| (a.into(), b.into())),
            _ => Some((merge.get(0)?.as_str()?.into(), merge.get(1)?.as_str()?.into())),
        }
    };
    let merges: Vec<(String, String)> = model.get("merges")?.as_array()?.iter().map(pair).collect::<Option<_>>()?;
    let bos = whole.pointer("/post_processor/single/0/SpecialToken").is_some();
    let mut all = vec![("add_bos_token", Value::Bool(bos))];
    if byte_fallback {
        let normalizers = whole.pointer("/normalizer/normalizers")?.as_array()?;
        let prefix = normalizers.first()?.get("type")?.as_str()? == "Prepend";
        // What a merge makes is ranked by the first merge that makes it.
        let mut scores: HashMap<String, f32> = HashMap::new();
        for (rank, (left, right)) in merges.iter().enumerate() {
            scores.entry(format!("{left}{right}")).or_insert(-(rank as f32));
        }
        let score = |token: &Option<(String, i32)>| token.as_ref().and_then(|(t, _)| scores.get(t)).copied().unwrap_or(-1e9);
        all.push(("model", Value::String("llama".into())));
        all.push(("pre", Value::String("default".into())));
        all.push(("add_space_prefix", Value::Bool(prefix)));
        all.push(("scores", Value::Array(Array::F32(tokens.iter().map(score).collect()))));
    } else {
        all.push(("model", Value::String("gpt2".into())));
        all.push(("pre", Value::String(pre_tokenizer_name(whole.get("pre_tokenizer")?)?.into())));
        let merges = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        all.push(("merges", Value::Array(Array::String(merges))));
    }
    let kinds = tokens.iter().map(|t| t.as_ref().map_or(kind::UNUSED, |(_, kind)| *kind)).collect();
    let texts = tokens.into_iter().enumerate().map(|(id, t)| t.map_or_else(|| format!("[PAD{id}]"), |(text, _)| text)).collect();
    all.push(("tokens", Value::Array(Array::String(texts))));
    all.push(("token_type", Value::Array(Array::I32(kinds))));
    Some(all.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect())
}

/// llama.cpp's name of a pre-tokenizer, if it has one.
fn pre_tokenizer_name(found: &Json) -> Option<&'static str> {
    let kind = |part: &Json| part.get("type").and_then(Json::as_str).map(String::from);
    let flag = |part: &Json, name: &str| part.get(name).and_then(Json::as_bool);
    let parts: Vec<&Json> = match found.get("pretokenizers").and_then(Json::as_array) {
        Some(parts) => parts.iter().collect(),
        None => vec![found],
    };
    let (last, before) = parts.split_last()?;
    if kind(last)? != "ByteLevel" || flag(last, "add_prefix_space") != Some(false) {
        return None;
    }
    let mut patterns: Vec<String> = Vec::new();
    for part in before {
        match kind(part)?.as_str() {
            "Digits" if flag(part, "individual_digits") == Some(true) => patterns.push(r"\p{N}".into()),
            "Split" if kind_of_split(part) => patterns.push(part.pointer("/pattern/Regex")?.as_str()?.into()),
            _ => return None,
        }
    }
    if flag(last, "use_regex") != Some(false) {
        patterns.push(GPT2.into());
    }
    PRE_TOKENIZERS.iter().find(|(_, known)| *known == &patterns[..]).map(|(names, _)| names[0])
}

fn kind_of_split(part: &Json) -> bool {
    part.get("behavior").and_then(Json::as_str) == Some("Isolated") && part.get("invert").and_then(Json::as_bool) != Some(true)
}
