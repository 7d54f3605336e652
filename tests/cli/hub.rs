//! Models by name, against a hub on this machine that misbehaves as told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use fastweight_tests::fixtures::shipped;
use serde_json::{Value, json};
use sha1::Digest;

use super::{command, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with a file.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The connection ends after so many bytes, each time.
    Cut(usize),
    /// A web page instead of it.
    Page,
    /// Other bytes than promised.
    Damage,
    /// The server knows no ranges.
    NoRanges,
    /// It is not there after all.
    Missing,
}

/// A file of the hub.
#[derive(Clone)]
struct Hosted {
    bytes: Vec<u8>,
    large: bool,
    trouble: Trouble,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Hosted>,
    /// Names in the list that no file has.
    listed: Vec<String>,
    /// What `/api` answers instead of the list: a status and a body.
    answer: Option<(u16, String)>,
    /// The requests: path, range and authorization.
    requests: Vec<(String, Option<String>, Option<String>)>,
}

/// A hub, and a store for large files on another port, as the real one has.
struct Hub {
    endpoint: String,
    state: Arc<Mutex<State>>,
    home: tempfile::TempDir,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Hub {
    fn new(files: &[(&str, &[u8], Trouble)]) -> Hub {
        let host = |name: &str, bytes: &[u8], trouble| {
            let large = name.ends_with(".safetensors") || name.ends_with(".gguf");
            (name.to_string(), Hosted { bytes: bytes.to_vec(), large, trouble })
        };
        let files = files.iter().map(|(name, bytes, trouble)| host(name, bytes, *trouble)).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (hub, store) = (listen(), listen());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let (endpoint, elsewhere) = (address(&hub), address(&store));
        for listener in [hub, store] {
            let (state, elsewhere) = (state.clone(), elsewhere.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = serve(stream, &state, &elsewhere);
                }
            });
        }
        Hub { endpoint, state, home: tempfile::tempdir().expect("a folder") }
    }

    /// The shipped model as a repository.
    fn shipped() -> Hub {
        let read = |name: &str| std::fs::read(shipped().join(name)).expect("a file of the shipped model");
        let (config, tokenizer, weights) = (read("config.json"), read("tokenizer.json"), read("model.safetensors"));
        Hub::new(&[
            ("config.json", &config, Trouble::None),
            ("tokenizer.json", &tokenizer, Trouble::None),
            ("model.safetensors", &weights, Trouble::None),
            ("README.md", b"# A model", Trouble::None),
        ])
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = command(args);
        for proxy in
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HF_HUB_CACHE", "HF_HUB_OFFLINE"]
        {
            command.env_remove(proxy);
        }
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", self.home.path()).env("HF_TOKEN", "secret");
        command.output().expect("the program starts")
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn bad(&self, args: &[&str], word: &str) {
        let output = self.run(args);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: wanted {word:?}: {err}");
    }

    fn set(&self, file: &str, trouble: Trouble) {
        self.state.lock().expect("no panic").files.get_mut(file).expect("a file").trouble = trouble;
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<(String, Option<String>, Option<String>)> {
        std::mem::take(&mut self.state.lock().expect("no panic").requests)
    }

    fn repository(&self) -> std::path::PathBuf {
        self.home.path().join("hub/models--org--name")
    }
}

/// Answers one request.
fn serve(mut stream: TcpStream, state: &Mutex<State>, elsewhere: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_string();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_string()),
            None => break,
        };
    }
    let range = headers.get("range").cloned();
    let mut state = state.lock().expect("no panic");
    state.requests.push((path.clone(), range.clone(), headers.get("authorization").cloned()));
    let mut answer = |status: u16, more: &str, body: &[u8], length: usize| {
        write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n")?;
        stream.write_all(body)
    };
    if path.starts_with("/api/models/org/name/revision/main?") {
        if let Some((status, body)) = &state.answer {
            return answer(*status, "", body.as_bytes(), body.len());
        }
        let sibling = |(name, file): (&String, &Hosted)| {
            let size = file.bytes.len();
            let git = hex(&sha1::Sha1::new().chain_update(format!("blob {size}\0")).chain_update(&file.bytes).finalize());
            let sha256 = hex(&sha2::Sha256::digest(&file.bytes));
            let lfs = file.large.then(|| json!({ "sha256": sha256, "size": size, "pointerSize": 130 }));
            json!({ "rfilename": name, "size": size, "blobId": git, "lfs": lfs })
        };
        let mut siblings: Vec<Value> = state.files.iter().map(sibling).collect();
        siblings.extend(state.listed.iter().map(|name| json!({ "rfilename": name, "size": 1, "blobId": COMMIT })));
        let body = json!({ "id": "org/name", "sha": COMMIT, "siblings": siblings }).to_string();
        return answer(200, "content-type: application/json\r\n", body.as_bytes(), body.len());
    }
    let name = path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/")).or(path.strip_prefix("/store/")).unwrap_or_default();
    let Some(file) = state.files.get(name).filter(|file| file.trouble != Trouble::Missing) else {
        return answer(404, "", b"", 0);
    };
    if file.large && path.starts_with("/org") {
        return answer(302, &format!("location: {elsewhere}/store/{name}\r\n"), b"", 0);
    }
    let from = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let rest = &file.bytes[from.min(file.bytes.len())..];
    let status = if from > 0 { 206 } else { 200 };
    match file.trouble {
        Trouble::Page => answer(200, "content-type: text/html\r\n", b"\n<!DOCTYPE HTML><p>Log in", 25),
        Trouble::Cut(after) => answer(status, "", &rest[..after.min(rest.len())], rest.len()),
        Trouble::Damage => answer(status, "", &vec![b'x'; rest.len()], rest.len()),
        Trouble::NoRanges => answer(200, "", &file.bytes, file.bytes.len()),
        _ => answer(status, "", rest, rest.len()),
    }
}

