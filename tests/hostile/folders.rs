//! Folders that hold something else than a model, and files that are something else than their name says.

use std::path::Path;

use fastweight::device::Device;
use fastweight::generate::{LoadOptions, Model};
use fastweight::load;
use fastweight::tensor::DType;
use pollster::block_on;
use serde_json::{Value, json};

use super::folder::{Folder, INDEX, WEIGHTS, tokenizer};
use super::good::{sharded, stream_fixture};
use super::harness::Cases;
use super::weights::bases;

/// What a server sends instead of a file that it doesn't have.
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>404</title></head><body><h1>Not found</h1></body></html>\n";

/// The beginning of a pickle.
const PICKLE: &[u8] = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04step\x94M\xe0\x01\x8c\x07variant\x94}\x94u.";

/// A folder with every kind of file.
fn whole() -> Folder {
    let folder = Folder::new(&bases()[1], DType::F32);
    folder.with_json("tokenizer.json", &tokenizer()).with_json("generation_config.json", &json!({"eos_token_id": [0, 5]}))
}

#[test]
fn a_whole_folder_is_good() {
    let mut cases = Cases::new("undamaged folders");
    let folder = whole();
    let model = cases.taken("a whole folder", folder.bytes(), || folder.load()).expect("the base of the damage");
    assert_eq!(model.end_tokens(), [0, 5]);
    assert_eq!(model.tokenizer().expect("its tokenizer").encode("abcd ab").expect("plain text"), [31, 27, 28]);
    cases.taken("its use", folder.bytes(), || folder.use_it());
    cases.finish();
}

#[test]
fn folders_without_a_model() {
    let mut cases = Cases::new("folders");
    let none = Folder { files: Default::default(), opened: String::new() };
    let (whole, weights) = (whole(), whole().files[WEIGHTS].clone());
    let bare = whole.clone().without(WEIGHTS);
    let wanted = "model.safetensors, model.safetensors.index.json or one weight file";
    let stream = stream_fixture("linear_m").1;
    let rows: [(&str, Folder, Vec<&str>); 17] = [
        ("empty", none.clone(), vec!["with 0 weight files", wanted]),
        ("only a config", bare.clone(), vec!["with 0 weight files", wanted]),
        (
            "two weight files",
            bare.clone().with("a.safetensors", weights.clone()).with("b.safetensors", weights.clone()),
            vec!["with 2 weight files", wanted],
        ),
        (
            "two kinds of weight files",
            bare.clone().with("a.safetensors", weights.clone()).with("streaming_train_state", stream),
            vec!["with 2 weight files"],
        ),
        ("a folder in place of the weights", bare.clone().with("model.safetensors/", ""), vec!["with 0 weight files"]),
        (
            "a folder opened as weights",
            bare.clone().with("model.safetensors/", "").opened(WEIGHTS),
            vec!["model.safetensors", "with 0 weight files"],
        ),
        (
            "a folder in place of the config",
            whole.clone().without("config.json").with("config.json/", ""),
            vec!["config.json", "directory"],
        ),
        (
            "a folder in place of the tokenizer",
            whole.clone().without("tokenizer.json").with("tokenizer.json/", ""),
            vec!["tokenizer.json", "directory"],
        ),
        (
            "a folder in place of the generation config",
            whole.clone().without("generation_config.json").with("generation_config.json/", ""),
            vec!["generation_config.json", "directory"],
        ),
        ("a folder in place of the index", bare.clone().with("model.safetensors.index.json/", ""), vec![INDEX, "directory"]),
        ("no such folder", none.clone().opened("gone"), vec!["gone"]),
        ("no such file", whole.clone().opened("gone.safetensors"), vec!["gone.safetensors"]),
        ("a file as a folder", whole.clone().opened("model.safetensors/x.safetensors"), vec!["x.safetensors"]),
        ("the config as weights", whole.clone().opened("config.json"), vec!["config.json", "a .safetensors file"]),
        (
            "a pickle",
            none.clone().with("metadata.pkl", PICKLE).opened("metadata.pkl"),
            vec!["metadata.pkl", "a .safetensors file"],
        ),
        (
            "a pickle named as a stream",
            none.clone().with("streaming_metadata", PICKLE),
            vec!["streaming_metadata", "the pair at byte 0"],
        ),
        ("a pickle named as weights", whole.clone().with(WEIGHTS, PICKLE), vec![WEIGHTS, "the header's length"]),
    ];
    for (name, folder, words) in rows {
        cases.refused(name, folder.bytes(), &words, || folder.load());
    }
    cases.finish();
}

