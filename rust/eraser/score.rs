//! The scores of results by the conventions of the ERASER benchmark's own scorer, from one pass over the file.
//!
//! What is computed is decided by the first instance alone, as there; what makes that scorer fail is a [`Problem`].

use indexmap::IndexSet;

use crate::eraser::annotations::{Annotation, Annotations, Evidence, Reading};
use crate::eraser::check::{self, First, Profile};
use crate::eraser::classes;
use crate::eraser::docs::Docs;
use crate::eraser::hard::Overall;
use crate::eraser::instance::{CLASS, HARD, Instance, Rationale};
use crate::eraser::lines::Sizes;
use crate::eraser::mean::{Mean, Merge};
use crate::eraser::probabilities;
use crate::eraser::results::{self, Case, Input, Results};
use crate::eraser::spans::{self, Span};
use crate::eraser::tally::{ClassCounts, Tally, add_ranks};
use crate::error::Result;
use crate::pool;
use crate::problem::{Fault, Outcome, Problem, Problems};
use crate::ranking::Ranker;

type Found<T> = std::result::Result<T, Problem>;

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

/// Scores results batch by batch, by the conventions of the benchmark's own scorer.
pub struct EraserScorer {
    work: Work,
    results: Results,
    tally: Tally,
    threads: Option<usize>,
}

/// What every part of the results is scored with.
struct Work {
    options: Options,
    /// None where the first instance cannot be read.
    first: Option<First>,
    /// Nothing added up, and a place for each number of classes and thresholds.
    empty: Tally,
    /// All problems are wanted, and not the scores.
    all_problems: bool,
}

/// What came of a block, once something did, and memory that is used again from line to line.
#[derive(Default)]
struct Block {
    tally: Option<Tally>,
    ranker: Ranker,
}

impl EraserScorer {
    /// Reads documents and annotations.
    pub fn open(input: &Input, options: Options, threads: Option<usize>) -> Result<Self> {
        pool::run(threads, || Ok(Self { threads, ..Self::read(input, options, &mut Problems::one())? }))
    }

    /// Scores the next batch; false at the end. The error is the first problem.
    pub fn step(&mut self) -> Result<bool> {
        pool::run(self.threads, || Ok(self.next(&mut Problems::one())?))
    }

    /// Instances scored, and annotations there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.tally.instances, self.results.annotations.len() as u64)
    }

    /// In how many of the instances scored the predicted class is not the one with the highest score, and in how many
    /// class scores do not sum to 1. Neither changes a score.
    #[must_use]
    pub fn odd(&self) -> [u64; 2] {
        self.tally.odd
    }

    /// What the files read so far add up to, for [`EraserScorer::merge_part`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>> {
        Ok(self.results.pack(&self.tally)?)
    }

    /// Adds what a scorer of other files of the same results came to.
    pub fn merge_part(&mut self, bytes: &[u8]) -> Result<()> {
        let tally = self.results.unpack(bytes, |tally: &Tally| tally.shape() == self.tally.shape())?;
        self.tally.merge(&tally);
        Ok(())
    }

    /// The scores, once nothing is left.
    pub fn scores(&mut self) -> Result<Scores> {
        pool::run(self.threads, || {
            self.finish(&mut Problems::one())?;
            let first = self.work.first.as_ref();
            Ok(first
                .map(|first| Scores::new(first, &self.tally, &self.results.annotations.classes))
                .unwrap_or_default())
        })
    }

    /// Reads documents and annotations. The error is the problem that leaves nothing to go on with, or the last that
    /// `problems` takes.
    fn read(input: &Input, options: Options, problems: &mut Problems) -> Found<Self> {
        let all_problems = problems.limit > 1;
        let (line, files) = results::open(input, options.sizes)?;
        let first = match Instance::parse(&line, |first| Ok(First::of(first))) {
            Ok(first) => Some(first),
            // Where all problems are wanted the line is found bad again later, and the others are read without it.
            Err(_) if all_problems => None,
            Err(fault) => return Err(results::first_problem(input, fault)),
        };
        let sentences = first.as_ref().is_some_and(|first| first.profile.sentences);
        let reading = Reading { sentences, exact: true, places: all_problems };
        let results = Results::new(input, files, reading, options.sizes, problems)?;
        let aopc_thresholds = options.aopc_thresholds.as_ref().map_or(0, Vec::len);
        let tally = Tally::new(options.iou_thresholds.len(), aopc_thresholds, results.annotations.classes.len());
        let work = Work { options, first, empty: tally.clone(), all_problems };
        Ok(Self { work, results, tally, threads: None })
    }

    fn next(&mut self, problems: &mut Problems) -> Found<bool> {
        let Self { work, results, tally, .. } = self;
        let add = |block: &mut Block, case: Case<'_>, fault: &mut dyn FnMut(Fault)| {
            let Block { tally, ranker } = block;
            work.add(&case, tally.get_or_insert_with(|| work.empty.clone()), ranker, fault);
        };
        results.step(problems, add, |block| block.tally.iter().for_each(|found| tally.merge(found)))
    }

    /// Adds the annotations without an instance, and notes what makes the reference scorer divide by zero.
    fn finish(&mut self, problems: &mut Problems) -> Found<()> {
        let Self { work, results, tally, .. } = self;
        let Some(first) = &work.first else { return Ok(()) };
        let Annotations { path, .. } = &results.annotations;
        for at in results.missing() {
            let annotation = results.annotations.get(at);
            if let Err(fault) = work.evidence(first, &annotation, &results.docs) {
                let fault = fault.within(&format!("evidences of {:?}", results.annotations.name(at)));
                problems.note(Problem::new(path, None, fault))?;
            }
            annotation.docs.iter().for_each(|evidence| work.hard(first, &[], &evidence.tokens, tally));
        }
        if first.profile.classification {
            results.lack().map_or(Ok(()), |problem| problems.note(problem))?;
            if tally.classes.iter().all(|counts| counts.support == 0) {
                problems.note(Problem::new(path, None, Fault::new("no annotation", "at least one")))?;
            }
        }
        match tally.hard.lacks() {
            Some(lack) if first.hard => {
                let fault = Fault::new(format!("{lack} at all"), "at least one of both").within(HARD);
                problems.note(Problem::new(&results.path, None, fault))
            }
            _ => Ok(()),
        }
    }
}

