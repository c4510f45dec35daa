//! The scores of results by the conventions of the ERASER benchmark's own scorer, from one pass over the file.
//!
//! What is computed is decided by the first instance alone, as there; what makes that scorer fail is a [`Problem`].

use crate::eraser::annotations::{Annotation, Annotations, Evidence, Reading};
use crate::eraser::check::{self, Profile};
use crate::eraser::classes::Wanted;
use crate::eraser::docs::Docs;
use crate::eraser::instance::{CLASS, HARD, Instance, Rationale};
use crate::eraser::mean::Merge;
use crate::eraser::probabilities::{self, Odd};
use crate::eraser::report::{self, Value};
use crate::eraser::request::{Blocks, Input, Options};
use crate::eraser::results::{self, Case, Results};
use crate::eraser::spans::{self, Span};
use crate::eraser::tally::Tally;
use crate::error::Result;
use crate::pool;
use crate::problem::{Fault, Outcome, Problem, Problems};
use crate::ranking::Ranker;

type Found<T> = std::result::Result<T, Problem>;

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
    blocks: Blocks,
    /// What the first instance has and its thresholds, which all must have; none where it cannot be read.
    first: Option<(Profile, Option<Vec<f64>>)>,
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

    /// In how many of the instances scored the class scores are odd, which changes no score.
    #[must_use]
    pub fn odd(&self) -> Odd {
        self.tally.odd
    }

    /// What the files read so far add up to, for [`EraserScorer::merge_part`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>> {
        Ok(self.results.pack(&self.tally)?)
    }

    /// Adds what a scorer of other files of the same results came to.
    pub fn merge_part(&mut self, bytes: &[u8]) -> Result<()> {
        let tally = self.results.unpack(bytes, |tally: &Tally| tally.is_like(&self.tally))?;
        self.tally.merge(&tally);
        Ok(())
    }

    /// The scores in the reference scorer's structure, once nothing is left.
    pub fn scores(&mut self) -> Result<Value> {
        pool::run(self.threads, || {
            self.finish(&mut Problems::one())?;
            Ok(report::scores(self.work.blocks, &self.tally, &self.results.annotations.classes, &self.work.options))
        })
    }

    /// Reads documents and annotations. The error is the problem that leaves nothing to go on with, or the last that
    /// `problems` takes.
    fn read(input: &Input, options: Options, problems: &mut Problems) -> Found<Self> {
        let all_problems = problems.limit > 1;
        let (line, files) = results::open(input, options.sizes)?;
        let first =
            Instance::read(line.as_slice(), |first| Ok((blocks(first), Profile::of(first), check::thresholds(first))));
        let (blocks, first) = match first {
            Ok((blocks, profile, thresholds)) => (blocks, Some((profile, thresholds))),
            // Where all problems are wanted the line is found bad again later, and the others are read without it.
            Err(_) if all_problems => (Blocks::default(), None),
            Err(fault) => return Err(results::first_problem(input, fault)),
        };
        let reading = Reading { sentences: blocks.sentences, exact: true, places: all_problems };
        let results = Results::new(input, files, reading, options.sizes, problems)?;
        let aopc_thresholds = options.aopc_thresholds.as_ref().map_or(0, Vec::len);
        let tally = Tally::new(options.iou_thresholds.len(), aopc_thresholds, results.annotations.classes.len());
        let work = Work { options, blocks, first, empty: tally.clone(), all_problems };
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
        let Annotations { path, .. } = &results.annotations;
        for at in results.missing() {
            let annotation = results.annotations.get(at);
            if let Err(fault) = work.evidence(&annotation, &results.docs) {
                let fault = fault.within(&format!("evidences of {:?}", results.annotations.name(at)));
                problems.note(Problem::new(path, None, fault))?;
            }
            annotation.docs.iter().for_each(|evidence| work.hard(&[], &evidence.tokens, tally));
        }
        if work.blocks.classes {
            results.lack().map_or(Ok(()), |problem| problems.note(problem))?;
            if tally.classes.iter().all(|counts| counts.support == 0) {
                problems.note(Problem::new(path, None, Fault::new("no annotation", "at least one")))?;
            }
        }
        match tally.hard.lacks() {
            Some(lack) if work.blocks.hard => {
                let fault = Fault::new(format!("{lack} at all"), "at least one of both").within(HARD);
                problems.note(Problem::new(&results.path, None, fault))
            }
            _ => Ok(()),
        }
    }
}