#[test]
fn pages_instead_of_files() {
    let mut cases = Cases::new("HTML pages");
    let none = Folder { files: Default::default(), opened: String::new() };
    for (name, folder) in [
        (WEIGHTS, whole()),
        ("config.json", whole()),
        ("tokenizer.json", whole()),
        ("generation_config.json", whole()),
        (INDEX, whole()),
        ("streaming_train_state", none),
    ] {
        for (kind, page) in [
            ("a page", PAGE),
            ("half a tag", "<"),
            ("a pointer file", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
            ("nothing", ""),
        ] {
            let folder = folder.clone().with(name, page);
            cases.refused(format!("{kind} as {name}"), folder.bytes(), &[name], || folder.load());
        }
    }
    cases.finish();
}

#[test]
fn indices() {
    let mut cases = Cases::new("indices");
    let folder = sharded(&bases()[1], 2);
    let shard = "model-00001-of-00002.safetensors";
    let beside = "the name of a .safetensors file beside it";
    for file in [
        "../x.safetensors",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "./x.safetensors",
        "..\\x.safetensors",
        "C:\\x.safetensors",
        "C:x.safetensors",
        "x.safetensors:stream.safetensors",
        "\\\\server\\x.safetensors",
        ".hidden.safetensors",
        "config.json",
        "model.bin",
        "x.safetensors\0",
        "x\0.safetensors",
        "x.SAFETENSORS ",
        "\u{1b}[2J.safetensors",
        "",
    ] {
        let folder = folder.clone().with_json(INDEX, &json!({"weight_map": {"a": shard, "b": file}}));
        cases.refused(format!("the file {file:?}"), folder.bytes(), &[INDEX, "a file of the index", beside], || folder.load());
    }
    let long = "x".repeat(1 << 20) + ".safetensors";
    let rows: [(Value, Vec<&str>); 12] = [
        (json!({"weight_map": {"a": shard, "b": "gone.safetensors"}}), vec!["gone.safetensors"]),
        (json!({"weight_map": {"a": shard, "b": "dir.safetensors"}}), vec!["dir.safetensors", "directory"]),
        (json!({"weight_map": {"a": shard}}), vec!["has no tensor"]),
        (json!({"weight_map": {"a": long}}), vec!["safetensors"]),
        (json!({"weight_map": {}}), vec![INDEX, "weight_map is empty", "at least one file"]),
        (json!({"weight_map": [shard]}), vec![INDEX, "the index", "weight_map"]),
        (json!({"weight_map": {"a": 5}}), vec![INDEX, "the index", "weight_map"]),
        (json!({"weight_map": {"a": [shard]}}), vec![INDEX, "the index", "weight_map"]),
        (json!({"weight_map": null}), vec![INDEX, "the index", "weight_map"]),
        (json!({}), vec![INDEX, "the index", "weight_map"]),
        (json!([]), vec![INDEX, "the index", "weight_map"]),
        (json!("weight_map"), vec![INDEX, "the index", "weight_map"]),
    ];
    for (index, words) in rows {
        let folder = folder.clone().with_json(INDEX, &index).with("dir.safetensors/", "");
        let name: String = index.to_string().chars().take(80).collect();
        cases.refused(name, folder.bytes(), &words, || folder.load());
    }
    for content in ["", "{", "index", &"[".repeat(100_000)] {
        let folder = folder.clone().with(INDEX, content);
        cases.refused("no JSON", folder.bytes(), &[INDEX, "the index"], || folder.load());
    }
    cases.finish();
}

#[test]
fn tokenizers() {
    let mut cases = Cases::new("tokenizers");
    let whole = whole();
    let changed = |at: &str, value: Value| {
        let mut json = tokenizer();
        *json.pointer_mut(at).expect("a place in the tokenizer") = value;
        json.to_string().into_bytes()
    };
    let larger = |id: u64| {
        let mut json = tokenizer();
        json["model"]["vocab"]["zz"] = id.into();
        json.to_string().into_bytes()
    };
    let no = "not a tokenizer";
    let rows: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", vec![], vec![no]),
        ("no JSON", b"tokenizer".to_vec(), vec![no]),
        ("cut", tokenizer().to_string().into_bytes()[..200].to_vec(), vec![no]),
        ("an empty object", b"{}".to_vec(), vec![no]),
        ("null", b"null".to_vec(), vec![no]),
        ("a list", b"[]".to_vec(), vec![no]),
        ("zeros", vec![0; 1000], vec![no]),
        ("garbage", (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), vec![no]),
        ("no UTF-8", b"{\"version\": \"\xff\xfe\"}".to_vec(), vec![no]),
        ("nested lists", "[".repeat(100_000).into_bytes(), vec![no]),
        ("nested in the model", format!("{{\"model\": {}", "[".repeat(100_000)).into_bytes(), vec![no]),
        ("another version", changed("/version", "9.0".into()), vec![no]),
        ("no model", changed("/model", Value::Null), vec![no]),
        ("another model", changed("/model/type", "Oracle".into()), vec![no]),
        ("another decoder", changed("/decoder/type", "Oracle".into()), vec![no]),
        ("a merge of unknown tokens", changed("/model/merges", json!(["q q"])), vec![no]),
        ("a merge of one token", changed("/model/merges", json!(["ab"])), vec![no]),
        ("merges that are numbers", changed("/model/merges", json!([1, 2])), vec![no]),
        ("a vocabulary of texts", changed("/model/vocab", json!({"a": "1"})), vec![no]),
        ("a negative id", changed("/model/vocab", json!({"a": -1})), vec![no]),
        ("an id beyond 32 bits", changed("/model/vocab", json!({"a": 1u64 << 32})), vec![no]),
        (
            "no token",
            {
                let mut json = tokenizer();
                (json["model"]["vocab"], json["model"]["merges"], json["added_tokens"]) = (json!({}), json!([]), json!([]));
                json.to_string().into_bytes()
            },
            vec![no, "no token"],
        ),
        ("one token more than the model", larger(32), vec!["token id 32 is outside the model's vocabulary of 32"]),
        ("a token far outside", larger(u64::from(u32::MAX)), vec!["token id 4294967295 is outside the model's vocabulary of 32"]),
        (
            "an added token outside",
            changed(
                "/added_tokens",
                json!([
                    {"id": 40, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
                ]),
            ),
            vec!["outside the model's vocabulary of 32|not a tokenizer"],
        ),
    ];
    for (name, content, words) in rows {
        let folder = whole.clone().with("tokenizer.json", content);
        let words: Vec<&str> = ["tokenizer.json"].into_iter().chain(words).collect();
        cases.refused(name, folder.bytes(), &words, || folder.load());
    }

    // What only shows when it is used.
    let with = |part: &str, value: Value| {
        let mut json = tokenizer();
        json[part] = value;
        whole.clone().with_json("tokenizer.json", &json)
    };
    let template = |ids: Value| {
        json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": ids
        })
    };
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    for (name, folder) in [
        ("a template with an unknown token", with("post_processor", template(json!({})))),
        (
            "a template with an id outside",
            with("post_processor", template(json!({"<s>": {"id": "<s>", "ids": [99], "tokens": ["<s>"]}}))),
        ),
        ("a map of characters that is none", with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}))),
        ("a text for a map of characters", with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "?"}))),
        ("a pattern that tries everything", with("pre_tokenizer", split("(a|b|ab)*(?=q)\\1"))),
        ("a pattern that repeats", with("pre_tokenizer", split("((a{500}){500}){500}"))),
        ("a pattern that is none", with("pre_tokenizer", split("(("))),
        (
            "a prefix longer than its tokens",
            whole.clone().with(
                "tokenizer.json",
                changed("/model", {
                    let mut model = tokenizer()["model"].clone();
                    model["continuing_subword_prefix"] = "#####".into();
                    model
                }),
            ),
        ),
        ("nothing before tokens", with("pre_tokenizer", Value::Null)),
        ("no decoder", with("decoder", Value::Null)),
    ] {
        cases.survived(name, folder.bytes(), || folder.use_it());
    }
    for (name, content) in [
        ("nested in the decoder", format!("{{\"version\": \"1.0\", \"decoder\": {}", "[".repeat(100_000))),
        ("half a surrogate", "{\"version\": \"1.0\", \"decoder\": \"\\ud800\"}".into()),
    ] {
        let folder = whole.clone().with("tokenizer.json", content);
        cases.refused(name, folder.bytes(), &["tokenizer.json", no], || folder.load());
    }
    cases.finish();
}

