//! What instances add up to: counts and sums that parts of the input can be merged from.

use serde::{Deserialize, Serialize};

use crate::eraser::classes::ClassSums;
use crate::eraser::hard::Hard;
use crate::eraser::probabilities::Odd;
use crate::eraser::sum::Sum;
use crate::ranking::Ranker;

/// What ranking metrics add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    /// Pairs of annotation and document.
    pub pairs: u64,
    /// Those of them with gold and other tokens.
    pub ranked: u64,
    auprc: Sum,
    average_precision: Sum,
    roc_auc: Sum,
}

impl Ranks {
    /// Adds a pair of annotation and document. Scores must be numbers, as many as there are marks of gold.
    pub fn add(&mut self, scores: &[f64], gold: &[bool]) {
        let Ok(found) = Ranker::default().rank(scores, gold) else { return };
        self.pairs += 1;
        if found.roc_auc.is_nan() {
            // Recall counts as 1 where there is no gold, so the curve is a straight line from (1, 0) to (0, 1).
            self.auprc.add(if gold.first() == Some(&true) { 1.0 } else { 0.5 });
            return;
        }
        self.ranked += 1;
        self.auprc.add(found.auprc);
        self.average_precision.add(found.average_precision);
        self.roc_auc.add(found.roc_auc);
    }

    fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.ranked += other.ranked;
        self.auprc.merge(other.auprc);
        self.average_precision.merge(other.average_precision);
        self.roc_auc.merge(other.roc_auc);
    }

    /// Mean AUPRC over all pairs.
    pub fn auprc(&self) -> f64 {
        self.auprc.mean(self.pairs)
    }

    /// Mean average precision over the pairs with both classes.
    pub fn average_precision(&self) -> f64 {
        self.average_precision.mean(self.ranked)
    }

    /// Mean ROC AUC over the pairs with both classes.
    pub fn roc_auc(&self) -> f64 {
        self.roc_auc.mean(self.ranked)
    }
}

/// How often a class is annotated, predicted, and both at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Annotations of this class.
    pub support: u64,
    /// Predictions of this class, over annotations.
    pub predicted: u64,
    /// Annotations of this class that were predicted so.
    pub hits: u64,
}

/// What a part of the input adds up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Number of instances.
    pub instances: u64,
    /// Hard rationales.
    pub hard: Hard,
    /// Token scores.
    pub soft: Ranks,
    /// Sentence scores.
    pub sentences: Ranks,
    /// Class scores.
    pub sums: ClassSums,
    /// Classes, in the order of `Annotations::classes`.
    pub classes: Vec<ClassCounts>,
    /// Instances with odd class scores.
    pub odd: Odd,
}

impl Tally {
    /// Nothing yet, for so many thresholds and classes.
    pub fn new(iou_thresholds: usize, aopc_thresholds: usize, classes: usize) -> Self {
        Self {
            hard: Hard::new(iou_thresholds),
            sums: ClassSums::new(aopc_thresholds),
            classes: vec![ClassCounts::default(); classes],
            ..Self::default()
        }
    }

    /// Whether another was made for as many thresholds and classes.
    pub fn is_like(&self, other: &Self) -> bool {
        self.classes.len() == other.classes.len() && self.hard.is_like(&other.hard) && self.sums.is_like(&other.sums)
    }

    /// Adds what another part of the input adds up to.
    pub fn merge(&mut self, other: &Self) {
        self.instances += other.instances;
        self.odd.merge(other.odd);
        self.hard.merge(&other.hard);
        self.soft.merge(&other.soft);
        self.sentences.merge(&other.sentences);
        self.sums.merge(&other.sums);
        for (ours, theirs) in self.classes.iter_mut().zip(&other.classes) {
            ours.support += theirs.support;
            ours.predicted += theirs.predicted;
            ours.hits += theirs.hits;
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
