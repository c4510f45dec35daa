//! Results in the format of the ERASER benchmark: read as a stream, checked, and scored as its own scorer does.
//!
//! From bytes to scores: [`source`] (decompression) → [`lines`] (blocks of lines, in parallel) → [`json`] →
//! [`instance`], [`annotations`], [`docs`] → [`score`] with [`hard`], [`classes`] and [`tally`] → [`report`]. What is
//! kept for the whole run is a few dozen bytes an annotation and a document, in a [`table`].

pub mod annotations;
pub mod check;
pub mod classes;
pub mod docs;
pub mod hard;
pub mod instance;
pub mod json;
pub mod lines;
pub mod problem;
pub mod report;
pub mod rows;
pub mod score;
pub mod source;
pub mod spans;
pub mod sum;
pub mod table;
pub mod tally;
#[cfg(test)]
mod tests;
mod work;

use crate::error::Result;
use crate::pool;

pub use problem::Problem;
pub use rows::{RowReader, Rows};
pub use score::{Input, Options};

/// The scores of results as JSON in the reference scorer's structure, or the first problem.
pub fn score(input: &Input, options: &Options, threads: Option<usize>) -> Result<String> {
    pool::run(threads, || {
        let mut problems = score::Problems { found: Vec::new(), limit: 1 };
        Ok(report::json(&score::score(input, options, &mut problems)?, options))
    })
}

/// What is wrong with results, annotations and documents, in their order, at most `limit` problems.
pub fn validate(input: &Input, options: &Options, limit: usize, threads: Option<usize>) -> Result<Vec<Problem>> {
    pool::run(threads, || {
        let mut problems = score::Problems { found: Vec::new(), limit: limit.max(2) };
        if let Err(last) = score::score(input, options, &mut problems)
            && problems.found.last() != Some(&last)
        {
            problems.found.push(last);
        }
        problems.found.truncate(limit);
        Ok(problems.found)
    })
}
