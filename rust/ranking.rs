//! How well scores rank the gold tokens of a row first: AUPRC, average precision and ROC AUC from one pass.
//!
//! Only the positives are sorted; each negative is then placed among them by binary search. That gives, for every
//! group of tied scores that holds a positive, how many negatives lie above and inside it, and all three metrics
//! follow from those counts. Ties are equality of numbers: 0.3 and 0.1 + 0.2 differ, 0.0 and -0.0 tie.

use std::hint::select_unpredictable;

use crate::error::{Error, Result};
use crate::pool;
use crate::ragged::Ragged;

/// Rows one task takes: enough to hide what a task costs, few enough to keep both cores busy.
const ROWS_PER_TASK: usize = 1024;

/// The ranking metrics of one row, each in [0, 1], higher is better; all NaN where the row lacks gold or non-gold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Trapezoid under the precision-recall curve with the end point (recall 0, precision 1).
    pub auprc: f64,
    /// Step sum under the precision-recall curve.
    pub average_precision: f64,
    /// Share of (gold, other) pairs in which the gold token scores higher; a tie counts half.
    pub roc_auc: f64,
}

impl Ranking {
    /// What a row of one class, or an empty one, has.
    pub const UNDEFINED: Self = Self { auprc: f64::NAN, average_precision: f64::NAN, roc_auc: f64::NAN };
}

/// The ranking metrics of many rows, one entry a row (see [`Ranking`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rankings {
    /// [`Ranking::auprc`] of each row.
    pub auprc: Vec<f64>,
    /// [`Ranking::average_precision`] of each row.
    pub average_precision: Vec<f64>,
    /// [`Ranking::roc_auc`] of each row.
    pub roc_auc: Vec<f64>,
}

/// The positives that share one score, and the negatives around them.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    positives: u32,
    /// Negatives of that score, and negatives below it and above the next lower group.
    negatives: [u32; 2],
}

/// Memory that is used again from row to row. Scores are held as keys: see `key`.
#[derive(Debug, Default)]
pub struct Ranker {
    positives: Vec<i64>,
    negatives: Vec<i64>,
    /// The distinct keys of the positives, ascending.
    levels: Vec<i64>,
    groups: Vec<Group>,
}

impl Ranker {
    /// The metrics of one row, or the position of the first NaN.
    ///
    /// # Errors
    /// The position of the first score that is NaN.
    pub fn rank(&mut self, scores: &[f64], gold: &[bool]) -> std::result::Result<Ranking, usize> {
        if !self.split(scores, gold) {
            return Err(scores.iter().position(|s| s.is_nan()).unwrap_or_default());
        }
        if self.positives.is_empty() || self.negatives.is_empty() {
            return Ok(Ranking::UNDEFINED);
        }
        self.level();
        self.place();
        Ok(self.sum())
    }

    /// Parts gold from other scores; false if there is a NaN.
    fn split(&mut self, scores: &[f64], gold: &[bool]) -> bool {
        // Each score is written to both sides and kept on one: gold is unpredictable, and a branch on it costs more.
        self.positives.resize(scores.len(), 0);
        self.negatives.resize(scores.len(), 0);
        let (mut positives, mut negatives, mut sound) = (0, 0, true);
        for (&score, &is_gold) in scores.iter().zip(gold) {
            sound &= !score.is_nan();
            self.positives[positives] = key(score);
            self.negatives[negatives] = key(score);
            positives += usize::from(is_gold);
            negatives += usize::from(!is_gold);
        }
        self.positives.truncate(positives);
        self.negatives.truncate(negatives);
        sound
    }

    /// Sorts the positives and makes one level of each distinct score.
    fn level(&mut self) {
        self.positives.sort_unstable();
        self.levels.clear();
        self.groups.clear();
        for &score in &self.positives {
            match (self.levels.last(), self.groups.last_mut()) {
                (Some(&level), Some(group)) if level == score => group.positives += 1,
                _ => {
                    self.levels.push(score);
                    self.groups.push(Group { positives: 1, negatives: [0, 0] });
                }
            }
        }
    }

    /// Counts each negative in its place among the levels.
    fn place(&mut self) {
        // Padded to a power of two by a key above all others, so that every search takes the same steps.
        let size = (self.levels.len() + 1).next_power_of_two();
        self.levels.resize(size, i64::MAX);
        self.groups.resize(size, Group::default());
        let (levels, negatives, groups) = (&self.levels, &self.negatives, &mut self.groups);
        // With a size that the compiler knows the steps of a search are laid out one after the other.
        match size {
            2 => place_among::<2>(levels, negatives, groups),
            4 => place_among::<4>(levels, negatives, groups),
            8 => place_among::<8>(levels, negatives, groups),
            16 => place_among::<16>(levels, negatives, groups),
            32 => place_among::<32>(levels, negatives, groups),
            64 => place_among::<64>(levels, negatives, groups),
            128 => place_among::<128>(levels, negatives, groups),
            256 => place_among::<256>(levels, negatives, groups),
            _ => negatives.iter().for_each(|&score| count(levels, score, size, groups)),
        }
    }

