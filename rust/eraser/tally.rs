//! What instances add up to: counts and means that parts of the input can be merged from.

use serde::{Deserialize, Serialize};

use crate::eraser::classes::Shift;
use crate::eraser::hard::Hard;
use crate::eraser::mean::{Mean, merge};
use crate::ranking::Ranker;

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
