//! What instances add up to: counts and means that parts of the input can be merged from.

use serde::{Deserialize, Serialize};

use crate::eraser::classes::ClassMeans;
use crate::eraser::hard::Hard;
use crate::eraser::mean::{Mean, merge};
use crate::eraser::probabilities::Odd;
use crate::ranking::Ranker;

/// Means of ranking metrics over pairs of annotation and document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    /// Over all pairs.
    pub auprc: Mean,
    /// Over those with gold and other tokens.
    pub average_precision: Mean,
    /// Over the same.
    pub roc_auc: Mean,
}

merge!(Ranks: auprc average_precision roc_auc);

impl Ranks {
    /// Adds a pair. Scores must be numbers, as many as there are marks of gold.
    pub fn add(&mut self, ranker: &mut Ranker, scores: &[f64], gold: &[bool]) {
        let Ok(found) = ranker.rank(scores, gold) else { return };
        if found.roc_auc.is_nan() {
            // Recall counts as 1 where there is no gold, so the curve is a straight line from (1, 0) to (0, 1).
            self.auprc.add(if gold.first() == Some(&true) { 1.0 } else { 0.5 });
            return;
        }
        self.auprc.add(found.auprc);
        self.average_precision.add(found.average_precision);
        self.roc_auc.add(found.roc_auc);
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
    pub means: ClassMeans,
    /// In the order of the classes of the annotations.
    pub classes: Vec<ClassCounts>,
    pub odd: Odd,
}

merge!(Tally: instances hard soft sentences means classes odd);

impl Tally {
    /// Nothing yet, for so many thresholds and classes.
    pub fn new(iou_thresholds: usize, aopc_thresholds: usize, classes: usize) -> Self {
        Self {
            hard: Hard::new(iou_thresholds),
            means: ClassMeans::new(aopc_thresholds),
            classes: vec![ClassCounts::default(); classes],
            ..Self::default()
        }
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
