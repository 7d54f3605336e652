//! The program under test, and how it is run.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use fastweight_tests::fixtures::shipped;

/// The program, built as it is now in this test's own profile.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut folder = std::env::current_exe().expect("the test's own path");
        folder.pop();
        folder.pop();
        let release = folder.file_name().is_some_and(|name| name == "release");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace"]).args(release.then_some("--release"));
        // What cargo tells a test of its package: there are build scripts that run again if it differs, and all that needs them is built again.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                build.env_remove(name);
            }
        }
        assert!(build.status().expect("cargo starts").success(), "the program does not build");
        folder.join(format!("fastweight{}", std::env::consts::EXE_SUFFIX))
    })
}

/// The program with these arguments, on the shipped model, its kernels taken as they are.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env("FASTWEIGHT_MODEL", shipped()).env("FASTWEIGHT_NO_TUNE", "1").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// What it wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("all output is UTF-8")
}
