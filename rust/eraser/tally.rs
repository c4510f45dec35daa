//! What instances add up to: counts and means that parts of the input can be merged from.

use serde::{Deserialize, Serialize};

use crate::eraser::classes::Shift;
use crate::eraser::hard::Hard;
use crate::ranking::Ranker;

/// What parts of the input add up to, and can be added to each other.
pub trait Merge {
    /// Adds what another part of the input adds up to.
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

impl<T: Merge> Merge for [T] {
    fn merge(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(ours, theirs)| ours.merge(theirs));
    }
}

/// Merges field by field.
macro_rules! merge {
    ($type:ty: $($field:tt)*) => {
        impl $crate::eraser::tally::Merge for $type {
            fn merge(&mut self, other: &Self) {
                $(self.$field.merge(&other.$field);)*
            }
        }
    };
}
pub(super) use merge;

/// A mean of float64 whose sum has twice their precision, so that it hardly rounds and the way a file is cut into blocks
/// does not show. Infinities and NaN add as usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    high: f64,
    low: f64,
    count: u64,
}

impl Mean {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        self.add_part(number);
    }

    fn add_part(&mut self, number: f64) {
        let high = self.high + number;
        if !high.is_finite() {
            (self.high, self.low) = (high, 0.0);
            return;
        }
        // What rounding took from the sum (Knuth's two-sum), exact for any order of sizes.
        let part = high - self.high;
        self.low += (self.high - (high - part)) + (number - part);
        self.high = high;
    }

    /// The mean; NaN of no number.
    pub fn value(self) -> f64 {
        if self.count == 0 { f64::NAN } else { (self.high + self.low) / self.count as f64 }
    }
}

impl Merge for Mean {
    fn merge(&mut self, other: &Self) {
        self.add_part(other.high);
        self.add_part(other.low);
        self.count += other.count;
    }
}

/// Means over pairs of annotation and document: AUPRC over all; average precision and ROC AUC over those with gold and
/// other tokens.
pub type Ranks = [Mean; 3];

/// Adds a pair. Scores must be numbers, as many as there are marks of gold.
pub fn add_ranks(ranks: &mut Ranks, ranker: &mut Ranker, scores: &[f64], gold: &[bool]) {
    let Ok(found) = ranker.rank(scores, gold) else { return };
    if found.roc_auc.is_nan() {
        // Recall counts as 1 where there is no gold, so the curve is a straight line from (1, 0) to (0, 1).
        ranks[0].add(if gold.first() == Some(&true) { 1.0 } else { 0.5 });
        return;
    }
    for (mean, number) in ranks.iter_mut().zip([found.auprc, found.average_precision, found.roc_auc]) {
        mean.add(number);
    }
}

/// How often a class is annotated, predicted (of the instances with an annotation), and both at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    pub support: u64,
    pub predicted: u64,
    pub hits: u64,
}

merge!(ClassCounts: support predicted hits);

/// What a part of the input adds up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub instances: u64,
    pub hard: Hard,
    pub soft: Ranks,
    pub sentences: Ranks,
    /// Without the rationale, and of the rationale alone.
    pub shifts: [Shift; 2],
    /// In the order of the classes of the annotations.
    pub classes: Vec<ClassCounts>,
    pub odd: [u64; 2],
}

merge!(Tally: instances hard soft sentences shifts classes odd);

impl Tally {
    /// Nothing yet, for so many thresholds and classes.
    pub fn new(iou_thresholds: usize, aopc_thresholds: usize, classes: usize) -> Self {
        let shift = Shift { points: vec![Mean::default(); aopc_thresholds], ..Shift::default() };
        Self {
            hard: Hard::new(iou_thresholds),
            shifts: [shift.clone(), shift],
            classes: vec![ClassCounts::default(); classes],
            ..Self::default()
        }
    }

    /// How many thresholds and classes it is for.
    pub fn shape(&self) -> [usize; 4] {
        let [remove, keep] = &self.shifts;
        [self.hard.matched.len(), remove.points.len(), keep.points.len(), self.classes.len()]
    }

    /// Counts the class of an annotation and what was predicted for it.
    pub fn count(&mut self, gold: usize, predicted: usize) {
        if let Some(counts) = self.classes.get_mut(gold) {
            counts.support += 1;
            counts.hits += u64::from(gold == predicted);
        }
        if let Some(counts) = self.classes.get_mut(predicted) {
            counts.predicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean(numbers: &[f64]) -> Mean {
        let mut mean = Mean::default();
        for &x in numbers {
            mean.add(x);
        }
        mean
    }

    proptest! {
        #[test]
        fn cuts_change_no_bit(numbers in prop::collection::vec(-1.0..1.0_f64, 2..200), at in 1_usize..200) {
            let (a, b) = numbers.split_at(at.min(numbers.len()));
            let mut parts = mean(a);
            parts.merge(&mean(b));
            prop_assert_eq!(parts.value().to_bits(), mean(&numbers).value().to_bits());
        }
    }

    #[test]
    fn infinities_add_as_usual() {
        assert_eq!(mean(&[1.0, f64::INFINITY, 2.0]).value().to_bits(), f64::INFINITY.to_bits());
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert!(mean(&[]).value().is_nan());
    }
}
