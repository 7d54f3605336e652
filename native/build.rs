//! Tells the program which commit it is built of, where that is known: results of the bench name it.

use std::path::Path;
use std::process::Command;

fn main() {
    // Set by who packages; without it, the repository's own word.
    println!("cargo::rerun-if-env-changed=FASTWEIGHT_COMMIT");
    if std::env::var_os("FASTWEIGHT_COMMIT").is_some() {
        return;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    // A package has no repository of its own, though it may lie within somebody else's.
    let Some(root) = git(&["rev-parse", "--show-toplevel"]).filter(|root| Path::new(root).join("native/build.rs").exists())
    else {
        return;
    };
    for file in ["HEAD", "logs/HEAD"] {
        println!("cargo::rerun-if-changed={root}/.git/{file}");
    }
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=FASTWEIGHT_COMMIT={commit}");
    }
}
