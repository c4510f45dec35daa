//! The scores of results by the conventions of the ERASER benchmark's own scorer, from one pass over the file.
//!
//! What is computed is decided by the first instance alone, as there; what makes that scorer fail is a [`Problem`].

use std::collections::HashMap;
use std::path::PathBuf;

use crate::eraser::annotations::{self, Annotation, Annotations};
use crate::eraser::classes::Wanted;
use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::hard;
use crate::eraser::instance::{Instance, Rationale};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::lines::{self, Parsed, Sizes};
use crate::eraser::problem::Problem;
use crate::eraser::spans::{self, Span};
use crate::eraser::table::Table;
use crate::eraser::tally::Tally;
use crate::ranking::Ranker;

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

/// What an instance has: all instances must have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
struct Profile {
    classification: bool,
    comprehensiveness: bool,
    sufficiency: bool,
    soft: bool,
    sentences: bool,
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
    tokens_to_flip: bool,
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
    fn note(&mut self, problem: Problem) -> Result<(), Problem> {
        self.found.push(problem.clone());
        if self.found.len() < self.limit { Ok(()) } else { Err(problem) }
    }
}

/// Scores results, noting what is wrong with them. To be called inside a thread pool.
///
/// The scores mean something only where nothing is wrong. The error is the problem that ended the work: the last one
/// noted, or one that leaves nothing to go on with.
pub fn score(input: &Input, options: &Options, problems: &mut Problems) -> Result<Scored, Problem> {
    let (profile, blocks) = match first_instance(input, options) {
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
    let work = Work::new(options, profile, blocks, &docs, &annotations, problems.limit);
    let (tally, seen) = work.results(input, problems)?;
    let tally = work.unseen(tally, &seen, problems)?;
    work.conclude(input, &tally, problems)?;
    Ok(Scored { blocks, tally, classes: annotations.classes })
}

/// What the first instance has, and so what is computed.
fn first_instance(input: &Input, options: &Options) -> Result<(Profile, Blocks), Problem> {
    let Some(path) = input.results.first() else {
        return Err(Problem::new(&input.data_dir, None, Fault::new("no file of results", "at least one")));
    };
    let Some(line) = lines::first_line(path, options.sizes)? else {
        return Err(Problem::new(path, None, Fault::new("no line", "one instance a line")));
    };
    let mut instance = Instance::default();
    lines::as_text(&line).and_then(|line| instance.read(line)).map_err(|fault| Problem::new(path, Some(1), fault))?;
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

impl Profile {
    fn of(instance: &Instance<'_>) -> Self {
        let (soft, sentences) = instance.has_soft();
        Self {
            classification: instance.classification.given().is_some(),
            comprehensiveness: instance.comprehensiveness.given().is_some(),
            sufficiency: instance.sufficiency.given().is_some(),
            soft,
            sentences,
        }
    }

    /// A fault for each field that only some instances have.
    fn compare(self, first: Self, fault: &mut impl FnMut(Fault)) {
        for (ours, theirs, field) in [
            (self.classification, first.classification, "classification"),
            (self.comprehensiveness, first.comprehensiveness, "comprehensiveness_classification_scores"),
            (self.sufficiency, first.sufficiency, "sufficiency_classification_scores"),
            (self.soft, first.soft, "rationales[].soft_rationale_predictions"),
            (self.sentences, first.sentences, "rationales[].soft_sentence_predictions"),
        ] {
            if ours != theirs {
                let word = |has: bool| if has { "a value" } else { "none" };
                fault(Fault::new(word(ours), format!("{} as in the first instance", word(theirs))).within(field));
            }
        }
    }
}

/// What every part of the results is scored with.
struct Work<'w> {
    options: &'w Options,
    /// None where the first instance cannot be read.
    profile: Option<Profile>,
    blocks: Blocks,
    docs: &'w Docs,
    annotations: &'w Annotations,
    indices: HashMap<&'w str, usize>,
    /// Faults of a block after which the rest of it is not looked at.
    limit: usize,
}

/// What came of a block of results.
struct Block {
    tally: Tally,
    /// For each instance its line, and where its annotation is or, without one, its name.
    ids: Vec<(u64, Result<usize, String>)>,
    faults: Vec<(u64, Fault)>,
}

/// Memory that is used again from line to line.
#[derive(Default)]
struct Scratch {
    hard: hard::Scratch,
    ranker: Ranker,
    annotation: Annotation,
    lengths: Vec<Option<Lengths>>,
    predicted: Vec<Span>,
    marks: Vec<bool>,
    order: Vec<usize>,
}

/// The annotations and other names that instances had.
struct Seen {
    /// One bit for each position in the annotations.
    annotated: Vec<u64>,
    others: Table,
}

impl Seen {
    /// Notes an instance; false if it was there already.
    fn note(&mut self, id: &Result<usize, String>) -> bool {
        match id {
            Ok(at) => {
                let (before, bit) = (self.has(*at), 1 << (at % 64));
                if let Some(word) = self.annotated.get_mut(at / 64) {
                    *word |= bit;
                }
                !before
            }
            Err(name) => {
                let new = self.others.get(name.as_bytes()).is_none();
                new && self.others.set(name.as_bytes(), &[])
            }
        }
    }

    fn has(&self, at: usize) -> bool {
        self.annotated.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

impl<'w> Work<'w> {
    fn new(
        options: &'w Options,
        profile: Option<Profile>,
        blocks: Blocks,
        docs: &'w Docs,
        annotations: &'w Annotations,
        limit: usize,
    ) -> Self {
        let indices = annotations.classes.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        Self { options, profile, blocks, docs, annotations, indices, limit }
    }

    fn tally(&self) -> Tally {
        let aopc_thresholds = self.options.aopc_thresholds.as_ref().map_or(0, Vec::len);
        Tally::new(self.options.iou_thresholds.len(), aopc_thresholds, self.annotations.classes.len())
    }

    /// Scores every line of the results.
    fn results(&self, input: &Input, problems: &mut Problems) -> Result<(Tally, Seen), Problem> {
        let mut tally = self.tally();
        let mut seen = Seen { annotated: vec![0; self.annotations.size() / 64 + 1], others: Table::default() };
        for path in &input.results {
            lines::stream(
                path,
                self.options.sizes,
                |block| self.block(block),
                |lines_before, block: Block| {
                    tally.merge(&block.tally);
                    let mut faults = block.faults;
                    for (line, id) in &block.ids {
                        if !seen.note(id) {
                            let name = match id {
                                Ok(at) => self.annotations.name(*at),
                                Err(name) => name.clone(),
                            };
                            let fault = Fault::new(format!("{name:?} again"), "every instance once");
                            faults.push((*line, fault.within("annotation_id")));
                        }
                    }
                    faults.sort_by_key(|(line, _)| *line);
                    faults.into_iter().try_for_each(|(line, fault)| {
                        problems.note(Problem::new(path, Some(lines_before + line), fault))
                    })
                },
            )?;
        }
        Ok((tally, seen))
    }

    fn block(&self, block: &[u8]) -> Parsed<Block> {
        let mut outcome = Block { tally: self.tally(), ids: Vec::new(), faults: Vec::new() };
        let (mut lines, mut instance, mut scratch) = (0, Instance::default(), Scratch::default());
        for line in lines::split(block) {
            lines += 1;
            if outcome.faults.len() >= self.limit {
                continue;
            }
            match lines::as_text(line).and_then(|line| instance.read(line)) {
                Ok(()) => {
                    let faults = &mut outcome.faults;
                    let at =
                        self.instance(&instance, &mut scratch, &mut outcome.tally, &mut |f| faults.push((lines, f)));
                    outcome.ids.push((lines, at.ok_or_else(|| instance.id.clone().into_owned())));
                }
                Err(fault) => outcome.faults.push((lines, fault)),
            }
        }
        Parsed { lines, outcome }
    }

    /// Checks and scores an instance; returns the position of its annotation, if it has one.
    fn instance(
        &self,
        instance: &Instance<'_>,
        scratch: &mut Scratch,
        tally: &mut Tally,
        fault: &mut impl FnMut(Fault),
    ) -> Option<usize> {
        tally.instances += 1;
        if let Some(first) = self.profile {
            Profile::of(instance).compare(first, fault);
        }
        scratch.lengths.clear();
        for (i, rationale) in instance.rationales.iter().enumerate() {
            let lengths = self.rationale(instance, rationale, &mut scratch.predicted, &mut |f| {
                fault(f.at(i).within("rationales"));
            });
            scratch.lengths.push(lengths);
        }
        let entry = self.annotations.get(&instance.id);
        match &entry {
            Some(entry) => self.annotations.decode(entry, &mut scratch.annotation),
            None => scratch.annotation = Annotation::default(),
        }
        if self.blocks.classes
            && let Err(found) = self.classes(instance, entry.is_some(), &scratch.annotation, tally)
        {
            fault(found);
        }
        if let Err(found) = self.evidence(&scratch.annotation) {
            fault(found.within("annotated evidence"));
        } else {
            self.documents(instance, scratch, tally);
        }
        entry.map(|entry| entry.at)
    }

    /// Checks the predictions for a document; returns its lengths, if there is such a document.
    fn rationale(
        &self,
        instance: &Instance<'_>,
        rationale: &Rationale<'_>,
        sorted: &mut Vec<Span>,
        fault: &mut impl FnMut(Fault),
    ) -> Option<Lengths> {
        let lengths = match self.docs.lengths(&rationale.docid) {
            Ok(lengths) => lengths,
            Err(found) => {
                fault(found.within("docid"));
                return None;
            }
        };
        let within = |found: Fault| found.within("hard_rationale_predictions");
        if rationale.hard.has_key() && rationale.hard.given().is_none() {
            fault(within(Fault::new("null", "a list of spans")));
        }
        let tokens = lengths.tokens as i64;
        for (i, span) in instance.hard(rationale).iter().enumerate() {
            if span.start > tokens || span.end > tokens {
                let (found, expected) = (shown(*span), format!("positions up to {tokens}, the tokens of the document"));
                fault(within(Fault::new(found, expected).at(i)));
            }
        }
        sorted.clear();
        sorted.extend_from_slice(instance.hard(rationale));
        spans::sort(sorted);
        if let Some((a, b)) = spans::overlap(sorted) {
            let found = format!("{} and {}", shown(a), shown(b));
            fault(within(Fault::new(found, "spans that do not overlap")));
        }
        let first = self.profile.unwrap_or_default();
        for (field, name, unit, length, others) in [
            (&rationale.soft, "soft_rationale_predictions", "token", lengths.tokens, first.soft),
            (&rationale.sentences, "soft_sentence_predictions", "sentence", lengths.sentences, first.sentences),
        ] {
            match field.given() {
                Some(range) => {
                    if let Err(found) = check_scores(instance.scores_in(range), unit, length) {
                        fault(found.within(name));
                    }
                }
                None if others => fault(Fault::new("none", "scores as in the first instance").within(name)),
                None => {}
            }
        }
        Some(lengths)
    }

    fn classes(
        &self,
        instance: &Instance<'_>,
        is_annotated: bool,
        annotation: &Annotation,
        tally: &mut Tally,
    ) -> Outcome<()> {
        tally.sums.add(self.blocks.wanted, instance, self.options.aopc_thresholds.as_deref())?;
        // Instances without annotation have no true class; their class may be any.
        if !is_annotated {
            return Ok(());
        }
        let Some(class) = instance.classification.given() else { return Ok(()) };
        let Some(&predicted) = self.indices.get(class.as_ref()) else {
            let expected = "a class that some annotation has";
            return Err(Fault::new(format!("{class:?}"), expected).within("classification"));
        };
        for class in &annotation.classes {
            let Some(gold) = *class else {
                return Err(Fault::new("null in the annotation", "a class").within("classification"));
            };
            tally.count(gold, predicted);
        }
        if self.blocks.tokens_to_flip {
            let expected = "a number, and evidence in a document with tokens";
            let tokens: usize =
                annotation.docs.iter().filter_map(|e| Some(self.docs.lengths(&e.docid).ok()?.tokens)).sum();
            if instance.tokens_to_flip.given().is_none() || tokens == 0 {
                let found = if tokens == 0 { "no evidence to divide by" } else { "none" };
                return Err(Fault::new(found, expected).within("tokens_to_flip"));
            }
        }
        Ok(())
    }

    /// Checks the evidence of an annotation against the documents, which hard rationales alone do not need.
    fn evidence(&self, annotation: &Annotation) -> Outcome<()> {
        // Where all problems are wanted the annotations were checked line by line.
        if self.limit == 1 && (self.blocks.soft || self.blocks.sentences || self.blocks.classes) {
            annotations::check(annotation, self.docs, self.blocks.soft)?;
        }
        Ok(())
    }

    /// Scores the rationales of an instance, document by document: those predicted and those with evidence.
    fn documents(&self, instance: &Instance<'_>, scratch: &mut Scratch, tally: &mut Tally) {
        let rationales = &instance.rationales;
        let name = |i: &usize| rationales.get(*i).map(|rationale| rationale.docid.as_ref());
        let mut order = std::mem::take(&mut scratch.order);
        order.clear();
        order.extend(0..rationales.len());
        order.sort_by(|a, b| name(a).cmp(&name(b)));
        let mut annotation = std::mem::take(&mut scratch.annotation);
        let mut with_evidence = annotation.docs.iter().peekable();
        for group in order.chunk_by(|a, b| name(a) == name(b)) {
            let docid = group.first().and_then(name);
            while let Some(missed) = with_evidence.next_if(|evidence| Some(evidence.docid.as_str()) < docid) {
                self.hard(&[], annotation.tokens(missed), tally, scratch);
            }
            let evidence = with_evidence.next_if(|evidence| Some(evidence.docid.as_str()) == docid);
            let tokens = evidence.map(|e| annotation.tokens(e)).unwrap_or_default();
            let sentences = evidence.map(|e| annotation.sentences(e)).unwrap_or_default();
            let mut predicted = std::mem::take(&mut scratch.predicted);
            predicted.clear();
            predicted.extend(group.iter().filter_map(|&i| rationales.get(i)).flat_map(|r| instance.hard(r)));
            spans::sort(&mut predicted);
            self.hard(&predicted, tokens, tally, scratch);
            scratch.predicted = predicted;
            // A document that comes twice keeps its last scores.
            if let Some(last) = group.last().and_then(|&i| rationales.get(i)) {
                self.soft(instance, last, tokens, sentences, tally, scratch);
            }
        }
        for missed in with_evidence {
            self.hard(&[], annotation.tokens(missed), tally, scratch);
        }
        std::mem::swap(&mut scratch.annotation, &mut annotation);
        scratch.order = order;
    }

    fn hard(&self, predicted: &[Span], gold: &[Span], tally: &mut Tally, scratch: &mut Scratch) {
        if self.blocks.hard {
            tally.hard.add(predicted, gold, &self.options.iou_thresholds, &mut scratch.hard);
        }
    }

    fn soft(
        &self,
        instance: &Instance<'_>,
        rationale: &Rationale<'_>,
        tokens: &[Span],
        sentences: &[Span],
        tally: &mut Tally,
        scratch: &mut Scratch,
    ) {
        for (wanted, field, gold, ranks) in [
            (self.blocks.soft, &rationale.soft, tokens, &mut tally.soft),
            (self.blocks.sentences, &rationale.sentences, sentences, &mut tally.sentences),
        ] {
            let Some(range) = field.given().filter(|_| wanted) else { continue };
            let scores = instance.scores_in(range);
            scratch.marks.clear();
            scratch.marks.resize(scores.len(), false);
            // Spans outside the document were found before; an instance with them is not scored in the end.
            let _ = gold.iter().try_for_each(|&span| annotations::mark(span, &mut scratch.marks));
            ranks.add(&mut scratch.ranker, scores, &scratch.marks);
        }
    }

    /// Adds the annotations without an instance: their evidence is missed.
    fn unseen(&self, mut tally: Tally, seen: &Seen, problems: &mut Problems) -> Result<Tally, Problem> {
        let (mut scratch, mut missing) = (Scratch::default(), 0_u64);
        let mut annotation = Annotation::default();
        let mut first = String::new();
        for entry in self.annotations.iter().filter(|entry| !seen.has(entry.at)) {
            let name = String::from_utf8_lossy(entry.name);
            self.annotations.decode(&entry, &mut annotation);
            if let Err(fault) = self.evidence(&annotation) {
                let fault = fault.within(&format!("evidences of {name:?}"));
                problems.note(Problem::new(&self.annotations.path, None, fault))?;
            }
            for evidence in &annotation.docs {
                self.hard(&[], annotation.tokens(evidence), &mut tally, &mut scratch);
            }
            if missing == 0 {
                first = format!("{name:?}");
            }
            missing += 1;
        }
        if self.blocks.classes && missing > 0 {
            let found = format!("{missing} without an instance in the results, the first is {first}");
            let fault = Fault::new(found, "an instance for each").within("annotation_id");
            problems.note(Problem::new(&self.annotations.path, None, fault))?;
        }
        Ok(tally)
    }

    /// Notes what makes the reference scorer divide by zero.
    fn conclude(&self, input: &Input, tally: &Tally, problems: &mut Problems) -> Result<(), Problem> {
        if self.blocks.classes && tally.classes.iter().all(|counts| counts.support == 0) {
            let fault = Fault::new("no annotation", "at least one");
            problems.note(Problem::new(&self.annotations.path, None, fault))?;
        }
        match (tally.hard.lacks(), input.results.first()) {
            (Some(lack), Some(path)) if self.blocks.hard => {
                let fault = Fault::new(format!("{lack} at all"), "at least one of both");
                problems.note(Problem::new(path, None, fault.within("hard_rationale_predictions")))
            }
            _ => Ok(()),
        }
    }
}

/// A fault if there are not as many scores as there are tokens or sentences, or one is not finite.
fn check_scores(scores: &[f64], unit: &str, length: usize) -> Outcome<()> {
    if scores.len() != length || length == 0 {
        let expected = format!("{} (one a {unit})", length.max(1));
        return Err(Fault::new(format!("{} scores", scores.len()), expected));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(at) => {
            Err(Fault::new(format!("{:?}", scores.get(at).copied().unwrap_or_default()), "a finite number").at(at))
        }
        None => Ok(()),
    }
}

fn shown(span: Span) -> String {
    format!("[{}, {})", span.start, span.end)
}
