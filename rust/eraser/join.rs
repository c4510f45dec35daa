//! Results joined with their annotations, as rows of numbers.
//!
//! A row is an instance. Its tokens are those of its documents in the order of its rationales, then of the documents
//! that have evidence and no prediction: nothing is selected there and scores are minus infinity, as for tokens that
//! a model never saw. All instances must have the same fields, and every annotation an instance.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::eraser::annotations::{Annotations, Reading};
use crate::eraser::check::{Checker, Profile};
use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::evidence::Annotation;
use crate::eraser::instance::{Field, Instance, Rationale, Threshold};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::lines::{self, Files, Parsed, Sizes};
use crate::eraser::part;
use crate::eraser::probabilities;
use crate::eraser::problem::Problem;
use crate::eraser::rows::{Rows, Shape};
use crate::eraser::score::{Input, Problems};
use crate::eraser::seen::{Content, Seen};
use crate::eraser::spans::{self, Span};
use crate::error::Result;
use crate::pool;

type Found<T> = std::result::Result<T, Problem>;

/// What instances are joined with.
struct Join {
    shape: Shape,
    docs: Docs,
    annotations: Annotations,
    positions: HashMap<String, usize>,
    /// Whether all thresholds of an instance are read, so that all instances must have the same.
    all_thresholds: bool,
    /// Whether odd class scores are an error, and not counted.
    strict: bool,
}

/// Reads results batch by batch.
pub struct RowReader {
    join: Join,
    seen: Seen,
    files: Files,
    /// Whether other files of the results are read elsewhere.
    is_part: bool,
}

impl RowReader {
    /// Opens results, after reading documents and annotations.
    ///
    /// Of the thresholds those of `wanted` are read; none = all of the first instance, and no instance may have others.
    /// `strict` refuses class scores that are no probabilities, and a class that they do not prefer; else such
    /// instances are counted.
    pub fn open(input: &Input, wanted: Option<&[f64]>, strict: bool) -> Result<Self> {
        pool::run(None, || Ok(Self::read(input, wanted, strict, Sizes::default())?))
    }

    /// The next rows; none at the end of the last file.
    pub fn step(&mut self) -> Result<Option<Rows>> {
        pool::run(None, || Ok(self.next()?))
    }

    fn read(input: &Input, wanted: Option<&[f64]>, strict: bool, sizes: Sizes) -> Found<Self> {
        let (line, files) = input.open(sizes)?;
        let mut first = Instance::default();
        let at = |fault| input.first_problem(fault);
        lines::as_text(&line).and_then(|line| first.read(line)).map_err(at)?;
        let mut problems = Problems { found: Vec::new(), limit: 1 };
        let docs = Docs::open(&input.data_dir, sizes, |problem| problems.note(problem))?;
        let profile = Profile::of(&first);
        let (folder, split) = (&input.data_dir, &input.split);
        let reading = Reading { sentences: profile.sentences, exact: false, docs: Some(&docs) };
        let annotations = Annotations::open(folder, split, reading, sizes, |problem| problems.note(problem))?;
        let shape = Shape {
            labels: labels(&annotations, &first).map_err(at)?,
            thresholds: thresholds(&first, wanted).map_err(|fault| at(fault.within("thresholded_scores")))?,
            hard: first.rationales.first().is_some_and(|rationale| rationale.hard.given().is_some()),
            profile,
            scores: first.scores.given().is_some(),
        };
        let positions = shape.labels.iter().enumerate().map(|(i, label)| (label.clone(), i)).collect();
        let seen = Seen::new(&annotations);
        let join = Join { shape, docs, annotations, positions, all_thresholds: wanted.is_none(), strict };
        Ok(Self { join, seen, is_part: input.part.is_some(), files })
    }

