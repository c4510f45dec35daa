//! The work of scoring: lines of results in, tallies out.

use std::collections::HashMap;
use std::path::Path;

use crate::eraser::annotations::Annotations;
use crate::eraser::check::{Checker, Profile};
use crate::eraser::demands::Demands;
use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::evidence::{self, Annotation};
use crate::eraser::hard;
use crate::eraser::instance::{Instance, Rationale};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::lines::{self, Parsed};
use crate::eraser::probabilities;
use crate::eraser::problem::Problem;
use crate::eraser::score::{Blocks, Options, Problems};
use crate::eraser::seen::Seen;
use crate::eraser::spans::{self, Span};
use crate::eraser::tally::Tally;
use crate::ranking::Ranker;

/// What every part of the results is scored with.
pub(super) struct Work {
    pub(super) options: Options,
    /// What the first instance has; none where it cannot be read.
    pub(super) first: Option<Profile>,
    /// What that makes the benchmark's scorer demand of all.
    pub(super) demands: Option<Demands>,
    pub(super) blocks: Blocks,
    pub(super) docs: Docs,
    pub(super) annotations: Annotations,
    /// The classes and their positions.
    pub(super) indices: HashMap<String, usize>,
    /// Faults of a block after which the rest of it is not looked at.
    pub(super) limit: usize,
}

/// What came of a block of results.
pub(super) struct Block {
    pub(super) tally: Tally,
    /// For each instance its line, and where its annotation is or, without one, its name.
    pub(super) ids: Vec<(u64, Result<usize, String>)>,
    pub(super) faults: Vec<(u64, Fault)>,
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
    merged: Vec<Span>,
    order: Vec<usize>,
}

impl Work {
    /// An empty tally.
    pub(super) fn tally(&self) -> Tally {
        let aopc_thresholds = self.options.aopc_thresholds.as_ref().map_or(0, Vec::len);
        Tally::new(self.options.iou_thresholds.len(), aopc_thresholds, self.annotations.classes.len())
    }

    /// Scores a block of lines.
    pub(super) fn block(&self, block: &[u8]) -> Parsed<Block> {
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
        let checker = Checker { docs: &self.docs, first: self.first };
        checker.instance(instance, &mut scratch.lengths, &mut scratch.predicted, fault);
        if let Some(demands) = &self.demands {
            demands.check(instance, fault);
        }
        let entry = self.annotations.get(&instance.id);
        match &entry {
            Some(entry) => self.annotations.decode(entry, &mut scratch.annotation),
            None => scratch.annotation = Annotation::default(),
        }
        if self.limit == 1 {
            tally.odd.add(instance);
        } else {
            for found in [probabilities::prediction(instance), probabilities::sums(instance)] {
                found.unwrap_or_else(&mut *fault);
            }
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
            evidence::check(annotation, &self.docs, self.blocks.soft)?;
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
            spans::merge(gold, &mut scratch.merged);
            let _ = scratch.merged.iter().try_for_each(|&span| spans::mark(span, &mut scratch.marks));
            ranks.add(&mut scratch.ranker, scores, &scratch.marks);
        }
    }

    /// Adds the annotations without an instance: their evidence is missed.
    pub(super) fn unseen(&self, mut tally: Tally, seen: &Seen, problems: &mut Problems) -> Result<Tally, Problem> {
        let (mut scratch, mut missing) = (Scratch::default(), 0_u64);
        let mut annotation = Annotation::default();
        let mut first = String::new();
        for entry in seen.missing(&self.annotations) {
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
    pub(super) fn conclude(&self, results: &Path, tally: &Tally, problems: &mut Problems) -> Result<(), Problem> {
        if self.blocks.classes && tally.classes.iter().all(|counts| counts.support == 0) {
            let fault = Fault::new("no annotation", "at least one");
            problems.note(Problem::new(&self.annotations.path, None, fault))?;
        }
        match tally.hard.lacks() {
            Some(lack) if self.blocks.hard => {
                let fault = Fault::new(format!("{lack} at all"), "at least one of both");
                problems.note(Problem::new(results, None, fault.within("hard_rationale_predictions")))
            }
            _ => Ok(()),
        }
    }
}
