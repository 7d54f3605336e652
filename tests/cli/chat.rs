//! `fastweight chat`.

use std::path::Path;
use std::process::Stdio;

use fastweight_tests::fixtures::shipped;
use serde_json::{Value, json};

use super::{command, text};

/// The shipped model with a chat template.
fn model(template: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(shipped().join(name), folder.path().join(name)).expect("a copy");
    }
    let config = json!({ "chat_template": template, "bos_token": { "content": "<|endoftext|>" } });
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).expect("a file");
    folder
}

const PLAIN: &str = "{{ bos_token }}{% for message in messages %}{{ message.role.upper() }}: {{ message.content }}\n\
                     {% endfor %}ASSISTANT: ";

/// Runs a conversation: its lines on stdin, and what came out: stdout and stderr.
fn converse(model: &Path, more: &[&str], lines: &[&str]) -> (String, String, bool) {
    let args = [&["-m", model.to_str().expect("UTF-8"), "-d", "cpu", "chat", "--temp", "0", "-n", "8"], more].concat();
    let mut child =
        command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    // A program that ended early closed its end.
    let _ = std::io::Write::write_all(&mut child.stdin.take().expect("piped"), lines.as_bytes());
    let output = child.wait_with_output().expect("an end");
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

/// The turns of a conversation, as `--json` prints them.
fn turns(model: &Path, lines: &[&str]) -> Vec<Value> {
    let (out, err, done) = converse(model, &["--json"], lines);
    assert!(done, "{err}");
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn each_turn_costs_only_its_own_tokens() {
    let model = model(PLAIN);
    let lines = ["The king had three sons.", "And the fox?", "Who was the youngest?"];
    let found = turns(model.path(), &lines);
    assert_eq!(found.len(), 3);
    let number = |turn: &Value, field: &str| turn["turn"][field].as_u64().expect("a number");
    for (i, turn) in found.iter().enumerate() {
        assert!(number(turn, "read") <= 24, "{turn}");
        assert!(!turn["answer"].as_str().expect("text").is_empty());
        assert!(i == 0 || number(turn, "tokens") > number(&found[i - 1], "tokens"));
        assert_ne!(turn["turn"]["went_on"], "from_start");
    }
    let people = converse(model.path(), &[], &lines).0;
    assert_eq!(people.lines().next(), found[0]["answer"].as_str().and_then(|a| a.lines().next()));
}

#[test]
fn a_template_that_rewrites_the_past_is_read_again_and_said_so() {
    let counted = format!("{{{{ messages|length }}}} turns\n{PLAIN}");
    let model = model(&counted);
    let (out, err, done) = converse(model.path(), &["--json"], &["The king", "And the fox?"]);
    assert!(done && err.contains("read again"), "{err}");
    let second: Value = serde_json::from_str(out.lines().nth(1).expect("two turns")).expect("JSON");
    assert_eq!((&second["turn"]["went_on"], &second["turn"]["read"]), (&"from_start".into(), &second["turn"]["tokens"]));
}

#[test]
fn a_conversation_is_saved_loaded_reset_and_ended() {
    let model = model(PLAIN);
    let file = model.path().join("saved");
    let file = file.to_str().expect("UTF-8");
    let (first, second) = ("The king had three sons.", "And the fox?");
    let whole = turns(model.path(), &[first, second]);
    let before = turns(model.path(), &[first, &format!("/save {file}")]);
    assert_eq!(before[0], whole[0]);
    let after = turns(model.path(), &["Something else.", "/reset", &format!("/load {file}"), "/learning 1", second]);
    assert_eq!(after[1], whole[1], "a loaded conversation goes on as if it had not stopped");
    let anew = turns(model.path(), &[first, "/reset", first, "/bye", second]);
    assert_eq!((anew.len(), &anew[1]), (2, &whole[0]));
    let frozen = turns(model.path(), &["/learning 0", &first.repeat(8)]);
    assert_ne!(frozen[0]["answer"], turns(model.path(), &[&first.repeat(8)])[0]["answer"]);
}

#[test]
fn a_model_without_a_template_goes_on_with_the_text() {
    let (out, err, done) = converse(&shipped(), &["--system", "A tale.", "--json"], &["The king", "The fox"]);
    assert!(done && err.contains("no chat template"), "{err}");
    for line in out.lines() {
        let turn: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(turn["turn"]["went_on"], "from_here");
    }
    assert_eq!(out.lines().count(), 2);
}

#[test]
fn mistakes_in_a_conversation_have_words() {
    let good = model(PLAIN);
    let saved = good.path().join("saved");
    std::fs::write(&saved, "{\"fastweight_chat\":1,\"messages\":[],\"ids\":[1]}\nFWSTATE").expect("a file");
    let load = format!("/load {}", saved.display());
    let nowhere = "/save no/such/folder/x";
    for (line, word) in [
        ("/frobnicate", "no command"),
        ("/save", "wants a file"),
        (nowhere, "no/such/folder"),
        ("/load no/such/file", "no/such/file"),
        ("/load /dev/null", "first line"),
        (&load, "session state"),
        ("/learning much", "number"),
        ("/learning 101", "learning is 101"),
    ] {
        let (out, err, done) = converse(good.path(), &[], &[line]);
        assert!(!done && err.contains(word) && out.is_empty(), "{line}: {err}");
    }
    for (template, word) in [
        ("{% for %}", "chat template"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}", "chat template"),
    ] {
        let bad = model(template);
        let (_, err, done) = converse(bad.path(), &[], &["The king"]);
        assert!(!done && err.contains(word), "{template}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_answer_and_not_the_conversation() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("saved");
    let args = ["-q", "-d", "cpu", "chat", "-s", "1", "-n", "1000000"];
    let mut child = command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut input, mut out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    input.write_all(b"The king\n").expect("a pipe");
    let mut answer = vec![0];
    out.read_exact(&mut answer).expect("a first byte");
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    input.write_all(format!("/save {}\n/bye\n", file.display()).as_bytes()).expect("a pipe");
    out.read_to_end(&mut answer).expect("the rest");
    assert!(child.wait().expect("an end").success());
    let saved = std::fs::read(&file).expect("the conversation went on");
    let head = saved.split(|b| *b == b'\n').next().expect("a first line");
    let head: Value = serde_json::from_slice(head).expect("JSON");
    let said = format!("{}\n", head["messages"][1]["content"].as_str().expect("an answer"));
    assert_eq!(said, text(&answer), "what was written before the interrupt was said");
}