#[test]
fn a_model_is_fetched_once_used_listed_and_removed() {
    let hub = Hub::shipped();
    let tokens = ["-q", "-d", "cpu", "-m", "hf:org/name", "tokenize", "Once upon"];
    hub.bad(&[&["--offline"][..], &tokens].concat(), "--offline");
    assert!(hub.requests().is_empty());
    let found = hub.good(&tokens);
    let requests = hub.requests();
    // The list, two small files, and the weights by way of the store, which does not get the token.
    assert_eq!(requests.len(), 5, "{requests:?}");
    for (path, range, token) in &requests {
        let wanted = (!path.starts_with("/store")).then_some("Bearer secret");
        assert_eq!((range, token.as_deref()), (&None, wanted), "{path}");
    }
    assert_eq!(hub.good(&[&["--offline"][..], &tokens].concat()), found);
    assert_eq!(hub.good(&tokens), found);
    assert!(hub.requests().is_empty(), "what is here is not asked for again");

    // The layout is that of the hub's own tools.
    let weights = hub.repository().join("snapshots").join(COMMIT).join("model.safetensors");
    let sha = hex(&sha2::Sha256::digest(std::fs::read(shipped().join("model.safetensors")).expect("a file")));
    assert_eq!(
        std::fs::read(hub.repository().join("blobs").join(&sha)).expect("a blob"),
        std::fs::read(&weights).expect("a link")
    );
    #[cfg(unix)]
    assert_eq!(std::fs::read_link(&weights).expect("a link"), Path::new("../../blobs").join(&sha));
    assert_eq!(std::fs::read_to_string(hub.repository().join("refs/main")).expect("a commit"), COMMIT);

    let path = hub.good(&["pull", "org/name"]);
    assert!(path.trim_end().ends_with(COMMIT), "{path}");
    assert_eq!(hub.requests().len(), 1, "only the list is fetched anew");
    let listed: Value = serde_json::from_str(&hub.good(&["list", "--json"])).expect("JSON");
    assert_eq!((&listed[0]["name"], &listed[0]["commit"]), (&"hf:org/name".into(), &COMMIT.into()));
    assert_eq!(listed[0]["files"], json!(["config.json", "model.safetensors", "tokenizer.json"]));
    assert!(hub.good(&["list"]).contains("hf:org/name"));

    hub.good(&["rm", "hf:org/name:model.safetensors"]);
    assert!(!hub.repository().join("blobs").join(&sha).exists() && !weights.exists());
    hub.bad(&["rm", "hf:org/name:model.safetensors"], "not in the cache");
    hub.good(&["rm", "org/name"]);
    assert!(!hub.repository().exists() && hub.good(&["list"]).is_empty());
    hub.bad(&["rm", "org/name"], "not in the cache");
}