/// What a tokenizer file says about batches of texts of one length is not for a prompt.
#[test]
fn prompts_are_neither_cut_nor_padded() {
    let whole = whole();
    let pad = json!({"strategy": {"Fixed": 1000}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"});
    let cut = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    for (part, value) in [("padding", pad), ("truncation", cut)] {
        let mut json = tokenizer();
        json[part] = value;
        let model = whole.clone().with_json("tokenizer.json", &json).load().expect("a tokenizer as some publish it");
        let ids = model.tokenizer().expect("its tokenizer").encode("abcd ab").expect("plain text");
        assert_eq!(ids, [31, 27, 28], "a tokenizer with {part}");
    }
}

#[test]
fn generation_configs() {
    let mut cases = Cases::new("generation configs");
    let whole = whole();
    for content in ["", "{", "generation", "[]", "3", "null", "\"x\""] {
        let folder = whole.clone().with("generation_config.json", content);
        cases.refused(format!("the generation config {content:?}"), folder.bytes(), &["generation_config.json", "JSON"], || {
            folder.load()
        });
    }
    for name in ["config.json", "generation_config.json"] {
        let folder = whole.clone().with(name, format!("{{\"a\": [{}[]]}}", "[],".repeat(1 << 20)));
        cases.refused(format!("a long {name}"), folder.bytes(), &[name, "at most"], || folder.load());
    }
    for value in [json!("2"), json!(2.5), json!({}), json!(["2"]), json!(true), json!(1u64 << 40)] {
        let folder = whole.clone().with_json("generation_config.json", &json!({"eos_token_id": value}));
        cases.refused(format!("the end token {value}"), folder.bytes(), &["eos_token_id"], || folder.load());
    }
    cases.finish();
}

#[test]
fn more_memory_than_allowed() {
    let mut cases = Cases::new("memory");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = whole();
    whole.write(folder.path());
    for memory in [0, 1, 100_000] {
        let options = LoadOptions { memory: Some(memory), ..LoadOptions::default() };
        let words = ["the model needs", "bytes for weights", &format!("{memory} are allowed")];
        cases.refused(format!("{memory} bytes"), whole.bytes(), &words, || {
            let opened = block_on(load::open_path(folder.path()))?;
            block_on(Model::load(opened, &Device::cpu(), options))
        });
    }
    cases.finish();
}

/// Files that never end, or never begin.
#[cfg(unix)]
#[test]
fn files_that_are_no_regular_ones() {
    let mut cases = Cases::new("special files");
    let open = |folder: &Path| block_on(Model::open(folder, &Device::cpu()));
    let whole = whole();
    for name in ["config.json", "tokenizer.json", "generation_config.json", INDEX, WEIGHTS] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = whole.clone();
        files.files.remove(name);
        files.write(folder.path());
        let path = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).expect("a link to what never ends");
        let opened = if name == WEIGHTS { &path } else { folder.path() };
        cases.refused(format!("{name} without end"), whole.bytes(), &[name], || open(opened));

        std::fs::remove_file(&path).expect("the link");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("the command mkfifo");
        assert!(made.success(), "mkfifo: {made}");
        // If it is opened to read, this lets the reader go on after a while.
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let writer = path.clone();
        let release = std::thread::spawn(move || {
            let waited = wait.recv_timeout(std::time::Duration::from_millis(500)).is_err();
            // Open for both, so that this never waits.
            let held = waited.then(|| std::fs::File::options().read(true).write(true).open(writer));
            std::thread::sleep(std::time::Duration::from_millis(if waited { 200 } else { 0 }));
            drop(held);
            waited
        });
        cases.refused(format!("{name} a pipe"), whole.bytes(), &[name], || open(opened));
        // Nobody listens any more if the time is over.
        let _ = done.send(());
        if release.join().expect("the thread that lets the reader go") {
            cases.fail(format!("{name} a pipe: waits for somebody to write into it"));
        }
    }
    cases.finish();
}