    /// Walks down the levels, from the highest score to the lowest.
    fn sum(&self) -> Ranking {
        let (all_positives, all_negatives) = (self.positives.len() as f64, self.negatives.len() as f64);
        let (mut hits, mut misses) = (0.0, 0.0);
        let (mut trapezoid, mut steps, mut pairs) = (0.0, 0.0, 0.0);
        for group in self.groups.iter().rev() {
            let [tied, below] = group.negatives.map(f64::from);
            let gain = f64::from(group.positives);
            let before = if hits + misses == 0.0 { 1.0 } else { hits / (hits + misses) };
            hits += gain;
            misses += tied;
            let precision = hits / (hits + misses).max(1.0);
            trapezoid += gain * (before + precision);
            steps += gain * precision;
            pairs += gain * (all_negatives - misses + 0.5 * tied);
            misses += below;
        }
        Ranking {
            auprc: trapezoid / (2.0 * all_positives),
            average_precision: steps / all_positives,
            roc_auc: pairs / (all_positives * all_negatives),
        }
    }
}

/// An integer that compares as the score does; zeros of both signs are one. Below `i64::MAX` but for NaN.
fn key(score: f64) -> i64 {
    let bits = (score + 0.0).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn place_among<const SIZE: usize>(levels: &[i64], negatives: &[i64], groups: &mut [Group]) {
    let (Some(levels), Some(groups)) = (levels.first_chunk::<SIZE>(), groups.first_chunk_mut::<SIZE>()) else { return };
    for &score in negatives {
        count(levels, score, SIZE, groups);
    }
}

/// Counts a negative at the lowest of `size` levels (a power of two) that is not below it.
#[inline(always)]
#[allow(clippy::inline_always)]
fn count(levels: &[i64], score: i64, size: usize, groups: &mut [Group]) {
    let (mut at, mut step) = (0, size / 2);
    while step > 0 {
        at = select_unpredictable(levels[at + step - 1] < score, at + step, at);
        step /= 2;
    }
    groups[at].negatives[usize::from(levels[at] != score)] += 1;
}

/// The ranking metrics of every row.
///
/// Rows are independent of each other, so the result is the same for any number of `threads` (none = one a core).
pub fn rank_rows(scores: &Ragged<'_, f64>, gold: &Ragged<'_, bool>, threads: Option<usize>) -> Result<Rankings> {
    scores.same_shape("scores", gold, "gold")?;
    let rows = scores.len();
    let mut out = Rankings { auprc: vec![0.0; rows], average_precision: vec![0.0; rows], roc_auc: vec![0.0; rows] };
    let tasks = out
        .auprc
        .chunks_mut(ROWS_PER_TASK)
        .zip(out.average_precision.chunks_mut(ROWS_PER_TASK))
        .zip(out.roc_auc.chunks_mut(ROWS_PER_TASK))
        .enumerate()
        .collect();
    pool::each(threads, tasks, |(task, ((auprc, average_precision), roc_auc))| {
        let mut ranker = Ranker::default();
        for (i, ((area, steps), pairs)) in auprc.iter_mut().zip(average_precision).zip(roc_auc).enumerate() {
            let row = task * ROWS_PER_TASK + i;
            let found = ranker.rank(scores.row(row), gold.row(row)).map_err(|index| Error::BadValue {
                row,
                name: "scores",
                index,
                found: f64::NAN,
                expected: "a number",
            })?;
            (*area, *steps, *pairs) = (found.auprc, found.average_precision, found.roc_auc);
        }
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definitions, point by point, on every distinct threshold.
    #[allow(clippy::float_cmp)]
    fn slow(scores: &[f64], gold: &[bool]) -> Ranking {
        let positives = gold.iter().filter(|&&g| g).count() as f64;
        let negatives = gold.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return Ranking::UNDEFINED;
        }
        let mut thresholds = scores.to_vec();
        thresholds.sort_by(f64::total_cmp);
        thresholds.reverse();
        thresholds.dedup();
        let (mut recall, mut precision) = (0.0, 1.0);
        let (mut auprc, mut average_precision, mut pairs) = (0.0, 0.0, 0.0);
        for t in thresholds {
            let taken: Vec<bool> = scores.iter().zip(gold).filter(|&(&s, _)| s >= t).map(|(_, &g)| g).collect();
            let hits = taken.iter().filter(|&&g| g).count() as f64;
            let (r, p) = (hits / positives, hits / taken.len() as f64);
            auprc += (r - recall) * (p + precision) / 2.0;
            average_precision += (r - recall) * p;
            (recall, precision) = (r, p);
        }
        for (&a, _) in scores.iter().zip(gold).filter(|&(_, &g)| g) {
            for (&b, _) in scores.iter().zip(gold).filter(|&(_, &g)| !g) {
                pairs += if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
            }
        }
        Ranking { auprc, average_precision, roc_auc: pairs / (positives * negatives) }
    }

    fn close(a: f64, b: f64) -> bool {
        (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-12
    }

    proptest! {
        #[test]
        fn equals_the_definitions(row in prop::collection::vec((-3_i8..4, any::<bool>()), 0..40)) {
            // Few distinct values, so most scores tie, and zeros of both signs.
            let scores: Vec<f64> = row.iter().map(|&(s, g)| f64::from(s) * if g { 0.1 } else { -0.1 }).collect();
            let gold: Vec<bool> = row.iter().map(|&(_, g)| g).collect();
            let found = Ranker::default().rank(&scores, &gold);
            let expected = slow(&scores, &gold);
            prop_assert!(found.is_ok_and(|f| close(f.auprc, expected.auprc)
                && close(f.average_precision, expected.average_precision)
                && close(f.roc_auc, expected.roc_auc)), "{found:?} {expected:?}");
        }

        #[test]
        fn threads_change_no_bit(values in prop::collection::vec((0_u8..9, any::<bool>()), 3000..4000), width in 1_usize..5) {
            let scores: Vec<f64> = values.iter().map(|&(s, _)| f64::from(s)).collect();
            let gold: Vec<bool> = values.iter().map(|&(_, g)| g).collect();
            let offsets: Vec<i64> = (0..=values.len() / width).map(|i| (i * width) as i64).collect();
            let scores = Ragged::new("scores", &scores, &offsets)?;
            let gold = Ragged::new("gold", &gold, &offsets)?;
            let (one, three) = (rank_rows(&scores, &gold, Some(1))?, rank_rows(&scores, &gold, Some(3))?);
            let bits = |r: &Rankings| -> Vec<u64> {
                [&r.auprc, &r.average_precision, &r.roc_auc].into_iter().flatten().map(|x| x.to_bits()).collect()
            };
            prop_assert_eq!(bits(&one), bits(&three));
            for row in [0, 1, ROWS_PER_TASK - 1, scores.len() - 1].into_iter().filter(|&row| row < scores.len()) {
                let alone = Ranker::default().rank(scores.row(row), gold.row(row));
                let found = [one.auprc[row], one.average_precision[row], one.roc_auc[row]];
                let expected = alone.map(|alone| [alone.auprc, alone.average_precision, alone.roc_auc].map(f64::to_bits));
                prop_assert_eq!(Ok(found.map(f64::to_bits)), expected);
            }
        }
    }

    /// As many levels as each size of a search takes, and one more.
    #[test]
    fn any_number_of_levels_equals_the_definitions() {
        for levels in [1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 400] {
            // Twice as many distinct scores, in some order; half of them are gold.
            let scores: Vec<f64> = (0..2 * levels).map(|i| ((i * 7919) % (2 * levels)) as f64 / 2.0).collect();
            let scores: Vec<f64> = scores.into_iter().chain([0.0, 1.0, -1.0, 1e9]).collect();
            let gold: Vec<bool> = (0..scores.len()).map(|i| i < levels).collect();
            let (found, expected) = (Ranker::default().rank(&scores, &gold), slow(&scores, &gold));
            let same = |f: Ranking| {
                close(f.auprc, expected.auprc)
                    && close(f.average_precision, expected.average_precision)
                    && close(f.roc_auc, expected.roc_auc)
            };
            assert!(found.is_ok_and(same), "{levels}: {found:?} {expected:?}");
        }
    }

    #[test]
    fn all_equal_scores_give_one_plus_prevalence_over_two() {
        let found = Ranker::default().rank(&[0.5; 4], &[true, false, false, false]);
        assert_eq!(found, Ok(Ranking { auprc: 0.625, average_precision: 0.25, roc_auc: 0.5 }));
    }

    #[test]
    fn zeros_of_both_signs_tie_and_sums_do_not() {
        let tie = Ranker::default().rank(&[0.0, -0.0], &[true, false]);
        assert_eq!(tie.map(|r| r.roc_auc), Ok(0.5));
        let apart = Ranker::default().rank(&[0.1 + 0.2, 0.3], &[true, false]);
        assert_eq!(apart.map(|r| r.roc_auc), Ok(1.0));
    }

    #[test]
    fn infinities_rank_and_nan_is_refused() -> Result<()> {
        let found = Ranker::default().rank(&[f64::INFINITY, f64::NEG_INFINITY, 0.0], &[true, false, false]);
        assert_eq!(found.map(|r| r.auprc), Ok(1.0));
        let scores = Ragged::new("scores", &[0.0, f64::NAN], &[0, 2])?;
        let gold = Ragged::new("gold", &[true, false], &[0, 2])?;
        let message = rank_rows(&scores, &gold, None).map_err(|e| e.to_string());
        assert_eq!(message, Err("row 0: scores[1] is NaN, expected a number".to_owned()));
        Ok(())
    }
}
