//! What is wrong with a file, and where.

use std::fmt;
use std::path::Path;

/// How much of a value a message shows.
const SHOWN: usize = 200;

/// What is wrong with a value: which field, what was found there, what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The way to the field, as in `rationales[0].docid`, or `column 37` where the text is not JSON.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// A result of reading or checking a value.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// A fault of the value that is looked at; the callers add the way to it.
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: String::new(), found: found.into(), expected: expected.into() }
    }

    /// The same fault, seen from the object that holds the field `name`.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{name}{dot}{}", self.field);
        self
    }

    /// The same fault, seen from the list that holds it at `index`.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

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
        let [field, found, expected] = [fault.field, fault.found, fault.expected].map(cut);
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

/// The problems found so far, up to a limit.
#[derive(Debug)]
pub struct Problems {
    /// Problems in the order of the files.
    pub found: Vec<Problem>,
    /// How many are enough.
    pub limit: usize,
}

impl Problems {
    /// Nothing found yet, and the first problem is enough.
    #[must_use]
    pub fn one() -> Self {
        Self { found: Vec::new(), limit: 1 }
    }

    /// Notes a problem; an error once there are enough.
    pub fn note(&mut self, problem: Problem) -> Result<(), Problem> {
        self.found.push(problem.clone());
        if self.found.len() < self.limit { Ok(()) } else { Err(problem) }
    }
}
