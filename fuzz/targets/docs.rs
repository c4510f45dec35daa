//! `docs.jsonl` of any bytes, plain, gzip or Zstandard by its first bytes, and names asked of `docs/`.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use unirex::eraser::{Docs, Sizes};
use unirex::problem::Problems;

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = root.join(format!("unirex-fuzz-docs-{}", std::process::id()));
        fs::create_dir_all(folder.join("tree/docs/inside")).expect("a folder for the files");
        fs::write(folder.join("secret"), "one two three").expect("a file is written");
        fs::write(folder.join("tree/docs/inside/a.txt"), "one two").expect("a file is written");
        folder
    })
}

fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    fs::write(folder.join("docs.jsonl"), bytes).expect("a file is written");
    let sizes = Sizes { batch: 4096, block: 64 };
    let mut problems = Problems { found: Vec::new(), limit: 5 };
    let docs = Docs::open(folder, sizes, &mut problems);
    assert!(problems.found.iter().all(|problem| problem.line.is_some()), "a bad line has a number");
    let name = String::from_utf8_lossy(bytes);
    if let Ok(docs) = docs {
        let _ = docs.lengths(&name);
    }
    let tree = Docs::Folder(folder.join("tree/docs"));
    if let Ok(lengths) = tree.lengths(&name) {
        assert!(name.ends_with("inside/a.txt") || name.contains("inside"), "{name:?} left the folder");
        assert_eq!(lengths.tokens, 2);
    }
});
