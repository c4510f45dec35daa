//! Documents, annotations and results of the ERASER layout as files of any bytes: scored, joined and validated.
//!
//! The input is cut at two bytes 0xff into docs.jsonl, test.jsonl and results.jsonl. Where blocks are cut must change
//! nothing.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use unirex::eraser::{EraserScorer, Input, Options, RowReader, Sizes, validate};

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = root.join(format!("unirex-fuzz-eraser-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the files");
        // Handing a file of a few bytes to another thread and back takes longer than reading it.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
        alone.expect("nobody has built a pool before");
        folder
    })
}

fn options(sizes: Sizes) -> Options {
    Options { iou_thresholds: vec![0.1, 0.5], aopc_thresholds: Some(vec![0.1]), sizes }
}

fn score(input: &Input, sizes: Sizes) -> Result<String, String> {
    let mut scorer = EraserScorer::open(input, options(sizes), None).map_err(|e| e.to_string())?;
    while scorer.step().map_err(|e| e.to_string())? {}
    scorer.scores().map(|scores| format!("{scores:?}")).map_err(|e| e.to_string())
}

fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let mut parts = bytes.splitn(3, |&b| b == 0xff);
    for name in ["docs.jsonl", "test.jsonl", "results.jsonl"] {
        fs::write(folder.join(name), parts.next().unwrap_or_default()).expect("a file is written");
    }
    let input = Input {
        part: None,
        results: vec![folder.join("results.jsonl")],
        data_dir: folder.clone(),
        split: "test".to_owned(),
    };
    let whole = score(&input, Sizes::default());
    let cut = score(&input, Sizes { batch: 64, block: 7 });
    assert_eq!(whole, cut, "where blocks are cut changes nothing");
    let problems = validate(&input, options(Sizes { batch: 100, block: 30 }), 20).expect("problems are no error");
    assert!(whole.is_ok() || !problems.is_empty(), "what cannot be scored is a problem: {whole:?}");
    if let Ok(mut reader) = RowReader::open(&input, None, bytes.len().is_multiple_of(2)) {
        while let Ok(Some(rows)) = reader.step() {
            assert_eq!(rows.wholes["id_lengths"].iter().sum::<i64>(), rows.ids.len() as i64);
            assert_eq!(rows.wholes["document_lengths"].iter().sum::<i64>(), rows.flags["gold"].len() as i64);
        }
    }
});
