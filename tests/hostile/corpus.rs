//! What fuzzing found worth keeping, through the same functions.

use std::path::Path;

use super::harness::Cases;
use super::targets;

#[test]
fn the_corpus_of_every_fuzz_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut cases = Cases::new("the fuzz corpus");
    for target in ["safetensors", "stream", "state", "config", "choice", "gguf", "blocks", "template"] {
        let folder = std::fs::read_dir(corpus.join(target)).unwrap_or_else(|e| panic!("the corpus of {target}: {e}"));
        let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry of the corpus").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        for file in files {
            let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            cases.taken(format!("{target}/{name}"), bytes.len(), || {
                targets::run(target, &bytes);
                Ok::<(), String>(())
            });
        }
    }
    cases.finish();
}