#[test]
fn a_cut_connection_is_taken_up_where_it_was_cut() {
    let bytes: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
    let hub = Hub::new(&[("a.gguf", &bytes, Trouble::Cut(150_000))]);
    let path = hub.good(&["pull", "hf:org/name"]);
    assert_eq!(std::fs::read(path.trim_end()).expect("the file"), bytes);
    let ranges: Vec<_> = hub.requests().into_iter().filter(|r| r.0.starts_with("/store")).map(|r| r.1).collect();
    assert_eq!(ranges, [None, Some("bytes=150000-".into()), Some("bytes=300000-".into())]);

    // A connection that brings nothing more ends the program; the next run goes on.
    let part = |hub: &Hub| hub.repository().join("blobs").join(format!("{}.incomplete", hex(&sha2::Sha256::digest(&bytes))));
    for trouble in [Trouble::None, Trouble::NoRanges] {
        let hub = Hub::new(&[("a.gguf", &bytes, Trouble::Cut(0))]);
        hub.bad(&["pull", "hf:org/name"], "was cut after 0 of 400000 bytes");
        std::fs::write(part(&hub), &bytes[..250_000]).expect("a part");
        hub.bad(&["pull", "hf:org/name"], "was cut after 250000 of 400000 bytes");
        hub.set("a.gguf", trouble);
        hub.requests();
        assert_eq!(std::fs::read(hub.good(&["pull", "hf:org/name"]).trim_end()).expect("the file"), bytes);
        assert!(hub.requests().iter().any(|r| r.1.as_deref() == Some("bytes=250000-")));
        assert!(!part(&hub).exists());
    }
}

#[test]
fn what_is_not_the_file_is_told_apart() {
    let hub = Hub::new(&[("a-Q8_0.gguf", b"GGUF and more", Trouble::Page), ("a-Q4_0.gguf", b"GGUF", Trouble::Missing)]);
    hub.bad(&["pull", "hf:org/name:q8_0"], "web page");
    hub.bad(&["pull", "hf:org/name:Q4_0"], "does not exist");
    hub.set("a-Q8_0.gguf", Trouble::Damage);
    hub.bad(&["pull", "hf:org/name:q8_0"], "checksum");
    let left: Vec<_> = std::fs::read_dir(hub.repository().join("blobs")).expect("a folder").flatten().collect();
    assert!(left.iter().all(|entry| entry.metadata().is_ok_and(|m| m.len() == 0)), "damaged bytes are thrown away: {left:?}");
    // A part that is damaged does not stay either.
    hub.set("a-Q8_0.gguf", Trouble::None);
    let part = format!("{}.incomplete", hex(&sha2::Sha256::digest(b"GGUF and more")));
    std::fs::write(hub.repository().join("blobs").join(part), b"XXXX").expect("a part");
    hub.bad(&["pull", "hf:org/name:q8_0"], "checksum");
    hub.good(&["pull", "hf:org/name:q8_0"]);

    for (status, body, word) in [
        (404, "", "does not exist"),
        (401, "", "HF_TOKEN"),
        (403, "", "HF_TOKEN"),
        (503, "", "503"),
        (200, "<html><p>Welcome</p></html>", "web page"),
        (200, "{}", "not what a hub answers"),
        (200, "{\"sha\":\"../../x\",\"siblings\":[]}", "commit"),
    ] {
        hub.state.lock().expect("no panic").answer = Some((status, body.into()));
        hub.bad(&["pull", "hf:org/name"], word);
    }
    // A saved page under a model's name, and a pasted address.
    let page = hub.home.path().join("model.safetensors");
    std::fs::write(&page, "\n<!DOCTYPE html>\n<html>").expect("a file");
    hub.bad(&["-m", page.to_str().expect("UTF-8"), "inspect"], "a web page");
    hub.bad(&["-m", "https://huggingface.co/org/name/blob/main/sub/a.gguf?x=1", "inspect"], "-m hf:org/name:sub/a.gguf");
    hub.bad(&["-m", "https://huggingface.co/org/name", "inspect"], "-m hf:org/name");
}

