//! Rows of numbers: what the metrics of `unirex.metrics` are computed from.

use crate::eraser::check::Profile;
use crate::eraser::probabilities::Odd;

/// What every row has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// The classes: those of the annotations in alphabetical order, then further ones of the first instance.
    pub labels: Vec<String>,
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
        let Profile { classification, comprehensiveness, sufficiency, soft, sentences } = self.profile;
        [
            (classification, "prediction"),
            (self.scores, "probabilities"),
            (comprehensiveness, "remove"),
            (sufficiency, "keep"),
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
    pub id_offsets: Vec<i64>,
    /// The true class as a position in the labels; -1 = unknown.
    pub label: Vec<i64>,
    /// The predicted class, where there is one.
    pub prediction: Vec<i64>,
    /// Class scores on the whole input.
    pub probabilities: Vec<f64>,
    /// Class scores without the rationale.
    pub remove: Vec<f64>,
    /// Class scores of the rationale alone.
    pub keep: Vec<f64>,
    /// Class scores without the rationale at each threshold.
    pub remove_at: Vec<f64>,
    /// Class scores of the rationale alone at each threshold.
    pub keep_at: Vec<f64>,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    /// Where each row starts, and the end of the last.
    pub offsets: Vec<i64>,
    /// Scores, where there are any.
    pub scores: Vec<f64>,
    /// The human rationale.
    pub gold: Vec<bool>,
}

impl Default for Units {
    fn default() -> Self {
        Self { offsets: vec![0], scores: Vec::new(), gold: Vec::new() }
    }
}

impl Rows {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self { id_offsets: vec![0], ..Self::default() }
    }

    /// Notes that a document begins here, in a row whose first token is `first`.
    pub fn border(&mut self, first: usize) {
        let here = self.tokens.gold.len();
        if here > first {
            self.borders.push(here as i64);
        }
    }

    /// Adds further rows at the end.
    pub fn append(&mut self, other: Self) {
        append_offsets(&mut self.id_offsets, &other.id_offsets);
        let tokens = self.tokens.gold.len() as i64;
        self.borders.extend(other.borders.iter().map(|border| border + tokens));
        self.odd.merge(other.odd);
        self.ids.extend(other.ids);
        self.label.extend(other.label);
        self.prediction.extend(other.prediction);
        self.probabilities.extend(other.probabilities);
        self.remove.extend(other.remove);
        self.keep.extend(other.keep);
        self.remove_at.extend(other.remove_at);
        self.keep_at.extend(other.keep_at);
        for (ours, theirs) in [(&mut self.tokens, other.tokens), (&mut self.sentences, other.sentences)] {
            append_offsets(&mut ours.offsets, &theirs.offsets);
            ours.scores.extend(theirs.scores);
            ours.gold.extend(theirs.gold);
        }
        self.rationale.extend(other.rationale);
        self.gold_known.extend(other.gold_known);
    }
}

fn append_offsets(ours: &mut Vec<i64>, theirs: &[i64]) {
    let end = ours.last().copied().unwrap_or_default();
    ours.extend(theirs.iter().skip(1).map(|offset| offset + end));
}
