//! The documents of an ERASER folder: how many tokens and sentences each has. Their text is not kept.
//!
//! `docs.jsonl` and `docs/` count differently, as the reference scorer does. Both split a line at single spaces after
//! taking white space off its ends; files in `docs/` drop blank lines and empty tokens, `docs.jsonl` keeps them, so
//! that `a  b` has three tokens and an empty last line adds one.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::align::is_space;
use crate::eraser::json::{self, Object, Value};
use crate::eraser::lines::{self, Sizes};
use crate::problem::{Fault, Outcome, Problem, Problems};

/// Lengths of a document. No line is long enough to hold more than 32 bits of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Number of tokens.
    pub tokens: u32,
    /// Number of sentences (lines).
    pub sentences: u32,
}

/// The documents of a data folder.
#[derive(Debug)]
pub enum Docs {
    /// Those of `docs.jsonl`, counted beforehand.
    Counted(HashMap<Box<str>, Lengths>),
    /// One file a document, read when asked for.
    Folder(PathBuf),
}

impl Docs {
    /// Finds `docs.jsonl` (also compressed) or `docs/` in a data folder. To be called inside a thread pool.
    pub fn open(data_dir: &Path, sizes: Sizes, problems: &mut Problems) -> Result<Self, Problem> {
        let (file, folder) = (lines::find(&data_dir.join("docs.jsonl")), data_dir.join("docs"));
        match (file, folder.is_dir()) {
            (Some(file), false) => {
                let mut docs = HashMap::new();
                let take = |found: &mut Vec<_>, fields: Object<'_, '_>| {
                    found.push(count_line(fields)?);
                    Ok(())
                };
                lines::each(&file, sizes, problems, take, |found| docs.extend(found))?;
                Ok(Self::Counted(docs))
            }
            (None, true) => Ok(Self::Folder(folder)),
            (found, _) => {
                let found = if found.is_some() { "both docs.jsonl and docs/" } else { "neither" };
                Err(Problem::new(data_dir, None, Fault::new(found, "docs.jsonl or docs/")))
            }
        }
    }

    /// The lengths of a document; a fault where there is no such document or it is no text.
    pub fn lengths(&self, docid: &str) -> Outcome<Lengths> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Counted(docs) => {
                let unknown = || Fault::new(format!("{docid:?}"), "the name of a document in the data folder");
                return docs.get(docid).copied().ok_or_else(unknown);
            }
        };
        let no_file = |found| Fault::new(found, "the name of a file in docs/");
        let path = inside(folder, docid).ok_or_else(|| no_file(format!("{docid:?}")))?;
        let bytes = fs::read(&path).map_err(|error| no_file(format!("{docid:?} ({error})")))?;
        let no_text =
            |f: Fault| Fault::new(format!("{docid:?} with {} in {}", f.found, f.field), "a document in UTF-8");
        Ok(count_file(json::as_text(&bytes).map_err(no_text)?))
    }
}

/// The file of a document, which may lie in a folder of `docs/` but never outside it, and is no device or pipe.
fn inside(folder: &Path, docid: &str) -> Option<PathBuf> {
    let plain = |part| matches!(part, Component::Normal(_));
    let path = folder.join(docid);
    (!docid.is_empty() && Path::new(docid).components().all(plain) && (!path.exists() || path.is_file()))
        .then_some(path)
}

fn count_line(fields: Object<'_, '_>) -> Outcome<(Box<str>, Lengths)> {
    let docid = fields.need("docid", "text", json::text)?;
    let count = |value: &Value<'_>| match value {
        Value::Str(text) => Ok(count_document(text)),
        _ => Err(json::wrong(value, "text")),
    };
    Ok((docid.into(), fields.need("document", "text", count)?))
}

/// The line as Python's `str.strip` leaves it.
fn strip(line: &str) -> &str {
    line.trim_matches(|c: char| is_space(c.into()))
}

/// Lengths of a document of `docs.jsonl`: blank lines and empty tokens count.
fn count_document(text: &str) -> Lengths {
    let mut lengths = Lengths::default();
    for line in text.split('\n') {
        lengths.sentences += 1;
        lengths.tokens += strip(line).bytes().filter(|&b| b == b' ').count() as u32 + 1;
    }
    lengths
}

/// Lengths of a file in `docs/`: blank lines and empty tokens do not count. A lone carriage return ends a line.
fn count_file(text: &str) -> Lengths {
    let mut lengths = Lengths::default();
    for line in text.split(['\n', '\r']).map(strip).filter(|line| !line.is_empty()) {
        lengths.sentences += 1;
        lengths.tokens += line.split(' ').filter(|token| !token.is_empty()).count() as u32;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_the_folder() {
        let folder = Path::new("rust");
        for name in ["../Cargo.toml", "eraser/../../Cargo.toml", "/etc/hostname", "", ".", "./lib.rs", "eraser"] {
            assert_eq!(inside(folder, name), None, "{name}");
        }
        assert_eq!(inside(folder, "eraser/mod.rs"), Some(folder.join("eraser/mod.rs")));
    }
}
