//! The documents of an ERASER folder: how many tokens and sentences each has. Their text is not kept.
//!
//! `docs.jsonl` and `docs/` count differently, as the reference scorer does. Both split a line at single spaces after
//! taking white space off its ends; files in `docs/` drop blank lines and empty tokens, `docs.jsonl` keeps them, so
//! that `a  b` has three tokens and an empty last line adds one.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::eraser::json::{Fault, Outcome, Parser};
use crate::eraser::lines::{self, Parsed, Sizes};
use crate::eraser::problem::Problem;
use crate::eraser::table::{self, Table};

/// Lengths of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Number of tokens.
    pub tokens: usize,
    /// Number of sentences (lines).
    pub sentences: usize,
}

/// The documents of a data folder.
#[derive(Debug)]
pub enum Docs {
    /// Those of `docs.jsonl`, counted beforehand.
    Counted(Table),
    /// One file a document, read when asked for.
    Folder(PathBuf),
}

impl Docs {
    /// Finds `docs.jsonl` (also compressed) or `docs/` in a data folder. To be called inside a thread pool.
    ///
    /// `problem` is called for each bad line; it returns the error that ends the reading.
    pub fn open(
        data_dir: &Path,
        sizes: Sizes,
        problem: impl FnMut(Problem) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let (file, folder) = (lines::find(&data_dir.join("docs.jsonl")), data_dir.join("docs"));
        match (file, folder.is_dir()) {
            (Some(file), false) => Ok(Self::Counted(count_all(&file, sizes, problem)?)),
            (None, true) => Ok(Self::Folder(folder)),
            (found, _) => {
                let found = if found.is_some() { "both docs.jsonl and docs/" } else { "neither" };
                Err(Problem::new(data_dir, None, Fault::new(found, "docs.jsonl or docs/")))
            }
        }
    }

    /// The lengths of a document; a fault where there is no such document or it is no text.
    pub fn lengths(&self, docid: &str) -> Outcome<Lengths> {
        let unknown = || Fault::new(format!("{docid:?}"), "the name of a document in the data folder");
        match self {
            Self::Counted(table) => {
                let mut record = table.get(docid.as_bytes()).ok_or_else(unknown)?.record;
                let mut next = || table::take(&mut record).and_then(|n| usize::try_from(n).ok());
                Ok(Lengths { tokens: next().ok_or_else(unknown)?, sentences: next().ok_or_else(unknown)? })
            }
            Self::Folder(folder) => {
                let outside = || Fault::new(format!("{docid:?}"), "the name of a file in docs/");
                let path = inside(folder, docid).ok_or_else(outside)?;
                let bytes = fs::read(&path)
                    .map_err(|error| Fault::new(format!("{docid:?} ({error})"), "the name of a file in docs/"))?;
                let text = lines::as_text(&bytes).map_err(|fault| {
                    Fault::new(format!("{docid:?} with {} in {}", fault.found, fault.field), "a document in UTF-8")
                })?;
                Ok(count_file(text))
            }
        }
    }
}

/// The file of a document, which may lie in a folder of `docs/` but never outside it, and is no device or pipe.
fn inside(folder: &Path, docid: &str) -> Option<PathBuf> {
    let plain = |part| matches!(part, Component::Normal(_));
    let path = folder.join(docid);
    (!docid.is_empty() && Path::new(docid).components().all(plain) && (!path.exists() || path.is_file()))
        .then_some(path)
}

fn count_all(
    file: &Path,
    sizes: Sizes,
    mut problem: impl FnMut(Problem) -> Result<(), Problem>,
) -> Result<Table, Problem> {
    let mut docs = Table::default();
    lines::stream(file, sizes, count_block, |lines_before, block: Block| {
        let mut entries = block.entries.as_slice();
        while let (Some(docid), Some(record)) = (table::take_bytes(&mut entries), table::take_bytes(&mut entries)) {
            if !docs.set(docid, record) {
                return Err(Problem::new(file, None, Fault::new(table::TOO_MANY, "fewer documents")));
            }
        }
        block
            .faults
            .into_iter()
            .try_for_each(|(line, fault)| problem(Problem::new(file, Some(lines_before + line), fault)))
    })?;
    Ok(docs)
}

/// The documents of a block of lines.
#[derive(Default)]
struct Block {
    /// For each document its name and its record.
    entries: Vec<u8>,
    faults: Vec<(u64, Fault)>,
}

