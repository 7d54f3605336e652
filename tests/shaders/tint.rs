//! Every linked shader in Chromium: Tint refuses things that naga lets through.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Compiled, Compiler, Launched, expect_none, plain_places, shaders, spread_places};

const PAGE: &str = include_str!("tint.html");

/// How long the browser may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the page found.
#[derive(Deserialize)]
struct Report {
    built: usize,
    failures: Vec<String>,
}

/// A browser that ends with the test, children and all.
struct Browser(Child);

impl Browser {
    fn open(url: &str, profile: &tempfile::TempDir) -> Browser {
        let binary = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let mut command = Command::new(&binary);
        command.args(flags).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        // A group of its own, so that the browser's own processes end with it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        Browser(
            child.unwrap_or_else(|e| {
                panic!("this test needs Chromium (Debian: chromium; or its path in CHROMIUM): {binary}: {e}")
            }),
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// Answers one request; a report goes to `reports`.
fn answer(stream: TcpStream, shaders: &str, reports: &Sender<String>) -> std::io::Result<()> {
    let mut request = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    request.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_string();
    loop {
        line.clear();
        request.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().unwrap_or(0),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body)?;
    let (status, kind, text) = match path.as_str() {
        "/" => ("200 OK", "text/html", PAGE),
        "/shaders.json" => ("200 OK", "application/json", shaders),
        "/report" => ("200 OK", "text/plain", ""),
        _ => ("404 Not Found", "text/plain", ""),
    };
    let mut stream = request.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )?;
    if path == "/report" {
        // Nobody listens any more once the test gave up.
        let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
    }
    Ok(())
}

/// Serves the page on a port of its own, one thread a connection: a browser opens some that it never uses.
fn serve(shaders: String, reports: Sender<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    let shaders = Arc::new(shaders);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (shaders, reports) = (shaders.clone(), reports.clone());
            // A connection that breaks is the browser's to open again.
            std::thread::spawn(move || answer(stream, &shaders, &reports));
        }
    });
    port
}

/// What the page builds: every source, with its operands in one group and spread over several.
fn list() -> Vec<serde_json::Value> {
    // The browser's software adapter computes in no f16, so nobody here can be asked about that.
    let known = |(shader, _): &(Compiled, Launched)| !shader.enables.contains(&"f16");
    let (plain, spread) = (shaders(Compiler::Browser, plain_places), shaders(Compiler::Browser, spread_places));
    let all = plain.into_iter().chain(spread).filter(known);
    let sources: BTreeMap<_, _> = all
        .map(|(shader, Launched { about, .. })| (shader.source.clone(), (about, shader.enables.contains(&"subgroups"))))
        .collect();
    let entry = |(source, (about, subgroups))| serde_json::json!({ "about": about, "source": source, "subgroups": subgroups });
    sources.into_iter().map(entry).collect()
}

#[test]
fn every_shader_builds_in_chromium_without_a_message() {
    let list = list();
    let sources = list.len();
    let (sender, receiver) = channel();
    let port = serve(serde_json::Value::from(list).to_string(), sender);
    let profile = tempfile::tempdir().expect("a folder for the browser's profile");
    let mut browser = Browser::open(&format!("http://127.0.0.1:{port}/"), &profile);
    let start = Instant::now();
    let report = loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(report) => break report,
            Err(RecvTimeoutError::Disconnected) => panic!("the server ended"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = browser.0.try_wait().expect("a child of ours") {
            panic!("Chromium ended without a report: {status}");
        }
        assert!(start.elapsed() < PATIENCE, "Chromium did not report within {PATIENCE:?}");
    };
    let report: Report = serde_json::from_str(&report).expect("the page's report");
    expect_none(&report.failures);
    assert_eq!(report.built, sources, "every source was built");
}
