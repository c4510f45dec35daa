//! Hard rationales against gold ones as the reference scorer counts them: exact spans, tokens, and overlap.

use serde::{Deserialize, Serialize};

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

impl Hard {
    /// Nothing yet, for so many thresholds of intersection over union.
    pub fn new(thresholds: usize) -> Self {
        Self { matched: vec![Matched::default(); thresholds], ..Self::default() }
    }

    /// Whether another was made for as many thresholds.
    pub fn is_like(&self, other: &Self) -> bool {
        self.matched.len() == other.matched.len()
    }

    /// Adds a document. Both lists must be sorted and without repeats.
    pub fn add(&mut self, predicted: &[Span], gold: &[Span], thresholds: &[f64]) {
        let (n_predicted, n_gold) = (predicted.len() as u64, gold.len() as u64);
        self.spans.add(n_predicted, n_gold, spans::shared(predicted, gold));
        let (merged, merged_gold) = (spans::merge(predicted), spans::merge(gold));
        let shared = spans::shared_positions(&merged, &merged_gold);
        self.tokens.add(spans::positions(&merged), spans::positions(&merged_gold), shared);
        self.documents_predicted += u64::from(n_predicted > 0);
        self.documents_gold += u64::from(n_gold > 0);
        for (matched, &threshold) in self.matched.iter_mut().zip(thresholds) {
            let count = matches(predicted, gold, threshold);
            matched.count += count;
            matched.p.add(share(count, n_predicted));
            matched.r.add(share(count, n_gold));
        }
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
    pub fn spans(&self) -> MicroMacro {
        self.spans.result()
    }

    /// Scores of tokens.
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

/// How many predicted spans have an intersection over union with some gold span that is no less than a threshold. Both
/// lists must be sorted.
///
/// To reach a threshold t, a gold span must start before the predicted one ends, and no further before its start than
/// (1 / t - 1) times its length. Predicted spans do not overlap, so a gold span is close enough to few of them (one for
/// each power of 1 / (1 - t) up to the length of the document), however many gold spans overlap.
fn matches(predicted: &[Span], gold: &[Span], threshold: f64) -> u64 {
    let is_matched = |span: &&Span| {
        let before = ((1.0 / threshold - 1.0 + 1e-9) * span.len() as f64).ceil();
        // No limit for a threshold of 0 or less, which any span meets.
        let first = if before >= 0.0 { span.start.saturating_sub(before as i64).saturating_sub(1) } else { i64::MIN };
        let (first, last) =
            (gold.partition_point(|gold| gold.start < first), gold.partition_point(|gold| gold.start < span.end));
        let near = gold.get(first..last).unwrap_or_default();
        threshold <= 0.0 || near.iter().any(|gold| span.iou(*gold) >= threshold)
    };
    predicted.iter().filter(is_matched).count() as u64
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn mean(sum: Sum, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum.mean(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraser::spans::sort;
    use proptest::prelude::*;

    const THRESHOLDS: [f64; 11] = [f64::NAN, -1.0, 0.0, 1e-9, 0.1, 0.25, 1.0 / 3.0, 0.5, 2.0 / 3.0, 0.9, 1.0];

    fn spans(up_to: usize, width: i64) -> impl Strategy<Value = Vec<Span>> {
        let span = (-width..width, -2..width).prop_map(|(start, length)| Span { start, end: start + length });
        prop::collection::vec(span, 0..up_to).prop_map(|mut spans| {
            sort(&mut spans);
            spans
        })
    }

    proptest! {
        #[test]
        fn matches_are_those_of_all_pairs(a in spans(60, 40), b in spans(60, 40)) {
            for threshold in THRESHOLDS {
                let best = |p: &Span| b.iter().map(|g| p.iou(*g)).fold(0.0, f64::max);
                let expected = a.iter().filter(|p| best(p) >= threshold).count() as u64;
                prop_assert_eq!(matches(&a, &b, threshold), expected, "{}", threshold);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_nested_spans_take_no_minutes() {
        let n = 100_000;
        let nested: Vec<Span> = (0..n).map(|i| Span { start: i, end: 2 * n - i }).collect();
        let single: Vec<Span> = (0..2 * n).map(|i| Span { start: i, end: i + 1 }).collect();
        // Only the five innermost spans have ten positions or fewer.
        assert_eq!([0.5, 0.1].map(|threshold| matches(&single, &nested, threshold)), [2, 10]);
        let whole = [Span { start: 0, end: 2 * n }];
        assert_eq!([0.5, 1e-6].map(|threshold| matches(&whole, &single, threshold)), [0, 1]);
        let halves: Vec<Span> = (0..17).map(|i| Span { start: 1 << i, end: 2 << i }).collect();
        assert_eq!(matches(&halves, &nested, 0.5), 1);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        let mut all: Vec<Span> =
            ends.iter().flat_map(|&start| ends.iter().map(move |&end| Span { start, end })).collect();
        sort(&mut all);
        for threshold in [1.0 / 255.0, 0.3, 1.0] {
            assert_eq!(matches(&all, &all, threshold), 21);
        }
    }
}
