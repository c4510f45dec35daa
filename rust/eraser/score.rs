//! The scores of results by the conventions of the ERASER benchmark's own scorer, from one pass over the file.
//!
//! What is computed is decided by the first instance alone, as there; what makes that scorer fail is a [`Problem`].

use std::path::PathBuf;

use crate::eraser::annotations::{Annotations, Reading};
use crate::eraser::check::Profile;
use crate::eraser::classes::Wanted;
use crate::eraser::demands::Demands;
use crate::eraser::docs::Docs;
use crate::eraser::instance::Instance;
use crate::eraser::json::Fault;
use crate::eraser::lines::{self, Files, Sizes};
use crate::eraser::part;
use crate::eraser::probabilities::Odd;
use crate::eraser::problem::Problem;
use crate::eraser::seen::{Content, Seen};
use crate::eraser::tally::Tally;
use crate::eraser::work::Work;

/// What to score.
#[derive(Debug, Clone)]
pub struct Input {
    /// Files of results, taken as one. The first instance of the first decides for all what is computed.
    pub results: Vec<PathBuf>,
    /// The files to read here, where others are read elsewhere; none = all.
    pub part: Option<Vec<PathBuf>>,
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
pub struct Scored<'s> {
    /// How it was scored.
    pub options: &'s Options,
    /// What the first instance asked for.
    pub blocks: Blocks,
    /// What it adds up to.
    pub tally: &'s Tally,
    /// Names of the classes, in the order of their counts.
    pub classes: &'s [String],
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

/// Scores results batch by batch. All of it is to be called inside a thread pool.
pub struct Scorer {
    work: Work,
    files: Files,
    /// The first file.
    path: PathBuf,
    tally: Tally,
    seen: Seen,
}

impl Scorer {
    /// Reads documents and annotations. The error is the problem that leaves nothing to go on with, or the last that
    /// `problems` takes.
    pub fn open(input: &Input, options: Options, problems: &mut Problems) -> Result<Self, Problem> {
        let (line, files) = input.open(options.sizes)?;
        let (first, demands, blocks) = match first_instance(input, &line) {
            Ok((first, demands, blocks)) => (Some(first), Some(demands), blocks),
            // Where all problems are wanted the line is found bad again later, and the others are read without it.
            Err(problem) if problem.line.is_some() && problems.limit > 1 => (None, None, Blocks::default()),
            Err(problem) => return Err(problem),
        };
        let (folder, split, sizes) = (&input.data_dir, &input.split, options.sizes);
        let docs = Docs::open(folder, sizes, |problem| problems.note(problem))?;
        let checked_against = (problems.limit > 1).then_some(&docs);
        let reading = Reading { sentences: blocks.sentences, exact: true, docs: checked_against };
        let annotations = Annotations::open(folder, split, reading, sizes, |problem| problems.note(problem))?;
        let indices = annotations.classes.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        let seen = Seen::new(&annotations);
        let path = input.results.first().unwrap_or(folder).clone();
        let work = Work { options, first, demands, blocks, docs, annotations, indices, limit: problems.limit };
        Ok(Self { tally: work.tally(), work, files, path, seen })
    }

    /// Scores the next batch; false at the end.
    pub fn step(&mut self, problems: &mut Problems) -> Result<bool, Problem> {
        let Some(step) = self.files.step(|block| self.work.block(block))? else { return Ok(false) };
        for (lines_before, block) in step.blocks {
            self.tally.merge(&block.tally);
            let mut faults = block.faults;
            for (line, id) in &block.ids {
                if let Err(fault) = self.seen.note(id, &self.work.annotations) {
                    faults.push((*line, fault));
                }
            }
            faults.sort_by_key(|(line, _)| *line);
            for (line, fault) in faults {
                problems.note(Problem::new(&step.path, Some(lines_before + line), fault))?;
            }
        }
        Ok(true)
    }

    /// Instances scored, and annotations there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.tally.instances, self.work.annotations.len() as u64)
    }

    /// In how many of the instances scored the class scores are odd.
    #[must_use]
    pub fn odd(&self) -> Odd {
        self.tally.odd
    }

    /// What the files read so far add up to, for [`Scorer::merge`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>, Problem> {
        part::pack(&self.path, &(&self.tally, self.seen.content()))
    }

    /// Adds what a scorer of other files of the same results came to.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let (tally, content): (Tally, Content) = part::unpack(&self.path, bytes)?;
        if !tally.is_like(&self.tally) {
            return Err(part::strange(&self.path));
        }
        self.seen.merge(&content, &self.work.annotations).map_err(|fault| Problem::new(&self.path, None, fault))?;
        self.tally.merge(&tally);
        Ok(())
    }

    /// What it all adds up to, once nothing is left to read.
    pub fn finish(&mut self, problems: &mut Problems) -> Result<Scored<'_>, Problem> {
        let tally = std::mem::take(&mut self.tally);
        self.tally = self.work.unseen(tally, &self.seen, problems)?;
        self.work.conclude(&self.path, &self.tally, problems)?;
        let Work { options, blocks, annotations, .. } = &self.work;
        Ok(Scored { options, blocks: *blocks, tally: &self.tally, classes: &annotations.classes })
    }
}

impl Input {
    /// The first line of the first file, and the files to read. None of these is opened twice.
    pub fn open(&self, sizes: Sizes) -> Result<(Vec<u8>, Files), Problem> {
        let Some(path) = self.results.first() else {
            return Err(Problem::new(&self.data_dir, None, Fault::new("no file of results", "at least one")));
        };
        let empty = || Problem::new(path, None, Fault::new("no line", "one instance a line"));
        let mut files = Files::new(&self.results, sizes);
        let line = files.first_line()?.ok_or_else(empty)?;
        Ok((line, self.part.as_ref().map_or(files, |part| Files::new(part, sizes))))
    }

    /// What is wrong with the first line.
    #[must_use]
    pub fn first_problem(&self, fault: Fault) -> Problem {
        Problem::new(self.results.first().unwrap_or(&self.data_dir), Some(1), fault)
    }
}

/// What the first instance has, and so what is computed.
fn first_instance(input: &Input, line: &[u8]) -> Result<(Profile, Demands, Blocks), Problem> {
    let mut instance = Instance::default();
    lines::as_text(line).and_then(|line| instance.read(line)).map_err(|fault| input.first_problem(fault))?;
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
    Ok((Profile::of(&instance), Demands::of(&instance), blocks))
}
