//! Hard rationales against gold ones as the reference scorer counts them: exact spans, tokens, and overlap.

use serde::{Deserialize, Serialize};

use crate::eraser::matching::Matcher;
use crate::eraser::spans::{self, Span};
use crate::eraser::sum::Sum;

/// Precision, recall and F1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prf {
    /// Precision.
    pub p: f64,
    /// Recall.
    pub r: f64,
    /// F1.
    pub f1: f64,
}

impl Prf {
    /// F1 of a precision and a recall: exactly 0 where one of them is.
    #[must_use]
    pub fn of(p: f64, r: f64) -> Self {
        Self { p, r, f1: if p == 0.0 || r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) } }
    }
}

/// Micro (over everything) and macro (mean over documents).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicroMacro {
    /// Over everything.
    pub micro_: Prf,
    /// Mean over documents.
    pub macro_: Prf,
}

/// Counts of things predicted, in gold, and in both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Overlap {
    predicted: u64,
    gold: u64,
    shared: u64,
    /// Documents with something predicted or in gold.
    documents: u64,
    p: Sum,
    r: Sum,
    f1: Sum,
}

impl Overlap {
    fn add(&mut self, predicted: u64, gold: u64, shared: u64) {
        if predicted == 0 && gold == 0 {
            return;
        }
        let prf = Prf::of(share(shared, predicted), share(shared, gold));
        self.predicted = self.predicted.saturating_add(predicted);
        self.gold = self.gold.saturating_add(gold);
        self.shared = self.shared.saturating_add(shared);
        self.documents += 1;
        self.p.add(prf.p);
        self.r.add(prf.r);
        self.f1.add(prf.f1);
    }

    fn merge(&mut self, other: &Self) {
        self.predicted = self.predicted.saturating_add(other.predicted);
        self.gold = self.gold.saturating_add(other.gold);
        self.shared = self.shared.saturating_add(other.shared);
        self.documents += other.documents;
        self.p.merge(other.p);
        self.r.merge(other.r);
        self.f1.merge(other.f1);
    }

    fn result(&self) -> MicroMacro {
        let n = self.documents;
        MicroMacro {
            micro_: Prf::of(share(self.shared, self.predicted), share(self.shared, self.gold)),
            macro_: Prf { p: self.p.mean(n), r: self.r.mean(n), f1: self.f1.mean(n) },
        }
    }
}

/// Predicted spans that meet a gold span well enough, at one threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Matched {
    count: u64,
    p: Sum,
    r: Sum,
}

/// What hard rationales add up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hard {
    spans: Overlap,
    tokens: Overlap,
    matched: Vec<Matched>,
    documents_predicted: u64,
    documents_gold: u64,
}

/// Memory that is used again from document to document.
#[derive(Debug, Default)]
pub struct Scratch {
    matcher: Matcher,
    predicted: Vec<Span>,
    gold: Vec<Span>,
}

impl Hard {
    /// Nothing yet, for so many thresholds of intersection over union.
    #[must_use]
    pub fn new(thresholds: usize) -> Self {
        Self { matched: vec![Matched::default(); thresholds], ..Self::default() }
    }

    /// Whether another was made for as many thresholds.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.matched.len() == other.matched.len()
    }

    /// Adds a document. Both lists must be sorted and without repeats.
    pub fn add(&mut self, predicted: &[Span], gold: &[Span], thresholds: &[f64], scratch: &mut Scratch) {
        let (n_predicted, n_gold) = (predicted.len() as u64, gold.len() as u64);
        self.spans.add(n_predicted, n_gold, spans::shared(predicted, gold));
        spans::merge(predicted, &mut scratch.predicted);
        spans::merge(gold, &mut scratch.gold);
        let (merged, merged_gold) = (&scratch.predicted, &scratch.gold);
        let shared = spans::shared_positions(merged, merged_gold);
        self.tokens.add(spans::positions(merged), spans::positions(merged_gold), shared);
        self.documents_predicted += u64::from(n_predicted > 0);
        self.documents_gold += u64::from(n_gold > 0);
        let mut matched = self.matched.iter_mut();
        scratch.matcher.count(predicted, gold, thresholds, |count| {
            if let Some(matched) = matched.next() {
                matched.count += count;
                matched.p.add(share(count, n_predicted));
                matched.r.add(share(count, n_gold));
            }
        });
    }

    /// Adds what another part of the input adds up to.
    pub fn merge(&mut self, other: &Self) {
        self.spans.merge(&other.spans);
        self.tokens.merge(&other.tokens);
        self.documents_predicted += other.documents_predicted;
        self.documents_gold += other.documents_gold;
        for (ours, theirs) in self.matched.iter_mut().zip(&other.matched) {
            ours.count += theirs.count;
            ours.p.merge(theirs.p);
            ours.r.merge(theirs.r);
        }
    }

    /// What there is none of, so that the reference scorer divides by zero.
    #[must_use]
    pub fn lacks(&self) -> Option<&'static str> {
        [
            (self.spans.predicted, "no predicted span"),
            (self.spans.gold, "no span of evidence"),
            (self.tokens.predicted, "no predicted token"),
            (self.tokens.gold, "no token of evidence"),
        ]
        .iter()
        .find(|(count, _)| *count == 0)
        .map(|(_, lack)| *lack)
    }

    /// Scores of exactly equal spans.
    #[must_use]
    pub fn spans(&self) -> MicroMacro {
        self.spans.result()
    }

    /// Scores of tokens.
    #[must_use]
    pub fn tokens(&self) -> MicroMacro {
        self.tokens.result()
    }

    /// Scores of overlapping spans, for each threshold. A gold span may serve several predictions, so that recall and
    /// F1 can exceed 1; macro F1 is that of the mean precision and the mean recall.
    pub fn matched(&self) -> impl Iterator<Item = MicroMacro> {
        self.matched.iter().map(|matched| MicroMacro {
            micro_: Prf::of(share(matched.count, self.spans.predicted), share(matched.count, self.spans.gold)),
            macro_: Prf::of(mean(matched.p, self.documents_predicted), mean(matched.r, self.documents_gold)),
        })
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn mean(sum: Sum, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum.mean(count) }
}
