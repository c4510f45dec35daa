//! Hard rationales against gold ones as the reference scorer counts them: exact spans, tokens, and overlap.

use serde::{Deserialize, Serialize};

use crate::eraser::mean::{Mean, Merge, merge};
use crate::eraser::spans::{self, Span};

/// Precision, recall and F1.
pub type Prf = [f64; 3];

/// Scores over everything, and their means over documents.
pub type Overall = [Prf; 2];

/// F1 of a precision and a recall with both: exactly 0 where one of them is.
fn prf(p: f64, r: f64) -> Prf {
    [p, r, if p == 0.0 || r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) }]
}

/// Counts of things predicted, in gold, and in both, and the means of precision, recall and F1 over the documents with
/// any of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    predicted: u64,
    gold: u64,
    shared: u64,
    means: [Mean; 3],
}

merge!(Overlap: predicted gold shared means);

impl Overlap {
    fn add(&mut self, predicted: u64, gold: u64, shared: u64) {
        if predicted == 0 && gold == 0 {
            return;
        }
        self.merge(&Self { predicted, gold, shared, ..Self::default() });
        let numbers = prf(share(shared, predicted), share(shared, gold));
        self.means.iter_mut().zip(numbers).for_each(|(mean, number)| mean.add(number));
    }

    pub fn scores(&self) -> Overall {
        [prf(share(self.shared, self.predicted), share(self.shared, self.gold)), self.means.map(Mean::value)]
    }
}

/// Predicted spans that meet a gold span well enough, at one threshold: how many, their share of what is predicted in
/// the documents with predictions, and their share of gold in the documents with evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    count: u64,
    p: Mean,
    r: Mean,
}

merge!(Matched: count p r);

/// What hard rationales add up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hard {
    /// Exactly equal spans.
    pub spans: Overlap,
    pub tokens: Overlap,
    /// For each threshold of intersection over union.
    pub matched: Vec<Matched>,
}

merge!(Hard: spans tokens matched);

impl Hard {
    /// Nothing yet, for so many thresholds of intersection over union.
    pub fn new(thresholds: usize) -> Self {
        Self { matched: vec![Matched::default(); thresholds], ..Self::default() }
    }

    /// Adds a document. Both lists must be sorted and without repeats.
    pub fn add(&mut self, predicted: &[Span], gold: &[Span], thresholds: &[f64]) {
        let (n_predicted, n_gold) = (predicted.len() as u64, gold.len() as u64);
        let equal = predicted.iter().filter(|span| gold.binary_search(span).is_ok()).count() as u64;
        self.spans.add(n_predicted, n_gold, equal);
        let shared = spans::shared_positions(predicted, gold);
        self.tokens.add(spans::positions(predicted), spans::positions(gold), shared);
        for (matched, &threshold) in self.matched.iter_mut().zip(thresholds) {
            let count = matches(predicted, gold, threshold);
            matched.count += count;
            if n_predicted > 0 {
                matched.p.add(share(count, n_predicted));
            }
            if n_gold > 0 {
                matched.r.add(share(count, n_gold));
            }
        }
    }

    /// What there is none of, so that the reference scorer divides by zero.
    pub fn lacks(&self) -> Option<&'static str> {
        let counts = [
            (self.spans.predicted, "no predicted span"),
            (self.spans.gold, "no span of evidence"),
            (self.tokens.predicted, "no predicted token"),
            (self.tokens.gold, "no token of evidence"),
        ];
        counts.iter().find(|(count, _)| *count == 0).map(|(_, lack)| *lack)
    }

    /// Scores of overlapping spans over everything and over documents, for each threshold. A gold span may serve several
    /// predictions, so that recall and F1 can exceed 1; the second F1 is that of the mean precision and the mean recall.
    pub fn matched(&self) -> Vec<Overall> {
        let Overlap { predicted, gold, .. } = self.spans;
        let over_all = |count| prf(share(count, predicted), share(count, gold));
        self.matched.iter().map(|found| [over_all(found.count), prf(found.p.value(), found.r.value())]).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraser::spans::sort;
    use proptest::prelude::*;

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
            for threshold in [f64::NAN, -1.0, 0.0, 1e-9, 0.1, 0.25, 1.0 / 3.0, 0.5, 2.0 / 3.0, 0.9, 1.0] {
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
    }

    #[test]
    fn extremes_do_not_overflow() {
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        let mut all: Vec<Span> =
            ends.iter().flat_map(|&start| ends.iter().map(move |&end| Span { start, end })).collect();
        sort(&mut all);
        assert_eq!([1.0 / 255.0, 0.3, 1.0].map(|threshold| matches(&all, &all, threshold)), [21; 3]);
    }
}
