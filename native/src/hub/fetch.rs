//! What comes over the wire.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::cache::{Cache, Repository};
use super::choose::choose;
use super::{Name, home, is_hex, is_path, variable};
use crate::args::Args;
use crate::progress;

/// The hub, unless `HF_ENDPOINT` says another.
const ENDPOINT: &str = "https://huggingface.co";
/// The longest list of files that is read.
const MAX_LIST: u64 = 64 << 20;
/// Redirections that are followed.
const REDIRECTIONS: usize = 8;
/// Times that a cut connection is taken up again without having brought anything.
const TRIES: usize = 3;
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// What the hub says of a model.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Of a small file: git's own checksum.
    blob_id: Option<String>,
    /// Of a large file: where its SHA-256 is.
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// Fetches what of a model is not in the cache, and returns its path.
pub(super) fn pull(cache: &Cache, name: &Name, args: &Args) -> anyhow::Result<PathBuf> {
    let hub = Hub::new()?;
    let info = hub.info(name)?;
    if !is_hex(&info.sha) {
        bail!("{}: the commit of {name} is {:?}", hub.endpoint, info.sha);
    }
    let repository = cache.repository(name);
    let blobs = repository.folder.join("blobs");
    fs::create_dir_all(&blobs).with_context(|| blobs.display().to_string())?;
    // Names that lead elsewhere are not ours to follow; whoever asks for one hears that it is not there.
    let files: Vec<&Sibling> = info.siblings.iter().filter(|file| is_path(&file.rfilename)).collect();
    let names: Vec<String> = files.iter().map(|file| file.rfilename.clone()).collect();
    let fetch = |file: &str| -> anyhow::Result<PathBuf> {
        let sibling = files.iter().find(|f| f.rfilename == file).expect("what is chosen is in the list");
        hub.file(&repository, name, &info.sha, sibling, args).with_context(|| format!("{name}: {file}"))
    };
    let index = |file: &str| -> anyhow::Result<Vec<String>> {
        let path = fetch(file)?;
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(fastweight::load::safetensors::index_files(file, &bytes)?)
    };
    let choice = choose(name, &names, index)?;
    for file in &choice.files {
        fetch(file)?;
    }
    repository.note(&name.revision, &info.sha)?;
    let folder = repository.snapshot(&info.sha);
    Ok(choice.opened.map_or(folder.clone(), |file| folder.join(file)))
}

