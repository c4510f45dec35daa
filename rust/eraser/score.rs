//! The scores of results by the conventions of the ERASER benchmark's own scorer, from one pass over the file.
//!
//! What is computed is decided by the first instance alone, as there; what makes that scorer fail is a [`Problem`].

use std::path::PathBuf;

use crate::eraser::annotations::Annotations;
use crate::eraser::check::{Checker, Profile};
use crate::eraser::classes::Wanted;
use crate::eraser::docs::Docs;
use crate::eraser::instance::Instance;
use crate::eraser::json::Fault;
use crate::eraser::lines::{self, Sizes};
use crate::eraser::problem::Problem;
use crate::eraser::tally::Tally;
use crate::eraser::work::Work;

/// What to score.
#[derive(Debug, Clone)]
pub struct Input {
    /// Files of results, taken as one.
    pub results: Vec<PathBuf>,
    /// Folder of the annotations and documents.
    pub data_dir: PathBuf,
    /// Name of the annotation file without its ending.
    pub split: String,
}

/// How to score.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Intersections over union from which spans match.
    pub iou_thresholds: Vec<f64>,
    /// Thresholds of `thresholded_scores` to average over; none = whichever there are, for checking alone.
    pub aopc_thresholds: Option<Vec<f64>>,
    /// How much is read and parsed at a time.
    pub sizes: Sizes,
}

/// What is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Blocks {
    /// Scores of hard rationales.
    pub hard: bool,
    /// Scores of token scores.
    pub soft: bool,
    /// Scores of sentence scores.
    pub sentences: bool,
    /// Scores of classes.
    pub classes: bool,
    /// Of those, the ones that need class scores.
    pub wanted: Wanted,
    /// The share of tokens to flip, which is computed and not shown.
    pub tokens_to_flip: bool,
}

/// Everything that was found.
#[derive(Debug)]
pub struct Scored {
    /// What the first instance asked for.
    pub blocks: Blocks,
    /// What it adds up to.
    pub tally: Tally,
    /// Names of the classes, in the order of their counts.
    pub classes: Vec<String>,
}

/// The problems found so far, up to a limit.
#[derive(Debug)]
pub struct Problems {
    /// Problems in the order of the files.
    pub found: Vec<Problem>,
    /// How many are enough.
    pub limit: usize,
}

impl Problems {
    /// Notes a problem; an error once there are enough.
    pub fn note(&mut self, problem: Problem) -> Result<(), Problem> {
        self.found.push(problem.clone());
        if self.found.len() < self.limit { Ok(()) } else { Err(problem) }
    }
}

/// Scores results, noting what is wrong with them. To be called inside a thread pool.
///
/// The scores mean something only where nothing is wrong. The error is the problem that ended the work: the last one
/// noted, or one that leaves nothing to go on with.
pub fn score(input: &Input, options: &Options, problems: &mut Problems) -> Result<Scored, Problem> {
    let (first, blocks) = match first_instance(input, options) {
        Ok((profile, blocks)) => (Some(profile), blocks),
        // Where all problems are wanted the line is found bad again below, and the others need no profile.
        Err(problem) if problem.line.is_some() && problems.limit > 1 => (None, Blocks::default()),
        Err(problem) => return Err(problem),
    };
    let docs = Docs::open(&input.data_dir, options.sizes, |problem| problems.note(problem))?;
    let checked_against = (problems.limit > 1).then_some(&docs);
    let annotations = Annotations::open(
        &input.data_dir,
        &input.split,
        blocks.sentences,
        checked_against,
        options.sizes,
        |problem| problems.note(problem),
    )?;
    let work = Work::new(options, Checker { docs: &docs, first }, blocks, &annotations, problems.limit);
    let (tally, seen) = work.results(input, problems)?;
    let tally = work.unseen(tally, &seen, problems)?;
    work.conclude(input, &tally, problems)?;
    Ok(Scored { blocks, tally, classes: annotations.classes })
}

impl Input {
    /// The first line of the first file.
    pub fn first_line(&self, sizes: Sizes) -> Result<Vec<u8>, Problem> {
        let Some(path) = self.results.first() else {
            return Err(Problem::new(&self.data_dir, None, Fault::new("no file of results", "at least one")));
        };
        let empty = || Problem::new(path, None, Fault::new("no line", "one instance a line"));
        lines::first_line(path, sizes)?.ok_or_else(empty)
    }

    /// What is wrong with the first line.
    #[must_use]
    pub fn first_problem(&self, fault: Fault) -> Problem {
        Problem::new(self.results.first().unwrap_or(&self.data_dir), Some(1), fault)
    }
}

/// What the first instance has, and so what is computed.
fn first_instance(input: &Input, options: &Options) -> Result<(Profile, Blocks), Problem> {
    let line = input.first_line(options.sizes)?;
    let mut instance = Instance::default();
    lines::as_text(&line).and_then(|line| instance.read(line)).map_err(|fault| input.first_problem(fault))?;
    let first = instance.rationales.first();
    let blocks = Blocks {
        hard: first.is_some_and(|rationale| !instance.hard(rationale).is_empty()),
        soft: first.is_some_and(|rationale| rationale.soft.given().is_some()),
        sentences: first.is_some_and(|rationale| rationale.sentences.given().is_some()),
        classes: instance.classification.given().is_some(),
        wanted: Wanted {
            comprehensiveness: instance.comprehensiveness.has_key(),
            sufficiency: instance.sufficiency.has_key(),
            thresholded: instance.thresholded.has_key(),
        },
        tokens_to_flip: instance.tokens_to_flip.has_key(),
    };
    Ok((Profile::of(&instance), blocks))
}
