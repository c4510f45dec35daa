//! Results joined with their annotations, as rows of numbers.
//!
//! A row is an instance. Its tokens are those of its documents in the order of its rationales, then of the documents
//! that have evidence and no prediction: nothing is selected there and scores are minus infinity, as for tokens that
//! a model never saw. All instances must have the same fields, and every annotation an instance.

use std::collections::HashSet;

use indexmap::{IndexMap, IndexSet};

use crate::eraser::annotations::{Annotation, Annotations, Evidence, Reading};
use crate::eraser::check::{self, Profile};
use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::instance::{CLASS, FULL, HARD, Instance, PARTS, POINTS, Rationale, Scores, Threshold};
use crate::eraser::json::Field;
use crate::eraser::lines::Sizes;
use crate::eraser::mean::Merge;
use crate::eraser::probabilities;
use crate::eraser::results::{self, Case, Input, Results};
use crate::eraser::spans::{self, Span};
use crate::error::Result;
use crate::pool;
use crate::problem::{Fault, Outcome, Problem, Problems};

/// What a later instance must have of a field that the first lacks.
const NONE: &str = "none as in the first instance";

type Found<T> = std::result::Result<T, Problem>;

/// What every row has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// The classes: those of the annotations in alphabetical order, then further ones of the first instance.
    pub labels: IndexSet<String>,
    /// The thresholds at which class scores are given, ascending.
    pub thresholds: Vec<f64>,
    hard: bool,
    profile: Profile,
    /// Class scores on the whole input.
    scores: bool,
}

impl Shape {
    /// The names of what every row has.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Profile { classification, parts: [remove, keep], soft, sentences } = self.profile;
        let all = [
            (classification, "prediction"),
            (self.scores, "probabilities"),
            (remove, "remove"),
            (keep, "keep"),
            (soft, "scores"),
            (sentences, "sentences"),
            (self.hard, "rationale"),
        ];
        all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
    }
}

/// Numbers by the name of their column.
pub type Columns<T> = IndexMap<&'static str, Vec<T>>;

/// Columns of rows, one after the other: what the metrics of `unirex.metrics` are computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The names of the instances, end to end.
    pub ids: Vec<u8>,
    /// Class scores, one for each label in their order; scores of tokens and sentences.
    pub floats: Columns<f64>,
    /// Classes as positions in the labels, -1 = unknown; lengths of ids, rows and documents.
    pub wholes: Columns<i64>,
    /// One a token or sentence; `gold_known` (some token is marked) one a row.
    pub flags: Columns<bool>,
    /// Rows with odd class scores.
    pub odd: [u64; 2],
}

impl Default for Rows {
    fn default() -> Self {
        let class_scores = ["probabilities", "remove", "keep", "remove_at", "keep_at"];
        let lengths = ["id_lengths", "lengths", "sentence_lengths", "document_lengths"];
        Self {
            ids: Vec::new(),
            floats: columns(&[&class_scores, &["scores", "sentence_scores"]]),
            wholes: columns(&[&lengths, &["label", "prediction"]]),
            flags: columns(&[&["gold", "sentence_gold", "gold_known", "rationale"]]),
            odd: [0; 2],
        }
    }
}