/// The hub, and who asks.
struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Hub {
    fn new() -> anyhow::Result<Hub> {
        let config = Agent::config_builder()
            .user_agent(concat!("fastweight/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)));
        let endpoint = variable("HF_ENDPOINT").unwrap_or(ENDPOINT.into()).trim_end_matches('/').to_string();
        let saved = || fs::read_to_string(home().ok()?.join("token")).ok();
        let token = variable("HF_TOKEN").or_else(saved).map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
        Ok(Hub { agent: config.build().into(), endpoint, token })
    }

    /// Asks for an address, of a file from a byte on, and follows where the answer leads. The token goes to the hub alone.
    fn get(&self, url: &str, from: u64) -> anyhow::Result<Response<Body>> {
        let mut url = url.to_string();
        for _ in 0..REDIRECTIONS {
            let mut request = self.agent.get(&url);
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| origin(&url) == origin(&self.endpoint)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().with_context(|| url.clone())?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location = response.headers().get("location").and_then(|l| l.to_str().ok());
            let location = location.with_context(|| format!("{url} leads elsewhere, and does not say where"))?;
            let secure = url.starts_with("https://");
            url = match location.strip_prefix('/') {
                Some(path) if !path.starts_with('/') => format!("{}/{path}", origin(&url)),
                _ => location.to_string(),
            };
            if !url.starts_with("https://") && (secure || !url.starts_with("http://")) {
                bail!("the answer leads to {url:?}, which is not followed");
            }
        }
        bail!("{url}: more than {REDIRECTIONS} redirections")
    }

    /// What an answer is worth: what a status means for this model.
    fn check(&self, name: &Name, what: &str, response: &Response<Body>) -> anyhow::Result<()> {
        let page = format!("{}/{}", self.endpoint, name.repository);
        match response.status().as_u16() {
            200 | 206 => Ok(()),
            401 | 403 if self.token.is_some() => {
                bail!("{what} is not for the holder of this HF_TOKEN: see {page} for its terms, or whether it exists")
            }
            401 | 403 => bail!("{what} does not exist, or is not for everybody: set HF_TOKEN, after a look at {page}"),
            404 => bail!("{what} does not exist on {}", self.endpoint),
            status => bail!("{} answers {status} for {what}", self.endpoint),
        }
    }

    fn info(&self, name: &Name) -> anyhow::Result<Info> {
        let url = format!("{}/api/models/{}/revision/{}?blobs=true", self.endpoint, name.repository, escape(&name.revision));
        let mut response = self.get(&url, 0)?;
        self.check(name, &name.to_string(), &response)?;
        let mut bytes = Vec::new();
        let body = response.body_mut().as_reader();
        body.take(MAX_LIST).read_to_end(&mut bytes).with_context(|| url.clone())?;
        if is_page(&bytes) {
            bail!("{url} gives a web page and no list of files: is HF_ENDPOINT right?");
        }
        serde_json::from_slice(&bytes).map_err(|e| anyhow!("{url}: not what a hub answers: {e}"))
    }

    /// A file in the cache, fetched if it is not there.
    fn file(&self, repository: &Repository, name: &Name, commit: &str, file: &Sibling, args: &Args) -> anyhow::Result<PathBuf> {
        let (mut checksum, size, wanted) = match (file, &file.lfs) {
            (_, Some(lfs)) => (Checksum::Sha256(Sha256::new()), lfs.size, &lfs.sha256),
            (Sibling { size: Some(size), blob_id: Some(id), .. }, None) => (Checksum::git(*size), *size, id),
            _ => bail!("the hub tells no checksum of it"),
        };
        let wanted = wanted.to_ascii_lowercase();
        if !is_hex(&wanted) {
            bail!("its checksum is {wanted:?}");
        }
        let blob = repository.blob(&wanted);
        let part = repository.blob(&format!("{wanted}.incomplete"));
        if !blob.is_file() {
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
            let mut held = opened.with_context(|| part.display().to_string())?;
            // Another program may be fetching the same.
            held.lock().with_context(|| part.display().to_string())?;
            if !blob.is_file() {
                let url = format!("{}/{}/resolve/{commit}/{}", self.endpoint, name.repository, escape(&file.rfilename));
                let bar = progress::bar(args, "{msg} {bytes} of {total_bytes} {wide_bar} {bytes_per_sec} {eta}");
                bar.set_length(size);
                bar.set_message(file.rfilename.clone());
                let fetched = self.fetch(name, &url, &mut held, size, &mut checksum, &bar);
                bar.finish_and_clear();
                fetched?;
                let found = checksum.finish();
                if found != wanted {
                    fs::remove_file(&part).with_context(|| part.display().to_string())?;
                    bail!("its checksum is {found}, wanted {wanted}: it was damaged on the way, and is thrown away");
                }
                held.sync_all().with_context(|| part.display().to_string())?;
                fs::rename(&part, &blob).with_context(|| blob.display().to_string())?;
            }
        }
        repository.link(commit, &file.rfilename, &wanted)?;
        Ok(repository.snapshot(commit).join(&file.rfilename))
    }

    /// Fetches into a file that may have a part of it already. A cut connection is taken up again where it was cut.
    fn fetch(
        &self,
        name: &Name,
        url: &str,
        file: &mut File,
        size: u64,
        checksum: &mut Checksum,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let fresh = checksum.clone();
        let mut here = 0;
        let mut buffer = vec![0; PIECE];
        file.seek(SeekFrom::Start(0))?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 || here + read as u64 > size {
                break;
            }
            checksum.update(&buffer[..read]);
            here += read as u64;
        }
        let mut tries = 0;
        let mut cut = None;
        while here < size {
            if tries == TRIES {
                let why = cut.map_or(String::new(), |e: anyhow::Error| format!(": {e:#}"));
                bail!("the connection was cut after {here} of {size} bytes; run again to go on from there{why}");
            }
            file.set_len(here)?;
            file.seek(SeekFrom::Start(here))?;
            let before = here;
            bar.set_position(here);
            match self.get(url, here) {
                Err(error) => cut = Some(error),
                Ok(mut response) => {
                    if response.status() == 416 {
                        bail!("{url} ends before byte {here}, wanted {size} bytes");
                    }
                    self.check(name, url, &response)?;
                    if response.status() == 200 && here > 0 {
                        // It starts anew.
                        (here, *checksum) = (0, fresh.clone());
                        file.set_len(0)?;
                        file.seek(SeekFrom::Start(0))?;
                    }
                    let mut body = response.body_mut().as_reader();
                    loop {
                        let read = match body.read(&mut buffer) {
                            Ok(0) => break,
                            Ok(read) => read,
                            Err(error) => {
                                cut = Some(error.into());
                                break;
                            }
                        };
                        if here == 0 && is_page(&buffer[..read]) && !url.ends_with(".html") {
                            bail!(
                                "{url} gives a web page instead of the file: a proxy's or a log-in page, or HF_ENDPOINT is no hub"
                            );
                        }
                        if here + read as u64 > size {
                            file.set_len(0)?;
                            bail!("{url} gives more than its {size} bytes");
                        }
                        file.write_all(&buffer[..read])?;
                        checksum.update(&buffer[..read]);
                        here += read as u64;
                        bar.set_position(here);
                    }
                }
            }
            tries = if here > before { 0 } else { tries + 1 };
        }
        Ok(file.set_len(size)?)
    }
}

/// A checksum under way.
#[derive(Clone)]
enum Checksum {
    /// Of large files.
    Sha256(Sha256),
    /// Git's, of small ones: SHA-1 over a head and the file.
    Git(sha1::Sha1),
}

impl Checksum {
    fn git(size: u64) -> Checksum {
        let mut sha = sha1::Sha1::new();
        sha.update(format!("blob {size}\0"));
        Checksum::Git(sha)
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(sha) => sha.update(bytes),
            Checksum::Git(sha) => sha.update(bytes),
        }
    }

    fn finish(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        match self {
            Checksum::Sha256(sha) => hex(&sha.finalize()),
            Checksum::Git(sha) => hex(&sha.finalize()),
        }
    }
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    &url[..url[host..].find(['/', '?', '#']).map_or(url.len(), |end| host + end)]
}

/// Whether bytes are the beginning of a web page.
fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    ["<!doctype html", "<html"].iter().any(|tag| start.get(..tag.len()).is_some_and(|s| s.eq_ignore_ascii_case(tag.as_bytes())))
}

/// A path for an address.
fn escape(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