/// What the first instance asks for.
fn blocks(instance: &Instance<'_>) -> Blocks {
    let first = instance.rationales.first();
    Blocks {
        hard: first.is_some_and(|rationale| !rationale.spans().is_empty()),
        soft: first.is_some_and(|rationale| rationale.soft.given().is_some()),
        sentences: first.is_some_and(|rationale| rationale.sentences.given().is_some()),
        classes: instance.classification.given().is_some(),
        wanted: Wanted {
            parts: [0, 1].map(|i| instance.parts[i].has_key()),
            thresholded: instance.thresholded.has_key(),
        },
        tokens_to_flip: instance.tokens_to_flip.has_key(),
    }
}

impl Work {
    /// Checks and scores an instance.
    fn add(&self, case: &Case<'_>, tally: &mut Tally, ranker: &mut Ranker, fault: &mut dyn FnMut(Fault)) {
        let Case { instance, annotation, docs, .. } = case;
        tally.instances += 1;
        check::instance(instance, docs, self.first.as_ref().map(|(profile, _)| *profile), fault);
        if let Some((_, thresholds)) = &self.first {
            check::demands(instance, thresholds.as_deref(), fault);
        }
        if self.all_problems {
            for found in [probabilities::prediction(instance), probabilities::sums(instance)] {
                found.unwrap_or_else(&mut *fault);
            }
        } else {
            tally.odd.add(instance);
        }
        if self.blocks.classes {
            self.classes(case, tally).unwrap_or_else(&mut *fault);
        }
        match self.evidence(annotation, docs) {
            Ok(()) => self.documents(instance, annotation, tally, ranker),
            Err(found) => fault(found.within("annotated evidence")),
        }
    }

    fn classes(&self, case: &Case<'_>, tally: &mut Tally) -> Outcome<()> {
        let Case { instance, annotation, docs, annotations } = case;
        tally.means.add(self.blocks.wanted, instance, self.options.aopc_thresholds.as_deref())?;
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
        if self.blocks.tokens_to_flip {
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
    fn evidence(&self, annotation: &Annotation, docs: &Docs) -> Outcome<()> {
        // Where all problems are wanted the annotations were checked line by line.
        if !self.all_problems && (self.blocks.soft || self.blocks.sentences || self.blocks.classes) {
            annotation.check(docs, self.blocks.soft)?;
        }
        Ok(())
    }

    /// Scores the rationales of an instance, document by document: those predicted and those with evidence.
    fn documents(&self, instance: &Instance<'_>, annotation: &Annotation, tally: &mut Tally, ranker: &mut Ranker) {
        let mut predicted: Vec<&Rationale<'_>> = instance.rationales.iter().collect();
        predicted.sort_by_key(|rationale| rationale.docid);
        for group in predicted.chunk_by(|a, b| a.docid == b.docid) {
            // A document that comes twice keeps its last scores.
            let Some(last) = group.last() else { continue };
            let evidence = annotation.evidence(last.docid);
            let mut spans: Vec<Span> = group.iter().flat_map(|rationale| rationale.spans()).copied().collect();
            spans::sort(&mut spans);
            self.hard(&spans, evidence.map(|found| found.tokens.as_slice()).unwrap_or_default(), tally);
            self.soft(last, evidence, tally, ranker);
        }
        let is_missed = |docid: &str| predicted.binary_search_by_key(&docid, |found| found.docid).is_err();
        for missed in annotation.docs.iter().filter(|evidence| is_missed(&evidence.docid)) {
            self.hard(&[], &missed.tokens, tally);
        }
    }

    fn hard(&self, predicted: &[Span], gold: &[Span], tally: &mut Tally) {
        if self.blocks.hard {
            tally.hard.add(predicted, gold, &self.options.iou_thresholds);
        }
    }

    fn soft(&self, rationale: &Rationale<'_>, evidence: Option<&Evidence>, tally: &mut Tally, ranker: &mut Ranker) {
        for (is_wanted, scores, gold, ranks) in [
            (self.blocks.soft, &rationale.soft, evidence.map(|found| &found.tokens), &mut tally.soft),
            (self.blocks.sentences, &rationale.sentences, evidence.map(|found| &found.sentences), &mut tally.sentences),
        ] {
            let Some(scores) = scores.given().filter(|_| is_wanted) else { continue };
            // Spans outside the document were found before; an instance with them is not scored in the end.
            let gold = gold.map(Vec::as_slice).unwrap_or_default();
            let marks = spans::marks(gold, scores.len()).unwrap_or_default();
            ranks.add(ranker, scores, &marks);
        }
    }
}

/// What is wrong with results, annotations and documents, in their order, at most `limit` problems.
///
/// Without results only annotations and documents are looked at.
pub fn validate(input: &Input, options: Options, limit: usize, threads: Option<usize>) -> Result<Vec<Problem>> {
    let mut found = pool::run(threads, || {
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