fn columns<T>(names: &[&[&'static str]]) -> Columns<T> {
    names.concat().into_iter().map(|name| (name, Vec::new())).collect()
}

impl Rows {
    /// Adds further rows at the end.
    fn append(&mut self, other: Self) {
        self.ids.extend(other.ids);
        extend(&mut self.floats, other.floats);
        extend(&mut self.wholes, other.wholes);
        extend(&mut self.flags, other.flags);
        self.odd.merge(&other.odd);
    }
}

/// How instances are joined.
struct Join {
    shape: Shape,
    /// Whether all thresholds of an instance are read, so that all instances must have the same.
    all_thresholds: bool,
    /// Whether odd class scores are an error, and not counted.
    strict: bool,
}

/// Reads results batch by batch.
pub struct RowReader {
    join: Join,
    results: Results,
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
        pool::run(None, || Ok(Self::read(input, wanted, strict)?))
    }

    /// The next rows; none at the end of the last file.
    pub fn step(&mut self) -> Result<Option<Rows>> {
        pool::run(None, || Ok(self.next()?))
    }

    fn read(input: &Input, wanted: Option<&[f64]>, strict: bool) -> Found<Self> {
        let sizes = Sizes::default();
        let (line, files) = results::open(input, sizes)?;
        let at = |fault| results::first_problem(input, fault);
        let profile = Instance::parse(&line, |first| Ok(Profile::of(first))).map_err(at)?;
        let reading = Reading { sentences: profile.sentences, exact: false, places: true };
        let results = Results::new(input, files, reading, sizes, &mut Problems::one())?;
        let shape = |first: &Instance<'_>| {
            Ok(Shape {
                labels: labels(&results.annotations, first)?,
                thresholds: thresholds(first, wanted).map_err(|fault| fault.within(POINTS))?,
                hard: first.rationales.first().is_some_and(|rationale| rationale.hard.given().is_some()),
                profile,
                scores: first.scores.given().is_some(),
            })
        };
        let shape = Instance::parse(&line, shape).map_err(at)?;
        let join = Join { shape, all_thresholds: wanted.is_none(), strict };
        Ok(Self { join, results, is_part: input.part.is_some() })
    }

    /// What every row has.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.join.shape
    }

    /// Number of annotations.
    #[must_use]
    pub fn total(&self) -> usize {
        self.results.annotations.len()
    }

    /// Which instances were there, for [`RowReader::merge_part`] elsewhere.
    pub fn part(&self) -> Result<Vec<u8>> {
        Ok(self.results.pack(&())?)
    }

    /// Adds which instances a reader of other files of the same results met.
    pub fn merge_part(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.results.unpack(bytes, |(): &()| true)?)
    }

    /// Fails if an annotation had no instance, in all parts that were read or merged.
    pub fn finish(&self) -> Result<()> {
        Ok(self.results.lack().map_or(Ok(()), Err)?)
    }

    fn next(&mut self) -> Found<Option<Rows>> {
        let Self { join, results, is_part } = self;
        let mut rows = Rows::default();
        let add = |rows: &mut Rows, case: Case<'_>, fault: &mut dyn FnMut(Fault)| {
            join.row(&case, rows).unwrap_or_else(fault);
        };
        if results.step(&mut Problems::one(), add, |block| rows.append(block))? {
            return Ok(Some(rows));
        }
        results.lack().filter(|_| !*is_part).map_or(Ok(None), Err)
    }
}

fn extend<T>(ours: &mut Columns<T>, theirs: Columns<T>) {
    ours.values_mut().zip(theirs.into_values()).for_each(|(ours, theirs)| ours.extend(theirs));
}

impl Join {
    /// Adds an instance.
    fn row(&self, case: &Case<'_>, rows: &mut Rows) -> Outcome<()> {
        let Case { instance, annotation, docs, annotations } = case;
        let mut first = None;
        let lengths = check::instance(instance, docs, Some(self.shape.profile), &mut |fault| {
            first.get_or_insert(fault);
        });
        first.map_or(Ok(()), Err)?;
        self.classes(instance, annotation, annotations, rows)?;
        self.documents(instance, annotation, docs, &lengths, rows)?;
        rows.ids.extend_from_slice(instance.id.as_bytes());
        rows.wholes["id_lengths"].push(instance.id.len() as i64);
        Ok(())
    }

    fn classes(
        &self,
        instance: &Instance<'_>,
        annotation: &Annotation,
        annotations: &Annotations,
        rows: &mut Rows,
    ) -> Outcome<()> {
        let label = match annotation.classes.as_slice() {
            [] | [None] => -1,
            [Some(class)] => {
                annotations.classes.get_index(*class as usize).map_or(Ok(-1), |name| self.position(name))?
            }
            more => {
                let found = format!("{} annotations of this id", more.len());
                return Err(Fault::new(found, "one").within("annotation_id"));
            }
        };
        rows.wholes["label"].push(label);
        if let Some(class) = instance.classification.given() {
            let position = self.position(class).map_err(|fault| fault.within(CLASS))?;
            rows.wholes["prediction"].push(position);
        }
        if !self.shape.scores && instance.scores.given().is_some() {
            return Err(Fault::new("class scores", NONE).within(FULL));
        }
        if self.shape.scores || instance.scores.has_key() {
            self.distribution(&instance.scores, FULL, &mut rows.floats["probabilities"])?;
        }
        for (i, column) in ["remove", "keep"].into_iter().enumerate().filter(|(i, _)| self.shape.profile.parts[*i]) {
            self.distribution(&instance.parts[i], PARTS[i], &mut rows.floats[column])?;
        }
        self.thresholds(instance, rows).map_err(|fault| fault.within(POINTS))?;
        if self.strict {
            probabilities::odd(instance).into_iter().collect()
        } else {
            probabilities::count(&mut rows.odd, instance);
            Ok(())
        }
    }

