//! What is wrong with an input, and where.

use std::fmt;
use std::path::Path;

use crate::eraser::json::Fault;

/// How much of a value a message shows.
const SHOWN: usize = 200;

/// One thing wrong with a file: shown as `file:line: field: found X, expected Y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: String,
    /// The line, counted from 1; none where no one line is at fault.
    pub line: Option<u64>,
    /// The field, as in `rationales[0].docid`.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Problem {
    /// A fault and the place where it is.
    #[must_use]
    pub fn new(path: &Path, line: Option<u64>, fault: Fault) -> Self {
        let Fault { field, found, expected, .. } = fault;
        let [field, found, expected] = [field, found, expected].map(cut);
        Self { path: path.display().to_string(), line, field, found, expected }
    }
}

/// Text of at most [`SHOWN`] characters: an id of ten megabytes makes no message of ten megabytes.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.path)?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        if !self.field.is_empty() {
            write!(out, " {}:", self.field)?;
        }
        write!(out, " found {}, expected {}", self.found, self.expected)
    }
}

impl std::error::Error for Problem {}