#[test]
fn the_file_is_chosen_or_all_are_listed() {
    let index = json!({ "weight_map": { "a": "model-1.safetensors", "b": "model-2.safetensors" } }).to_string();
    let shards = Hub::new(&[
        ("model.safetensors.index.json", index.as_bytes(), Trouble::None),
        ("model-1.safetensors", b"1", Trouble::None),
        ("model-2.safetensors", b"2", Trouble::None),
        ("config.json", b"{}", Trouble::None),
        ("other.bin", b"-", Trouble::None),
    ]);
    shards.good(&["pull", "hf:org/name"]);
    let listed: Value = serde_json::from_str(&shards.good(&["list", "--json"])).expect("JSON");
    assert_eq!(listed[0]["files"].as_array().map(Vec::len), Some(4));

    let quants = Hub::new(&[
        ("m-Q4_K_M.gguf", b"4", Trouble::None),
        ("m-Q4_K_S.gguf", b"5", Trouble::None),
        ("m.Q8_0.gguf", b"8", Trouble::None),
        ("old/m.Q8_0.gguf", b"8", Trouble::None),
    ]);
    assert!(quants.good(&["pull", "hf:org/name:q4_k_m"]).trim_end().ends_with("m-Q4_K_M.gguf"));
    assert!(quants.good(&["pull", "hf:org/name:old/m.Q8_0.gguf"]).trim_end().ends_with("old/m.Q8_0.gguf"));
    quants.bad(&["pull", "hf:org/name"], "m-Q4_K_S.gguf");
    quants.bad(&["pull", "hf:org/name:Q8_0"], "old/m.Q8_0.gguf");
    quants.bad(&["pull", "hf:org/name:Q4"], "no quantisation Q4");
    Hub::new(&[("pytorch_model.bin", b"-", Trouble::None)]).bad(&["pull", "hf:org/name"], "no weights");
}

#[test]
fn names_lead_nowhere_but_into_the_cache() {
    let hub = Hub::new(&[("model.safetensors", b"-", Trouble::None)]);
    let evil = ["../../../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "..\\evil.gguf", "C:evil.gguf", ".git/evil.gguf"];
    hub.state.lock().expect("no panic").listed = evil.iter().map(|name| name.to_string()).collect();
    for name in evil {
        let output = hub.run(&["pull", &format!("hf:org/name:{name}")]);
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
    hub.good(&["pull", "hf:org/name"]);
    let shards = Hub::new(&[("model.safetensors.index.json", b"{\"weight_map\":{\"a\":\"../../evil\"}}", Trouble::None)]);
    shards.bad(&["pull", "hf:org/name"], "evil");
    for name in
        ["hf:", "hf:org", "hf:../name", "hf:org/..", "hf:org/name/more", "hf:org/name@../x", "hf:org/name:", "hf:/etc/passwd"]
    {
        hub.bad(&["-m", name, "inspect"], "names no");
        hub.bad(&["rm", name], "names no");
    }
    // A link in the cache that leads out of it is no file of the model, and what it leads to is not removed.
    #[cfg(unix)]
    {
        let outside = hub.home.path().join("precious");
        std::fs::write(&outside, "-").expect("a file");
        let link = hub.repository().join("snapshots").join(COMMIT).join("x.gguf");
        std::os::unix::fs::symlink(&outside, &link).expect("a link");
        hub.bad(&["--offline", "-m", "hf:org/name:x.gguf", "inspect"], "not in the cache");
        hub.good(&["rm", "hf:org/name:x.gguf"]);
        assert!(outside.exists() && !link.exists());
    }
}