    /// What every row has.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.join.shape
    }

    /// Number of annotations.
    #[must_use]
    pub fn total(&self) -> usize {
        self.join.annotations.len()
    }

    /// Which instances were there, for [`RowReader::merge_part`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>> {
        Ok(part::pack(&self.join.annotations.path, &self.seen.content())?)
    }

    /// Adds which instances a reader of other files of the same results met.
    pub fn merge_part(&mut self, bytes: &[u8]) -> Result<()> {
        let path = &self.join.annotations.path;
        let content: Content = part::unpack(path, bytes)?;
        let at = |fault| Problem::new(path, None, fault);
        Ok(self.seen.merge(&content, &self.join.annotations).map_err(at)?)
    }

    /// Fails if an annotation had no instance, in all parts that were read or merged.
    pub fn finish(&self) -> Result<()> {
        Ok(self.end()?)
    }

    fn next(&mut self) -> Found<Option<Rows>> {
        let Some(step) = self.files.step(|block| self.join.block(block))? else {
            return if self.is_part { Ok(None) } else { self.end().map(|()| None) };
        };
        let mut rows = Rows::new();
        for (lines_before, block) in step.blocks {
            let at = |line, fault| Problem::new(&step.path, Some(lines_before + line), fault);
            for (line, id) in block.ids {
                self.seen.note(&id, &self.join.annotations).map_err(|fault| at(line, fault))?;
            }
            if let Some((line, fault)) = block.fault {
                return Err(at(line, fault));
            }
            rows.append(block.rows);
        }
        Ok(Some(rows))
    }

    /// Nothing more to read: every annotation must have had an instance.
    fn end(&self) -> Found<()> {
        let mut missing = self.seen.missing(&self.join.annotations);
        let Some(first) = missing.next() else { return Ok(()) };
        let name = String::from_utf8_lossy(first.name);
        let found = format!("{} without an instance in the results, the first is {name:?}", missing.count() + 1);
        let fault = Fault::new(found, "an instance for each").within("annotation_id");
        Err(Problem::new(&self.join.annotations.path, None, fault))
    }
}

impl Join {
    fn block(&self, block: &[u8]) -> Parsed<Block> {
        let mut outcome = Block { rows: Rows::new(), ids: Vec::new(), fault: None };
        let (mut lines, mut instance, mut scratch) = (0, Instance::default(), Scratch::default());
        for line in lines::split(block) {
            lines += 1;
            if outcome.fault.is_some() {
                continue;
            }
            let read = lines::as_text(line).and_then(|line| instance.read(line));
            match read.and_then(|()| self.row(&instance, &mut scratch, &mut outcome.rows)) {
                Ok(at) => outcome.ids.push((lines, at.ok_or_else(|| instance.id.clone().into_owned()))),
                Err(fault) => outcome.fault = Some((lines, fault)),
            }
        }
        Parsed { lines, outcome }
    }

    /// Adds an instance; returns the position of its annotation, if it has one.
    fn row(&self, instance: &Instance<'_>, scratch: &mut Scratch, rows: &mut Rows) -> Outcome<Option<usize>> {
        let mut first = None;
        let checker = Checker { docs: &self.docs, first: Some(self.shape.profile) };
        checker.instance(instance, &mut scratch.lengths, &mut scratch.spans, &mut |fault| {
            first.get_or_insert(fault);
        });
        if let Some(fault) = first {
            return Err(fault);
        }
        let entry = self.annotations.get(&instance.id);
        let mut annotation = Annotation::default();
        if let Some(entry) = &entry {
            self.annotations.decode(entry, &mut annotation);
        }
        self.classes(instance, &annotation, rows)?;
        self.documents(instance, &annotation, &scratch.lengths, rows)?;
        rows.ids.extend_from_slice(instance.id.as_bytes());
        rows.id_offsets.push(rows.ids.len() as i64);
        Ok(entry.map(|entry| entry.at))
    }

    fn classes(&self, instance: &Instance<'_>, annotation: &Annotation, rows: &mut Rows) -> Outcome<()> {
        let label = match annotation.classes.as_slice() {
            [] | [None] => -1,
            [Some(class)] => self.annotations.classes.get(*class).map_or(Ok(-1), |name| self.position(name))?,
            more => {
                let found = format!("{} annotations of this id", more.len());
                return Err(Fault::new(found, "one").within("annotation_id"));
            }
        };
        rows.label.push(label);
        if let Some(class) = instance.classification.given() {
            rows.prediction.push(self.position(class).map_err(|fault| fault.within("classification"))?);
        }
        if self.shape.scores || instance.scores.has_key() {
            self.distribution(instance, &instance.scores, "classification_scores", &mut rows.probabilities)?;
        }
        for (wanted, field, name, out) in [
            (self.shape.profile.comprehensiveness, &instance.comprehensiveness, REMOVE, &mut rows.remove),
            (self.shape.profile.sufficiency, &instance.sufficiency, KEEP, &mut rows.keep),
        ] {
            if wanted {
                self.distribution(instance, field, name, out)?;
            }
        }
        self.thresholds(instance, rows).map_err(|fault| fault.within("thresholded_scores"))?;
        if self.strict {
            probabilities::prediction(instance)?;
            probabilities::sums(instance)?;
        } else {
            rows.odd.add(instance);
        }
        Ok(())
    }

