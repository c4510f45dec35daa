//! Results in the format of the ERASER benchmark: read as a stream, checked, and scored as its own scorer does.
//!
//! From bytes to scores: [`source`] (decompression) → [`lines`] (blocks of lines, in parallel) → [`json`] →
//! [`instance`], [`annotations`], [`docs`] → [`score`] with [`hard`], [`classes`] and [`tally`] → [`report`]. What is
//! kept for the whole run is a few dozen bytes an annotation and a document, in a [`table`].

pub mod annotations;
pub mod check;
pub mod classes;
pub mod demands;
pub mod docs;
pub mod evidence;
pub mod hard;
pub mod instance;
pub mod join;
pub mod json;
pub mod lines;
pub mod matching;
pub mod part;
pub mod probabilities;
pub mod problem;
pub mod report;
pub mod rows;
pub mod score;
pub mod seen;
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

use annotations::{Annotations, Reading};
use docs::Docs;
use lines::Sizes;
use probabilities::Odd;
use score::{Problems, Scorer};

pub use join::RowReader;
pub use problem::Problem;
pub use rows::{Rows, Shape};
pub use score::{Input, Options};

/// Scores results batch by batch, by the conventions of the benchmark's own scorer.
pub struct EraserScorer {
    scorer: Scorer,
    problems: Problems,
    threads: Option<usize>,
}

impl EraserScorer {
    /// Reads documents and annotations.
    pub fn open(input: &Input, options: Options, threads: Option<usize>) -> Result<Self> {
        let mut problems = Problems { found: Vec::new(), limit: 1 };
        let scorer = pool::run(threads, || Ok(Scorer::open(input, options, &mut problems)?))?;
        Ok(Self { scorer, problems, threads })
    }

    /// Scores the next batch; false at the end. The error is the first problem.
    pub fn step(&mut self) -> Result<bool> {
        pool::run(self.threads, || Ok(self.scorer.step(&mut self.problems)?))
    }

    /// Instances scored, and annotations there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.scorer.progress()
    }

    /// In how many of the instances scored the class scores are odd, which changes no score.
    #[must_use]
    pub fn odd(&self) -> Odd {
        self.scorer.odd()
    }

    /// What the files read so far add up to, for [`EraserScorer::merge_part`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>> {
        Ok(self.scorer.part()?)
    }

    /// Adds what a scorer of other files of the same results came to.
    pub fn merge_part(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.scorer.merge(bytes)?)
    }

    /// The scores as JSON in the reference scorer's structure, once nothing is left.
    pub fn json(&mut self) -> Result<String> {
        pool::run(self.threads, || Ok(report::json(&self.scorer.finish(&mut self.problems)?)))
    }
}

/// What is wrong with results, annotations and documents, in their order, at most `limit` problems.
///
/// Without results only annotations and documents are looked at.
pub fn validate(input: &Input, options: Options, limit: usize, threads: Option<usize>) -> Result<Vec<Problem>> {
    let mut found = pool::run(threads, || {
        let mut problems = Problems { found: Vec::new(), limit: limit.max(2) };
        let sizes = options.sizes;
        let ended = if input.results.is_empty() {
            validate_data(input, sizes, &mut problems)
        } else {
            validate_results(input, options, &mut problems)
        };
        if let Err(last) = ended
            && problems.found.last() != Some(&last)
        {
            problems.found.push(last);
        }
        Ok(problems.found)
    })?;
    found.truncate(limit);
    Ok(found)
}

fn validate_data(input: &Input, sizes: Sizes, problems: &mut Problems) -> std::result::Result<(), Problem> {
    let docs = Docs::open(&input.data_dir, sizes, |problem| problems.note(problem))?;
    let note = |problem| problems.note(problem);
    let reading = Reading { docs: Some(&docs), ..Reading::default() };
    Annotations::open(&input.data_dir, &input.split, reading, sizes, note).map(drop)
}

fn validate_results(input: &Input, options: Options, problems: &mut Problems) -> std::result::Result<(), Problem> {
    let mut scorer = Scorer::open(input, options, problems)?;
    while scorer.step(problems)? {}
    scorer.finish(problems).map(drop)
}
