//! Tests of the reader as a whole: where it cuts, what it accepts, and that no bytes bring it down.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::lines::{self, Sizes};
use super::{Input, Options};
use crate::error::{Error, Result};
use crate::problem::{Problem, Problems};

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

fn score(input: &Input, options: Options, threads: Option<usize>) -> Result<String> {
    let mut scorer = super::EraserScorer::open(input, options, threads)?;
    while scorer.step()? {}
    Ok(format!("{:?}", scorer.scores()?))
}

fn collect(path: &Path, sizes: Sizes) -> std::result::Result<Vec<Vec<u8>>, Problem> {
    let mut found = Vec::new();
    let take = |lines: &mut Vec<Vec<u8>>, line: super::json::Line<'_, '_>, _: &mut dyn FnMut(_)| {
        lines.push(line.bytes.to_vec());
    };
    lines::each(path, sizes, &mut Problems::one(), take, |lines| found.extend(lines))?;
    Ok(found)
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
    assert_eq!(format!("{:?}", whole.scores()?), expected);
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
        let expected: Vec<Vec<u8>> = expected.into_iter().map(<[u8]>::to_vec).collect();
        let folder = Folder::new();
        let (first, second) = text.split_at(text.len() / 2);
        let frames = [zstd(first), vec![0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7], zstd(second)].concat();
        let members = [gzip(first)?, gzip(second)?].concat();
        let plain_is_compressed = text.starts_with(&[0x1f, 0x8b]) || text.starts_with(&[0x28, 0xb5]);
        for (name, bytes) in [("plain", text.clone()), ("gzip", members), ("zstd", frames)] {
            if name == "plain" && plain_is_compressed {
                continue;
            }
            let found = collect(&folder.write(name, &bytes), Sizes { batch, block });
            prop_assert_eq!(found.as_ref(), Ok(&expected), "{}", name);
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
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn hostile_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        at in any::<prop::sample::Index>(),
        which in 0_usize..3,
        swap in any::<bool>(),
    ) {
        let folder = Folder::new();
        for (i, (name, text)) in world(3).into_iter().enumerate() {
            let mut text = text.into_bytes();
            if i == which {
                let at = at.index(text.len());
                let end = if swap { (at + bytes.len()).min(text.len()) } else { at };
                text.splice(at..end, bytes.clone());
            }
            folder.write(name, &text);
        }
        if let Err(error) = score(&folder.input(), options(Sizes { batch: 64, block: 16 }), Some(1)) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
        let problems = super::validate(&folder.input(), options(Sizes::default()), 5, Some(1))?;
        prop_assert!(problems.len() <= 5);
    }
}

#[test]
fn bytes_that_are_no_text_are_named_by_file_and_line() {
    let folder = Folder::new();
    for (name, text) in world(3) {
        let text = text.into_bytes();
        let at = text.iter().rposition(|&b| b == b'd').unwrap_or_default();
        let mut bad = text.clone();
        bad.splice(at..=at, [0xff]);
        folder.write(name, if name == "results.jsonl" { &bad } else { &text });
    }
    let error = score(&folder.input(), options(Sizes::default()), Some(1)).err().map(|e| e.to_string());
    assert!(
        error.is_some_and(|e| e.contains("results.jsonl:3: column ") && e.ends_with("found byte 0xff, expected UTF-8"))
    );
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
fn validating_goes_on_after_a_bad_line() -> Result<()> {
    let folder = Folder::new();
    for (name, text) in world(6) {
        let text = match name {
            "results.jsonl" => {
                text.replacen("{\"annotation_id\": \"d0\"", "{", 1).replace("\"end_token\": 3", "\"end_token\": 99")
            }
            "test.jsonl" => text.replacen("\"end_token\": 4", "\"end_token\": 99", 1) + "oops\n",
            _ => text,
        };
        folder.write(name, text.as_bytes());
    }
    let found = super::validate(&folder.input(), options(Sizes::default()), 100, Some(2))?;
    let places: Vec<(String, Option<u64>)> =
        found.iter().map(|p| (p.path.rsplit('/').next().unwrap_or_default().to_owned(), p.line)).collect();
    let expected =
        [("test.jsonl", 2), ("test.jsonl", 7), ("results.jsonl", 1), ("results.jsonl", 3), ("results.jsonl", 6)];
    assert_eq!(
        places.get(..5),
        Some(expected.map(|(name, line)| (name.to_owned(), Some(line))).as_slice()),
        "{found:?}"
    );
    assert_eq!(super::validate(&folder.input(), options(Sizes::default()), 2, Some(2))?.len(), 2);
    Ok(())
}

#[test]
fn annotations_of_one_id_are_one_and_cost_no_more_than_their_lines() -> Result<()> {
    const REPEATS: usize = 3000;
    let folder = Folder::new();
    folder.write(
        "docs.jsonl",
        format!("{{\"docid\": \"d\", \"document\": \"{}\"}}\n", vec!["w"; REPEATS].join(" ")).as_bytes(),
    );
    let line = |i: usize| {
        format!(
            "{{\"annotation_id\": \"a\", \"classification\": \"{}\", \"query\": \"\", \"evidences\": [[{{\"text\": \"\", \
             \"docid\": \"d\", \"start_token\": {}, \"end_token\": {}}}]]}}\n",
            ["x", "y", "y"][i % 3],
            i / 2,
            i / 2 + 1
        )
    };
    folder.write("test.jsonl", (0..REPEATS).map(line).collect::<String>().as_bytes());
    let scores = (0..REPEATS).map(|i| if i < REPEATS / 2 { "1" } else { "0" }).collect::<Vec<_>>().join(", ");
    let result = format!(
        "{{\"annotation_id\": \"a\", \"classification\": \"x\", \"classification_scores\": {{\"x\": 1}}, \"rationales\": \
         [{{\"docid\": \"d\", \"hard_rationale_predictions\": [{{\"start_token\": 0, \"end_token\": 1}}], \
         \"soft_rationale_predictions\": [{scores}]}}]}}\n"
    );
    folder.write("results.jsonl", result.as_bytes());
    let sizes = Sizes { batch: 1000, block: 300 };
    let found = score(&folder.input(), options(sizes), Some(2))?;
    // Half of the tokens are gold, each of them marked twice; a third of the annotations has the predicted class.
    for part in [
        "(\"auprc\", Number(1.0))",
        "(\"accuracy\", Number(0.3333333333333333))",
        "(\"micro\", Object([(\"p\", Number(1.0)), (\"r\", Number(0.0006666666666666666))",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    Ok(())
}
