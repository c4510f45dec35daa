//! One line of results: the predictions for one instance.

use indexmap::IndexMap;

use crate::eraser::json::{self, Field, Object, Scratch, Value};
use crate::eraser::spans::Span;
use crate::problem::Outcome;

/// The predicted class.
pub const CLASS: &str = "classification";
/// Class scores on the whole input.
pub const FULL: &str = "classification_scores";
/// Class scores at several thresholds.
pub const POINTS: &str = "thresholded_scores";
/// Class scores with one part of the input: without the rationale, and of the rationale alone.
pub const PARTS: [&str; 2] = ["comprehensiveness_classification_scores", "sufficiency_classification_scores"];
/// Predictions for a document: spans, a score a token, a score a sentence.
pub const HARD: &str = "hard_rationale_predictions";
/// A score for each token.
pub const SOFT: &str = "soft_rationale_predictions";
/// A score for each sentence.
pub const SENTENCES: &str = "soft_sentence_predictions";

/// Scores by class, in the order of the file; of equal names the last score counts, at the place of the first.
pub type Scores<'v> = IndexMap<&'v str, f64>;

/// Predictions for one document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rationale<'v> {
    /// The document.
    pub docid: &'v str,
    /// Hard spans.
    pub hard: Field<Vec<Span>>,
    /// A score for each token.
    pub soft: Field<Vec<f64>>,
    /// A score for each sentence.
    pub sentences: Field<Vec<f64>>,
}

impl Rationale<'_> {
    /// The hard spans; none where there is no such field.
    pub fn spans(&self) -> &[Span] {
        self.hard.given().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Class scores with the rationale at one threshold taken away or kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold<'v> {
    /// Which threshold.
    pub threshold: f64,
    /// Class scores, as in `PARTS`.
    pub parts: [Field<Scores<'v>>; 2],
}

/// One line of results.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instance<'v> {
    /// The annotation it belongs to.
    pub id: &'v str,
    /// Predictions for each document.
    pub rationales: Vec<Rationale<'v>>,
    /// The predicted class.
    pub classification: Field<&'v str>,
    /// Class scores on the whole input.
    pub scores: Field<Scores<'v>>,
    /// Class scores with a part of it, as in `PARTS`.
    pub parts: [Field<Scores<'v>>; 2],
    /// Class scores at several thresholds.
    pub thresholded: Field<Vec<Threshold<'v>>>,
    /// Whether `tokens_to_flip` is given.
    pub tokens_to_flip: Field<f64>,
}

impl<'v> Instance<'v> {
    /// The instance that the fields of a line are.
    pub fn read(fields: Object<'v, '_>) -> Outcome<Self> {
        let rationales = "a list of predictions, one a document";
        Ok(Self {
            id: fields.need("annotation_id", "text", json::text)?,
            rationales: fields.need("rationales", rationales, |value| json::list(value, rationale))?,
            classification: fields.field(CLASS, json::text)?,
            scores: fields.field(FULL, scores)?,
            parts: parts(fields)?,
            thresholded: fields.field(POINTS, |value| json::list(value, threshold))?,
            tokens_to_flip: fields.field("tokens_to_flip", json::number)?,
        })
    }

    /// What `then` makes of the instance of a line.
    pub fn parse<T>(line: &[u8], then: impl FnOnce(&Instance<'_>) -> Outcome<T>) -> Outcome<T> {
        json::read(line, &mut Scratch::new(), |fields| then(&Instance::read(fields)?))
    }

    /// The entries of `POINTS`; none where there is no such field.
    pub fn points(&self) -> &[Threshold<'v>] {
        self.thresholded.given().map(Vec::as_slice).unwrap_or_default()
    }
}

fn parts<'v>(fields: Object<'v, '_>) -> Outcome<[Field<Scores<'v>>; 2]> {
    let [remove, keep] = PARTS.map(|name| fields.field(name, scores));
    Ok([remove?, keep?])
}

fn rationale<'v>(value: &'v Value<'_>) -> Outcome<Rationale<'v>> {
    let fields = json::object(value)?;
    let numbers = |value| json::list(value, json::number);
    Ok(Rationale {
        docid: fields.need("docid", "the name of a document", json::text)?,
        hard: fields.field(HARD, |value| json::list(value, span))?,
        soft: fields.field(SOFT, numbers)?,
        sentences: fields.field(SENTENCES, numbers)?,
    })
}

fn span(value: &Value<'_>) -> Outcome<Span> {
    let fields = json::object(value)?;
    let [start, end] = ["start_token", "end_token"].map(|name| fields.need(name, "a whole number", json::integer));
    Ok(Span { start: start?, end: end? })
}

fn scores<'v>(value: &'v Value<'_>) -> Outcome<Scores<'v>> {
    let fields = json::object(value)?.0;
    let mut found = Scores::with_capacity(fields.len());
    for (class, score) in fields {
        found.insert(json::name(class)?, json::number(score).map_err(|fault| fault.within(class))?);
    }
    Ok(found)
}

fn threshold<'v>(value: &'v Value<'_>) -> Outcome<Threshold<'v>> {
    let fields = json::object(value)?;
    Ok(Threshold { threshold: fields.need("threshold", "a number", json::number)?, parts: parts(fields)? })
}