impl Work {
    /// Checks and scores an instance.
    fn add(&self, case: &Case<'_>, tally: &mut Tally, ranker: &mut Ranker, fault: &mut dyn FnMut(Fault)) {
        let Case { instance, annotation, docs, .. } = case;
        tally.instances += 1;
        check::instance(instance, docs, self.first.as_ref().map(|first| first.profile), fault);
        if let Some(first) = &self.first {
            check::demands(instance, first, fault);
        }
        if self.all_problems {
            for found in probabilities::odd(instance) {
                found.unwrap_or_else(&mut *fault);
            }
        } else {
            probabilities::count(&mut tally.odd, instance);
        }
        let Some(first) = &self.first else { return };
        if first.profile.classification {
            self.classes(first, case, tally).unwrap_or_else(&mut *fault);
        }
        match self.evidence(first, annotation, docs) {
            Ok(()) => self.documents(first, case, tally, ranker),
            Err(found) => fault(found.within("annotated evidence")),
        }
    }

    fn classes(&self, first: &First, case: &Case<'_>, tally: &mut Tally) -> Outcome<()> {
        let Case { instance, annotation, docs, annotations } = case;
        classes::add(&mut tally.shifts, first, instance, self.options.aopc_thresholds.as_deref())?;
        // Instances without annotation have no true class; their class may be any.
        if annotation.classes.is_empty() {
            return Ok(());
        }
        let Some(class) = instance.classification.given() else { return Ok(()) };
        let Some(predicted) = annotations.classes.get_index_of(*class) else {
            return Err(Fault::new(format!("{class:?}"), "a class that some annotation has").within(CLASS));
        };
        for gold in &annotation.classes {
            let null = || Fault::new("null in the annotation", "a class").within(CLASS);
            tally.count(gold.ok_or_else(null)? as usize, predicted);
        }
        if first.tokens_to_flip {
            let tokens = |evidence: &Evidence| docs.lengths(&evidence.docid).is_ok_and(|lengths| lengths.tokens > 0);
            let has_tokens = annotation.docs.iter().any(tokens);
            if instance.tokens_to_flip.given().is_none() || !has_tokens {
                let found = if has_tokens { "none" } else { "no evidence to divide by" };
                let expected = "a number, and evidence in a document with tokens";
                return Err(Fault::new(found, expected).within("tokens_to_flip"));
            }
        }
        Ok(())
    }

    /// Checks the evidence of an annotation against the documents, which hard rationales alone do not need.
    fn evidence(&self, first: &First, annotation: &Annotation, docs: &Docs) -> Outcome<()> {
        let Profile { classification, soft, sentences, .. } = first.profile;
        // Where all problems are wanted the annotations were checked line by line.
        if !self.all_problems && (soft || sentences || classification) {
            annotation.docs.iter().try_for_each(|evidence| evidence.check(docs, soft))?;
        }
        Ok(())
    }

    /// Scores the rationales of an instance, document by document: those predicted and those with evidence.
    fn documents(&self, first: &First, case: &Case<'_>, tally: &mut Tally, ranker: &mut Ranker) {
        let Case { instance, annotation, .. } = case;
        let mut predicted: Vec<&Rationale<'_>> = instance.rationales.iter().collect();
        predicted.sort_by_key(|rationale| rationale.docid);
        for group in predicted.chunk_by(|a, b| a.docid == b.docid) {
            // A document that comes twice keeps its last scores.
            let Some(last) = group.last() else { continue };
            let evidence = annotation.evidence(last.docid);
            let [tokens, sentences] = evidence.map(|found| [&found.tokens[..], &found.sentences]).unwrap_or_default();
            let mut spans: Vec<Span> = group.iter().flat_map(|rationale| rationale.spans()).copied().collect();
            spans::sort(&mut spans);
            self.hard(first, &spans, tokens, tally);
            for (is_wanted, scores, gold, ranks) in [
                (first.profile.soft, &last.soft, tokens, &mut tally.soft),
                (first.profile.sentences, &last.sentences, sentences, &mut tally.sentences),
            ] {
                let Some(scores) = scores.given().filter(|_| is_wanted) else { continue };
                // Spans outside the document were found before; an instance with them is not scored in the end.
                let marks = spans::marks(gold, scores.len()).unwrap_or_default();
                add_ranks(ranks, ranker, scores, &marks);
            }
        }
        let is_missed = |docid: &str| predicted.binary_search_by_key(&docid, |found| found.docid).is_err();
        for missed in annotation.docs.iter().filter(|evidence| is_missed(&evidence.docid)) {
            self.hard(first, &[], &missed.tokens, tally);
        }
    }