    fn thresholds(&self, instance: &Instance<'_>, rows: &mut Rows) -> Outcome<()> {
        let (all, wanted) = (instance.points(), &self.shape.thresholds);
        let found = || format!("thresholds {:?}", thresholds_of(all));
        if self.all_thresholds && all.len() != wanted.len() {
            let expected = format!("{wanted:?} as in the first instance, or thresholds that are asked for");
            return Err(Fault::new(found(), expected));
        }
        for &threshold in wanted {
            let mut entries = all.iter().filter(|entry| entry.threshold.total_cmp(&threshold).is_eq());
            let (Some(entry), None) = (entries.next(), entries.next()) else {
                return Err(Fault::new(found(), format!("{threshold} once")));
            };
            for ((part, name), column) in entry.parts.iter().zip(PARTS).zip(["remove_at", "keep_at"]) {
                self.distribution(part, name, &mut rows.floats[column])?;
            }
        }
        Ok(())
    }

    /// Appends class scores in the order of the labels.
    fn distribution(&self, field: &Field<Scores<'_>>, name: &str, out: &mut Vec<f64>) -> Outcome<()> {
        let within = |fault: Fault| fault.within(name);
        let Some(scores) = field.given() else { return Err(within(Fault::new("none", "class scores"))) };
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
        match out.iter().skip(first).position(|score| score.is_nan()).and_then(|at| self.shape.labels.get_index(at)) {
            Some(class) => Err(within(Fault::new("no score", format!("one for the class {class:?}")))),
            None => Ok(()),
        }
    }

    fn position(&self, class: &str) -> Outcome<i64> {
        let found = self.shape.labels.get_index_of(class).map(|at| at as i64);
        found.ok_or_else(|| Fault::new(format!("{class:?}"), format!("one of the classes {:?}", self.shape.labels)))
    }

    fn documents(
        &self,
        instance: &Instance<'_>,
        annotation: &Annotation,
        docs: &Docs,
        lengths: &[Lengths],
        rows: &mut Rows,
    ) -> Outcome<()> {
        let (first, first_sentence) = (rows.flags["gold"].len(), rows.flags["sentence_gold"].len());
        let mut names = HashSet::new();
        for (i, (rationale, &lengths)) in instance.rationales.iter().zip(lengths).enumerate() {
            let at = |fault: Fault| fault.at(i).within("rationales");
            if !names.insert(rationale.docid) {
                let found = format!("{:?} again", rationale.docid);
                return Err(at(Fault::new(found, "every document once").within("docid")));
            }
            self.document(annotation.evidence(rationale.docid), lengths, rows)?;
            self.predictions(rationale, lengths, rows).map_err(at)?;
        }
        for evidence in annotation.docs.iter().filter(|evidence| !names.contains(evidence.docid.as_str())) {
            let lengths = docs.lengths(&evidence.docid)?;
            self.document(Some(evidence), lengths, rows)?;
            let Shape { profile, hard, .. } = &self.shape;
            fill(profile.soft, &mut rows.floats["scores"], lengths.tokens, f64::NEG_INFINITY);
            fill(profile.sentences, &mut rows.floats["sentence_scores"], lengths.sentences, f64::NEG_INFINITY);
            fill(*hard, &mut rows.flags["rationale"], lengths.tokens, false);
        }
        let (tokens, sentences) = (&rows.flags["gold"][first..], &rows.flags["sentence_gold"][first_sentence..]);
        rows.wholes["lengths"].push(tokens.len() as i64);
        rows.wholes["sentence_lengths"].push(sentences.len() as i64);
        let is_known = tokens.contains(&true);
        rows.flags["gold_known"].push(is_known);
        Ok(())
    }