fn count_block(block: &[u8]) -> Parsed<Block> {
    let (mut lines, mut outcome) = (0, Block::default());
    let (mut text, mut record) = (String::new(), Vec::new());
    for line in lines::split(block) {
        lines += 1;
        match count_line(line, &mut text) {
            Ok((docid, lengths)) => {
                record.clear();
                table::put(&mut record, lengths.tokens as u64);
                table::put(&mut record, lengths.sentences as u64);
                table::put_bytes(&mut outcome.entries, docid.as_bytes());
                table::put_bytes(&mut outcome.entries, &record);
            }
            Err(fault) => outcome.faults.push((lines, fault)),
        }
    }
    Parsed { lines, outcome }
}

fn count_line(line: &[u8], text: &mut String) -> Outcome<(String, Lengths)> {
    let (mut docid, mut lengths) = (None, None);
    Parser::whole_object(lines::as_text(line)?, |p, key| {
        match key.as_ref() {
            "docid" => docid = Some(p.string()?.into_owned()),
            "document" => {
                p.text_into(text)?;
                lengths = Some(count_document(text));
            }
            _ => p.skip()?,
        }
        Ok(())
    })?;
    let missing = |field: &str| Fault::new("nothing", "text").within(field);
    Ok((docid.ok_or_else(|| missing("docid"))?, lengths.ok_or_else(|| missing("document"))?))
}

/// Lengths of a document of `docs.jsonl`: blank lines and empty tokens count.
fn count_document(text: &str) -> Lengths {
    let mut lengths = Lengths::default();
    for line in text.split('\n') {
        lengths.sentences += 1;
        lengths.tokens += line.trim_matches(is_space).bytes().filter(|&b| b == b' ').count() + 1;
    }
    lengths
}

/// Lengths of a file in `docs/`: blank lines and empty tokens do not count. A lone carriage return ends a line.
fn count_file(text: &str) -> Lengths {
    let mut lengths = Lengths::default();
    for line in text.split(['\n', '\r']).map(|line| line.trim_matches(is_space)).filter(|line| !line.is_empty()) {
        lengths.sentences += 1;
        lengths.tokens += line.split(' ').filter(|token| !token.is_empty()).count();
    }
    lengths
}

/// White space as Python's `str.strip` sees it: four control characters more than Unicode's property has.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_docs_jsonl_keeps_empty_tokens_and_blank_lines() {
        assert_eq!(count_document("a  b"), Lengths { tokens: 3, sentences: 1 });
        assert_eq!(count_document("a b\n"), Lengths { tokens: 3, sentences: 2 });
        assert_eq!(count_document(""), Lengths { tokens: 1, sentences: 1 });
        assert_eq!(count_document(" \u{a0}a\tb\u{1c} \n c "), Lengths { tokens: 2, sentences: 2 });
    }

    #[test]
    fn a_file_drops_them() {
        assert_eq!(count_file("a  b"), Lengths { tokens: 2, sentences: 1 });
        assert_eq!(count_file("a b\r\n\n \u{a0}\nc\rd"), Lengths { tokens: 4, sentences: 3 });
        assert_eq!(count_file("a \t b"), Lengths { tokens: 3, sentences: 1 });
        assert_eq!(count_file(""), Lengths::default());
    }

    #[test]
    fn a_name_stays_inside_the_folder() {
        let folder = Path::new("rust");
        for name in ["../Cargo.toml", "eraser/../../Cargo.toml", "/etc/hostname", "", ".", "./lib.rs", "eraser"] {
            assert_eq!(inside(folder, name), None, "{name}");
        }
        assert_eq!(inside(folder, "eraser/mod.rs"), Some(folder.join("eraser/mod.rs")));
        assert!(
            Docs::Folder(folder.to_owned()).lengths("../Cargo.toml").is_err_and(|f| f.found == "\"../Cargo.toml\"")
        );
    }

    #[test]
    fn the_last_of_equal_fields_wins() {
        let found = count_line(
            br#"{"docid": "x", "document": "a", "docid": "y", "more": [1, {"a": null}]}"#,
            &mut String::new(),
        );
        assert_eq!(found, Ok(("y".to_owned(), Lengths { tokens: 1, sentences: 1 })));
    }
}