    fn thresholds(&self, instance: &Instance<'_>, rows: &mut Rows) -> Outcome<()> {
        let all = instance.thresholded.given().map(Vec::as_slice).unwrap_or_default();
        if self.all_thresholds && all.len() != self.shape.thresholds.len() {
            let expected =
                format!("{:?} as in the first instance, or thresholds that are asked for", self.shape.thresholds);
            return Err(Fault::new(format!("thresholds {:?}", thresholds_of(all)), expected));
        }
        for &threshold in &self.shape.thresholds {
            let mut entries = all.iter().filter(|entry| entry.threshold.total_cmp(&threshold).is_eq());
            let (Some(entry), None) = (entries.next(), entries.next()) else {
                let found = format!("thresholds {:?}", thresholds_of(all));
                return Err(Fault::new(found, format!("{threshold} once")));
            };
            self.distribution(instance, &entry.comprehensiveness, REMOVE, &mut rows.remove_at)?;
            self.distribution(instance, &entry.sufficiency, KEEP, &mut rows.keep_at)?;
        }
        Ok(())
    }

    /// Appends class scores in the order of the labels.
    fn distribution(
        &self,
        instance: &Instance<'_>,
        field: &Field<Range<usize>>,
        name: &str,
        out: &mut Vec<f64>,
    ) -> Outcome<()> {
        let within = |fault: Fault| fault.within(name);
        let Some(range) = field.given() else { return Err(within(Fault::new("none", "class scores"))) };
        let scores = instance.distribution_in(range);
        let first = out.len();
        out.resize(first + self.shape.labels.len(), f64::NAN);
        for (class, score) in scores {
            if !(0.0..=1.0).contains(score) {
                let percent = if *score > 1.0 { ", not percent" } else { "" };
                let expected = format!("a probability in [0, 1]{percent}");
                return Err(within(Fault::new(format!("{score:?}"), expected).within(class)));
            }
            let at = self.position(class).map_err(within)?;
            if let Some(place) = out.get_mut(first + at as usize) {
                *place = *score;
            }
        }
        match out.iter().skip(first).position(|score| score.is_nan()).and_then(|at| self.shape.labels.get(at)) {
            Some(class) => Err(within(Fault::new("no score", format!("one for the class {class:?}")))),
            None => Ok(()),
        }
    }

    fn position(&self, class: &str) -> Outcome<i64> {
        let found = self.positions.get(class).map(|&at| at as i64);
        found.ok_or_else(|| Fault::new(format!("{class:?}"), format!("one of the classes {:?}", self.shape.labels)))
    }

    fn documents(
        &self,
        instance: &Instance<'_>,
        annotation: &Annotation,
        lengths: &[Option<Lengths>],
        rows: &mut Rows,
    ) -> Outcome<()> {
        let first = rows.tokens.gold.len();
        let mut names = HashSet::new();
        for (i, (rationale, lengths)) in instance.rationales.iter().zip(lengths).enumerate() {
            let at = |fault: Fault| fault.at(i).within("rationales");
            if !names.insert(rationale.docid.as_ref()) {
                let found = format!("{:?} again", rationale.docid);
                return Err(at(Fault::new(found, "every document once").within("docid")));
            }
            let lengths = lengths.unwrap_or_default();
            rows.border(first);
            self.document(annotation, &rationale.docid, lengths, rows)?;
            self.predictions(instance, rationale, lengths, rows).map_err(at)?;
        }
        for evidence in annotation.docs.iter().filter(|evidence| !names.contains(evidence.docid.as_str())) {
            let lengths = self.docs.lengths(&evidence.docid)?;
            rows.border(first);
            self.document(annotation, &evidence.docid, lengths, rows)?;
            let (tokens, sentences) = (lengths.tokens, lengths.sentences);
            fill(self.shape.profile.soft, &mut rows.tokens.scores, tokens, f64::NEG_INFINITY);
            fill(self.shape.profile.sentences, &mut rows.sentences.scores, sentences, f64::NEG_INFINITY);
            fill(self.shape.hard, &mut rows.rationale, tokens, false);
        }
        rows.tokens.offsets.push(rows.tokens.gold.len() as i64);
        rows.sentences.offsets.push(rows.sentences.gold.len() as i64);
        rows.gold_known.push(rows.tokens.gold.iter().skip(first).any(|&marked| marked));
        Ok(())
    }

    /// Appends the human rationale in a document.
    fn document(&self, annotation: &Annotation, docid: &str, lengths: Lengths, rows: &mut Rows) -> Outcome<()> {
        let evidence = annotation.evidence(docid);
        let tokens = evidence.map(|evidence| annotation.tokens(evidence)).unwrap_or_default();
        mark(&mut rows.tokens.gold, lengths.tokens, tokens)?;
        if self.shape.profile.sentences {
            let sentences = evidence.map(|evidence| annotation.sentences(evidence)).unwrap_or_default();
            mark(&mut rows.sentences.gold, lengths.sentences, sentences)?;
        }
        Ok(())
    }