    /// Appends the human rationale in a document.
    fn document(&self, evidence: Option<&Evidence>, lengths: Lengths, rows: &mut Rows) -> Outcome<()> {
        rows.wholes["document_lengths"].push(lengths.tokens.into());
        let [tokens, sentences] = evidence.map(|found| [&found.tokens[..], &found.sentences]).unwrap_or_default();
        mark(&mut rows.flags["gold"], lengths.tokens, tokens)?;
        if self.shape.profile.sentences {
            mark(&mut rows.flags["sentence_gold"], lengths.sentences, sentences)?;
        }
        Ok(())
    }

    /// Appends scores and the hard rationale for a document.
    fn predictions(&self, rationale: &Rationale<'_>, lengths: Lengths, rows: &mut Rows) -> Outcome<()> {
        rows.floats["scores"].extend(rationale.soft.given().into_iter().flatten());
        rows.floats["sentence_scores"].extend(rationale.sentences.given().into_iter().flatten());
        match (rationale.hard.given(), self.shape.hard) {
            (None, false) => Ok(()),
            (Some(spans), true) => mark(&mut rows.flags["rationale"], lengths.tokens, spans),
            (None, true) => Err(Fault::new("none", "a list of spans as in the first instance")),
            (Some(_), false) => Err(Fault::new("a list of spans", NONE)),
        }
        .map_err(|fault| fault.within(HARD))
    }
}

fn fill<T: Clone>(wanted: bool, out: &mut Vec<T>, count: u32, value: T) {
    if wanted {
        out.resize(out.len() + count as usize, value);
    }
}

/// Appends the marks of a document. -1 to -1, which stands for an unknown place, marks nothing; other positions must
/// lie in the document and run forward.
fn mark(out: &mut Vec<bool>, length: u32, spans: &[Span]) -> Outcome<()> {
    let mut known: Vec<Span> = spans.iter().filter(|span| (span.start, span.end) != (-1, -1)).copied().collect();
    if let Some(span) = known.iter().find(|span| span.start < 0 || span.start > span.end) {
        return Err(Fault::new(span.to_string(), "0 <= start <= end"));
    }
    known.iter().try_for_each(|&span| spans::inside(span, length as usize))?;
    spans::sort(&mut known);
    out.extend(spans::marks(&known, length as usize)?);
    Ok(())
}

/// The classes of the annotations in alphabetical order, then further ones of the first instance. A fault where one of
/// these is a class of the annotations but for its capitals: each would count as a class of its own.
fn labels(annotations: &Annotations, first: &Instance<'_>) -> Outcome<IndexSet<String>> {
    let mut labels = annotations.classes.clone();
    labels.sort_unstable();
    let scores = first.scores.given().into_iter().flat_map(Scores::keys);
    for &name in scores.chain(first.classification.given()) {
        if labels.contains(name) {
            continue;
        }
        if let Some(label) = annotations.classes.iter().find(|label| label.to_lowercase() == name.to_lowercase()) {
            let fault = Fault::new(format!("the class {name:?}"), format!("{label:?} as in the annotations"));
            return Err(fault.within(CLASS));
        }
        labels.insert(name.to_owned());
    }
    Ok(labels)
}

fn thresholds_of(all: &[Threshold<'_>]) -> Vec<f64> {
    all.iter().map(|entry| entry.threshold).collect()
}

/// The thresholds to read, ascending.
fn thresholds(first: &Instance<'_>, wanted: Option<&[f64]>) -> Outcome<Vec<f64>> {
    let Some(given) = first.thresholded.given() else {
        let lacks = |wanted| Err(Fault::new("none", format!("the thresholds {wanted:?}, which are asked for")));
        return wanted.map_or_else(|| Ok(Vec::new()), lacks);
    };
    let all = thresholds_of(given);
    let mut found = wanted.map_or_else(|| all.clone(), <[f64]>::to_vec);
    found.sort_by(f64::total_cmp);
    found.dedup();
    match found.iter().find(|&&threshold| !(threshold > 0.0 && threshold <= 1.0)) {
        Some(bad) => Err(Fault::new(format!("threshold {bad:?}"), "numbers in (0, 1]")),
        None => Ok(found),
    }
}
