//! Rows of numbers: what the metrics of `unirex.metrics` are computed from.

use indexmap::IndexSet;

use crate::eraser::check::Profile;
use crate::eraser::mean::Merge;
use crate::eraser::probabilities::Odd;

/// What every row has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// The classes: those of the annotations in alphabetical order, then further ones of the first instance.
    pub labels: IndexSet<String>,
    /// The thresholds at which class scores are given, ascending.
    pub thresholds: Vec<f64>,
    /// Hard rationales.
    pub hard: bool,
    /// Scores, class and parts of the input.
    pub profile: Profile,
    /// Class scores on the whole input.
    pub scores: bool,
}

impl Shape {
    /// The names of what every row has.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Profile { classification, parts: [remove, keep], soft, sentences } = self.profile;
        [
            (classification, "prediction"),
            (self.scores, "probabilities"),
            (remove, "remove"),
            (keep, "keep"),
            (soft, "scores"),
            (sentences, "sentences"),
            (self.hard, "rationale"),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
    }
}

/// Rows, one after the other. Lists of classes have one number for each label, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The names of the instances, end to end.
    pub ids: Vec<u8>,
    /// Where each name starts, and the end of the last.
    pub id_offsets: Offsets,
    /// The true class as a position in the labels; -1 = unknown.
    pub label: Vec<i64>,
    /// The predicted class, where there is one.
    pub prediction: Vec<i64>,
    /// Class scores on the whole input.
    pub probabilities: Vec<f64>,
    /// Class scores without the rationale, and of the rationale alone.
    pub parts: [Vec<f64>; 2],
    /// The same at each threshold.
    pub parts_at: [Vec<f64>; 2],
    /// Tokens.
    pub tokens: Units,
    /// Sentences; no rationale.
    pub sentences: Units,
    /// The hard rationale: one flag a token.
    pub rationale: Vec<bool>,
    /// Whether a human rationale is known: some token is marked.
    pub gold_known: Vec<bool>,
    /// The tokens with which a further document of a row begins.
    pub borders: Vec<i64>,
    /// Rows with odd class scores.
    pub odd: Odd,
}

/// Tokens or sentences of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Units {
    /// Where each row starts, and the end of the last.
    pub offsets: Offsets,
    /// Scores, where there are any.
    pub scores: Vec<f64>,
    /// The human rationale.
    pub gold: Vec<bool>,
}

/// Where each row starts, and the end of the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets(pub Vec<i64>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    /// Ends a row.
    pub fn push(&mut self, end: usize) {
        self.0.push(end as i64);
    }

    fn append(&mut self, other: &Self) {
        let end = self.0.last().copied().unwrap_or_default();
        self.0.extend(other.0.iter().skip(1).map(|offset| offset + end));
    }
}

impl Rows {
    /// Notes that a document begins here, in a row whose first token is `first`.
    pub fn border(&mut self, first: usize) {
        let here = self.tokens.gold.len();
        if here > first {
            self.borders.push(here as i64);
        }
    }

    /// Adds further rows at the end.
    pub fn append(&mut self, other: Self) {
        self.id_offsets.append(&other.id_offsets);
        let tokens = self.tokens.gold.len() as i64;
        self.borders.extend(other.borders.iter().map(|border| border + tokens));
        self.odd.merge(&other.odd);
        self.ids.extend(other.ids);
        self.label.extend(other.label);
        self.prediction.extend(other.prediction);
        self.probabilities.extend(other.probabilities);
        for (ours, theirs) in [(&mut self.parts, other.parts), (&mut self.parts_at, other.parts_at)] {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| ours.extend(theirs));
        }
        for (ours, theirs) in [(&mut self.tokens, other.tokens), (&mut self.sentences, other.sentences)] {
            ours.offsets.append(&theirs.offsets);
            ours.scores.extend(theirs.scores);
            ours.gold.extend(theirs.gold);
        }
        self.rationale.extend(other.rationale);
        self.gold_known.extend(other.gold_known);
    }
}
