//! Lists the WGSL files, so that adding one touches nothing else.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let mut table = String::from("&[\n");
    for (folder, prefix) in [(".", ""), ("parts", "parts/")] {
        println!("cargo::rerun-if-changed={folder}");
        let mut files: Vec<_> = fs::read_dir(Path::new(&root).join(folder))
            .expect("the crate's own folder")
            .map(|entry| entry.expect("an entry of it").path())
            .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
            .collect();
        files.sort();
        for path in files {
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            writeln!(table, "    (\"{prefix}{name}\", include_str!({:?})),", path.display().to_string())
                .expect("writing to a string");
        }
    }
    table.push(']');
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("sources.rs");
    fs::write(out, table).expect("the build folder is writable");
}