    /// Appends scores and the hard rationale for a document.
    fn predictions(
        &self,
        instance: &Instance<'_>,
        rationale: &Rationale<'_>,
        lengths: Lengths,
        rows: &mut Rows,
    ) -> Outcome<()> {
        for (field, units) in [(&rationale.soft, &mut rows.tokens), (&rationale.sentences, &mut rows.sentences)] {
            units.scores.extend_from_slice(field.given().map(|range| instance.scores_in(range)).unwrap_or_default());
        }
        let name = "hard_rationale_predictions";
        if !self.shape.hard {
            return Ok(());
        }
        if rationale.hard.given().is_none() {
            return Err(Fault::new("none", "a list of spans as in the first instance").within(name));
        }
        mark(&mut rows.rationale, lengths.tokens, instance.hard(rationale)).map_err(|fault| fault.within(name))
    }
}

const REMOVE: &str = "comprehensiveness_classification_scores";
const KEEP: &str = "sufficiency_classification_scores";

/// What came of a block of lines.
struct Block {
    rows: Rows,
    /// For each instance its line, and where its annotation is or, without one, its name.
    ids: Vec<(u64, std::result::Result<usize, String>)>,
    /// The first fault, after which nothing is read.
    fault: Option<(u64, Fault)>,
}

/// Memory that is used again from line to line.
#[derive(Default)]
struct Scratch {
    lengths: Vec<Option<Lengths>>,
    spans: Vec<Span>,
}

fn fill<T: Clone>(wanted: bool, out: &mut Vec<T>, count: usize, value: T) {
    if wanted {
        out.resize(out.len() + count, value);
    }
}

/// Appends the marks of a document. -1 to -1, which stands for an unknown place, marks nothing; other positions must
/// lie in the document and run forward.
fn mark(out: &mut Vec<bool>, length: usize, spans: &[Span]) -> Outcome<()> {
    let first = out.len();
    out.resize(first + length, false);
    // The stretch that reaches furthest; what lies in it is marked already.
    let (mut from, mut to) = (0, 0);
    for &span in spans.iter().filter(|span| (span.start, span.end) != (-1, -1)) {
        if span.start < 0 || span.start > span.end {
            return Err(Fault::new(format!("[{}, {})", span.start, span.end), "0 <= start <= end"));
        }
        spans::inside(span, length)?;
        let start = if span.start >= from { span.start.max(to) } else { span.start };
        spans::mark(Span { start, ..span }, out.get_mut(first..).unwrap_or_default())?;
        if span.end > to {
            (from, to) = (span.start, span.end);
        }
    }
    Ok(())
}

/// The classes of the annotations in alphabetical order, then further ones of the first instance. A fault where one of
/// these is a class of the annotations but for its capitals: each would count as a class of its own.
fn labels(annotations: &Annotations, first: &Instance<'_>) -> Outcome<Vec<String>> {
    let mut labels = annotations.classes.clone();
    labels.sort_unstable();
    let scores = first.scores.given().map(|range| first.distribution_in(range)).unwrap_or_default();
    for name in scores.iter().map(|(name, _)| name.as_ref()).chain(first.classification.given().map(AsRef::as_ref)) {
        if labels.iter().any(|label| label == name) {
            continue;
        }
        if let Some(label) = annotations.classes.iter().find(|label| label.to_lowercase() == name.to_lowercase()) {
            let fault = Fault::new(format!("the class {name:?}"), format!("{label:?} as in the annotations"));
            return Err(fault.within("classification"));
        }
        labels.push(name.to_owned());
    }
    Ok(labels)
}

fn thresholds_of(all: &[Threshold]) -> Vec<f64> {
    all.iter().map(|entry| entry.threshold).collect()
}

/// The thresholds to read, ascending.
fn thresholds(first: &Instance<'_>, wanted: Option<&[f64]>) -> Outcome<Vec<f64>> {
    let Some(given) = first.thresholded.given() else { return Ok(Vec::new()) };
    let all = thresholds_of(given);
    let mut found = wanted.map_or_else(|| all.clone(), <[f64]>::to_vec);
    found.sort_by(f64::total_cmp);
    found.dedup();
    match found.iter().find(|&&threshold| !(threshold > 0.0 && threshold <= 1.0)) {
        Some(bad) => Err(Fault::new(format!("threshold {bad:?}"), "numbers in (0, 1]")),
        None => Ok(found),
    }
}
