//! Tests of the reader as a whole: where it cuts, what it accepts, and that no bytes bring it down.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::json;
use super::lines::{self, Sizes};
use super::{Input, Options};
use crate::error::{Error, Result};
use crate::problem::{Fault, Problem, Problems};

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("unirex-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        assert!(fs::create_dir_all(&path).is_ok());
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        assert!(fs::write(&path, bytes).is_ok());
        path
    }

    fn input(&self) -> Input {
        Input {
            results: vec![self.0.join("results.jsonl")],
            part: None,
            data_dir: self.0.clone(),
            split: "test".to_owned(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(sizes: Sizes) -> Options {
    Options { iou_thresholds: vec![0.1, 0.5], aopc_thresholds: Some(vec![0.1]), sizes }
}

/// Documents, annotations and results of some instances with all kinds of fields.
fn world(instances: usize) -> [(&'static str, String); 3] {
    let (mut docs, mut annotations, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..instances {
        let (n, class) = (i % 7 + 3, if i % 3 == 1 { "né\\u00e9" } else { "b" });
        let scores: Vec<String> = (0..n).map(|t| format!("0.{}", (t * t + i) % 9)).collect();
        docs.push(format!("{{\"docid\": \"d{i}\", \"document\": \"{}\"}}\n", vec!["w"; n].join(" ")));
        annotations.push(format!(
            "{{\"annotation_id\": \"d{i}\", \"classification\": \"{class}\", \"query\": \"\", \"evidences\": \
             [[{{\"text\": \"\", \"docid\": \"d{i}\", \"start_token\": {}, \"end_token\": {n}}}]]}}\n",
            i % 3
        ));
        results.push(format!(
            "{{\"annotation_id\": \"d{i}\", \"classification\": \"b\", \"classification_scores\": {{\"b\": 0.7, \
             \"n\": 0.3}}, \"comprehensiveness_classification_scores\": {{\"b\": 0.2, \"n\": 0.8}}, \
             \"sufficiency_classification_scores\": {{\"b\": 0.5, \"n\": 0.5}}, \"thresholded_scores\": [{{\"threshold\": 0.1, \
             \"comprehensiveness_classification_scores\": {{\"b\": 0.{i}, \"n\": {}}}, \
             \"sufficiency_classification_scores\": {{\"b\": 1e-{}, \"n\": 1}}}}], \"rationales\": [{{\"docid\": \"d{i}\", \
             \"hard_rationale_predictions\": [{{\"start_token\": 0, \"end_token\": {}}}], \
             \"soft_rationale_predictions\": [{}]}}]}}\n",
            1.0 - format!("0.{i}").parse::<f64>().unwrap_or_default(),
            i + 3,
            i % 3 + 1,
            scores.join(", ")
        ));
    }
    [("docs.jsonl", docs.concat()), ("test.jsonl", annotations.concat()), ("results.jsonl", results.concat())]
}

fn score(input: &Input, options: Options, threads: Option<usize>) -> Result<super::Scores> {
    let mut scorer = super::EraserScorer::open(input, options, threads)?;
    while scorer.step()? {}
    scorer.scores()
}

/// What is wrong with every line of a file, whatever it holds.
fn collect(path: &Path, sizes: Sizes) -> std::result::Result<Vec<Problem>, Problem> {
    let mut problems = Problems { found: Vec::new(), limit: usize::MAX };
    lines::each(path, sizes, &mut problems, |(): &mut (), _| Err(no_fault()), drop)?;
    Ok(problems.found)
}

fn no_fault() -> Fault {
    Fault::new("an object", "no such thing")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes)?;
    out.finish()
}

#[test]
fn parts_scored_apart_come_to_the_same() -> Result<()> {
    let folder = Folder::new();
    let [docs, annotations, (_, results)] = world(9);
    for (name, text) in [docs, annotations] {
        folder.write(name, text.as_bytes());
    }
    let rows: Vec<&str> = results.split_inclusive('\n').collect();
    let input = |part: Option<Vec<PathBuf>>| {
        let results = (0..3).map(|i| folder.0.join(format!("{i}.jsonl"))).collect();
        Input { results, part, ..folder.input() }
    };
    let part_of = |i: usize| Some(vec![folder.0.join(format!("{i}.jsonl"))]);
    for (i, part) in rows.chunks(4).enumerate() {
        folder.write(&format!("{i}.jsonl"), part.concat().as_bytes());
    }
    let expected = score(&input(None), options(Sizes::default()), None)?;
    let open = |part| super::EraserScorer::open(&input(part), options(Sizes::default()), None);
    let mut whole = open(Some(Vec::new()))?;
    for i in [2, 0, 1] {
        let mut scorer = open(part_of(i))?;
        while scorer.step()? {}
        let bytes = scorer.part()?;
        whole.merge_part(&bytes)?;
        assert!(matches!(whole.merge_part(&bytes), Err(Error::Input(_))), "a part counts once");
        assert!(whole.merge_part(bytes.get(1..).unwrap_or_default()).is_err(), "a part is whole");
    }
    assert_eq!(whole.scores()?, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_are_the_same_wherever_they_are_cut(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
        batch in 1_usize..500,
        block in 1_usize..100,
    ) {
        let whole: Vec<u8> = text.iter().map(|&b| char::from(b)).collect::<String>()
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .chars()
            .map(|c| c as u8)
            .collect();
        let mut expected: Vec<&[u8]> = whole.split(|&b| b == b'\n').collect();
        if expected.last().is_some_and(|last| last.is_empty()) {
            expected.pop();
        }
        let folder = Folder::new();
        let (first, second) = text.split_at(text.len() / 2);
        let frames = [zstd(first), vec![0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7], zstd(second)].concat();
        let members = [gzip(first)?, gzip(second)?].concat();
        let plain_is_compressed = text.starts_with(&[0x1f, 0x8b]) || text.starts_with(&[0x28, 0xb5]);
        for (name, bytes) in [("plain", text.clone()), ("gzip", members), ("zstd", frames)] {
            if name == "plain" && plain_is_compressed {
                continue;
            }
            let path = folder.write(name, &bytes);
            let wrong = |line: &[u8]| json::read(line, &mut json::Scratch::new(), |_| Ok(no_fault())).unwrap_or_else(|f| f);
            let expected = (1..).zip(&expected).map(|(i, line)| Problem::new(&path, Some(i), wrong(line))).collect();
            prop_assert_eq!(collect(&path, Sizes { batch, block }), Ok(expected), "{}", name);
        }
    }

    #[test]
    fn scores_and_errors_are_the_same_wherever_lines_are_cut(
        instances in 1_usize..9,
        batch in 1_usize..3000,
        block in 1_usize..1000,
        spoiled in prop::option::of(0_usize..9),
    ) {
        let folder = Folder::new();
        for (name, text) in world(instances) {
            let spoiled = spoiled.filter(|_| name == "results.jsonl");
            let text = spoiled.map_or(text.clone(), |i| text.replace(&format!("\"docid\": \"d{i}\""), "\"docid\": \"?\""));
            folder.write(name, text.as_bytes());
        }
        let whole = score(&folder.input(), options(Sizes::default()), Some(1));
        let cut = score(&folder.input(), options(Sizes { batch, block }), Some(2));
        if let (Err(error), Some(i)) = (&whole, spoiled) {
            let place = format!("results.jsonl:{}: rationales[0].docid: found \"?\"", i + 1);
            prop_assert!(error.to_string().contains(&place), "{error}");
        }
        prop_assert_eq!(whole.is_err(), spoiled.is_some_and(|i| i < instances));
        // As text, where NaN equals NaN.
        prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
    }
}

#[test]
fn damaged_compressed_files_are_refused() -> Result<()> {
    let folder = Folder::new();
    for (name, text) in world(200) {
        folder.write(name, text.as_bytes());
    }
    let expected = score(&folder.input(), options(Sizes::default()), Some(1))?;
    let text = fs::read(folder.0.join("results.jsonl")).unwrap_or_default();
    for compressed in [zstd(&text), gzip(&text).unwrap_or_default()] {
        folder.write("results.jsonl", &compressed);
        assert_eq!(score(&folder.input(), options(Sizes::default()), Some(1)), Ok(expected.clone()));
        folder.write("results.jsonl", compressed.split_at(compressed.len() / 2).0);
        assert!(matches!(score(&folder.input(), options(Sizes::default()), Some(1)), Err(Error::Input(_))));
    }
    Ok(())
}

#[test]
fn annotations_of_one_id_are_one() -> Result<()> {
    let folder = Folder::new();
    for (name, text) in world(9) {
        folder.write(name, text.as_bytes());
    }
    let once = score(&folder.input(), options(Sizes::default()), None)?;
    let annotations = fs::read_to_string(folder.0.join("test.jsonl")).unwrap_or_default();
    folder.write("test.jsonl", format!("{annotations}{annotations}").as_bytes());
    let twice = score(&folder.input(), options(Sizes { batch: 500, block: 300 }), Some(2))?;
    assert_eq!((twice.hard, twice.ranks, twice.points), (once.hard, once.ranks, once.points));
    assert_eq!(twice.classes.map(|(accuracy, ..)| accuracy), once.classes.map(|(accuracy, ..)| accuracy));
    Ok(())
}