    fn hard(&self, first: &First, predicted: &[Span], gold: &[Span], tally: &mut Tally) {
        if first.hard {
            tally.hard.add(predicted, gold, &self.options.iou_thresholds);
        }
    }
}

/// What the results come to; none of what the first instance does not have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Of equal spans, of tokens, and of overlapping spans at each threshold.
    pub hard: Option<(Overall, Overall, Vec<Overall>)>,
    /// AUPRC, average precision and ROC AUC of tokens, and of sentences.
    pub ranks: [Option<[f64; 3]>; 2],
    /// Of the classes.
    pub classes: Option<ClassScores>,
    /// Without the rationale and of the rationale alone: what the predicted class loses, and the differences of entropy
    /// and divergence.
    pub shifts: [Option<[f64; 3]>; 2],
    /// What the predicted class loses at each threshold, and the mean of these.
    pub points: Option<[(Vec<f64>, f64); 2]>,
}

impl Scores {
    fn new(first: &First, tally: &Tally, classes: &IndexSet<String>) -> Self {
        let Profile { classification, parts, soft, sentences } = first.profile;
        let points = || {
            tally.shifts.each_ref().map(|shift| {
                let points: Vec<f64> = shift.points.iter().map(|point| point.value()).collect();
                let mean = points.iter().sum::<f64>() / points.len() as f64;
                (points, mean)
            })
        };
        let Tally { hard, shifts, .. } = tally;
        Self {
            hard: first.hard.then(|| (hard.spans.scores(), hard.tokens.scores(), hard.matched())),
            ranks: [(soft, tally.soft), (sentences, tally.sentences)]
                .map(|(is_wanted, ranks)| is_wanted.then(|| ranks.map(Mean::value))),
            classes: classification.then(|| class_scores(&tally.classes, classes)),
            shifts: [0, 1].map(|i| parts[i].then(|| shifts[i].means.map(Mean::value))),
            points: first.thresholds.is_some().then(points),
        }
    }
}

/// The accuracy; precision, recall, F1 and support of each class, 0 where they divide by zero; and their mean and
/// weighted mean.
pub type ClassScores = (f64, Vec<(String, [f64; 4])>, [[f64; 4]; 2]);

fn class_scores(counts: &[ClassCounts], names: &IndexSet<String>) -> ClassScores {
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let scores = |c: &ClassCounts| {
        let f1 = share(2 * c.hits, c.predicted + c.support);
        [share(c.hits, c.predicted), share(c.hits, c.support), f1, c.support as f64]
    };
    let rows: Vec<[f64; 4]> = counts.iter().map(scores).collect();
    let support: f64 = rows.iter().map(|row| row[3]).sum();
    let mean = |weight: fn(&[f64; 4]) -> f64| {
        let all: f64 = rows.iter().map(weight).sum();
        let of = |at: usize| rows.iter().map(|row| row[at] * weight(row)).sum::<f64>() / all;
        [of(0), of(1), of(2), support]
    };
    let accuracy = counts.iter().map(|c| c.hits).sum::<u64>() as f64 / support;
    let means = [mean(|_| 1.0), mean(|row| row[3])];
    (accuracy, names.iter().cloned().zip(rows).collect(), means)
}

/// What is wrong with results, annotations and documents, in their order, at most `limit` problems.
///
/// Without results only annotations and documents are looked at.
pub fn validate(input: &Input, options: Options, limit: usize) -> Result<Vec<Problem>> {
    let mut found = pool::run(None, || {
        let mut problems = Problems { found: Vec::new(), limit: limit.max(2) };
        let ended = if input.results.is_empty() {
            validate_data(input, &options, &mut problems)
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

fn validate_data(input: &Input, options: &Options, problems: &mut Problems) -> Found<()> {
    let Input { data_dir, split, .. } = input;
    let docs = Docs::open(data_dir, options.sizes, problems)?;
    let reading = Reading { places: true, ..Reading::default() };
    Annotations::open(data_dir, split, &docs, reading, options.sizes, problems).map(drop)
}

fn validate_results(input: &Input, options: Options, problems: &mut Problems) -> Found<()> {
    let mut scorer = EraserScorer::read(input, options, problems)?;
    while scorer.next(problems)? {}
    scorer.finish(problems)
}
