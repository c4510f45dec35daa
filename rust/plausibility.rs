//! Agreement of a hard rationale with a human one: token precision, recall and F1, and spans by intersection over
//! union.
//!
//! A mark is any byte but 0. Rows whose gold rationale marks nothing are undefined (NaN). Gold but nothing selected: precision is NaN, recall
//! and F1 are 0.

use crate::error::{Error, Result};
use crate::ragged::Ragged;

/// Precision, recall and F1, one entry per row (or row and threshold).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agreement {
    /// Share of what was selected that gold marks.
    pub precision: Vec<f64>,
    /// Share of what gold marks that was selected.
    pub recall: Vec<f64>,
    /// Their harmonic mean.
    pub f1: Vec<f64>,
}

impl Agreement {
    fn with_capacity(rows: usize) -> Self {
        let column = || Vec::with_capacity(rows);
        Self { precision: column(), recall: column(), f1: column() }
    }

    /// Adds a row from counts: what matched among the selected, and among the gold, may differ (spans).
    fn push(&mut self, hits_selected: u64, selected: u64, hits_gold: u64, gold: u64) {
        let share = |hits: u64, of: u64| if of == 0 { f64::NAN } else { hits as f64 / of as f64 };
        let recall = share(hits_gold, gold);
        // Without gold precision is undefined too.
        let precision = share(hits_selected, if gold == 0 { 0 } else { selected });
        let hit = precision > 0.0 && recall > 0.0;
        self.precision.push(precision);
        self.recall.push(recall);
        // Without a hit 0, and undefined where recall is.
        self.f1.push(if hit { 2.0 * precision * recall / (precision + recall) } else { 0.0 * recall });
    }
}

/// Token counts of each row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Selected and marked by gold.
    pub both: Vec<i64>,
    /// Selected.
    pub selected: Vec<i64>,
    /// Marked by gold.
    pub gold: Vec<i64>,
}

/// How many tokens of each row are selected, are gold, and are both.
pub fn token_counts(rationale: &Ragged<'_, u8>, gold: &Ragged<'_, u8>) -> Result<TokenCounts> {
    rationale.same_shape("rationale", gold, "gold")?;
    let rows = rationale.len();
    let column = || Vec::with_capacity(rows);
    let mut counts = TokenCounts { both: column(), selected: column(), gold: column() };
    for row in 0..rows {
        let (both, selected, marked) = count_row(rationale.row(row), gold.row(row));
        counts.both.push(both as i64);
        counts.selected.push(selected as i64);
        counts.gold.push(marked as i64);
    }
    Ok(counts)
}

/// Token precision, recall and F1 of the marked class, one entry per row.
pub fn token_agreement(rationale: &Ragged<'_, u8>, gold: &Ragged<'_, u8>) -> Result<Agreement> {
    rationale.same_shape("rationale", gold, "gold")?;
    let mut out = Agreement::with_capacity(rationale.len());
    for row in 0..rationale.len() {
        let (both, selected, marked) = count_row(rationale.row(row), gold.row(row));
        out.push(both, selected, both, marked);
    }
    Ok(out)
}

/// Token F1 averaged over the classes "in" and "out" that occur in the row (Chan et al. 2022); 0 where gold marks
/// nothing.
pub fn token_f1_both_classes(rationale: &Ragged<'_, u8>, gold: &Ragged<'_, u8>) -> Result<Vec<f64>> {
    rationale.same_shape("rationale", gold, "gold")?;
    let f1 = |both: u64, a: u64, b: u64| 2.0 * both as f64 / (a + b) as f64;
    let one = |row: usize| {
        let (both, selected, marked) = count_row(rationale.row(row), gold.row(row));
        if marked == 0 {
            return 0.0;
        }
        let n = rationale.row_len(row) as u64;
        let neither = (n + both).saturating_sub(selected + marked);
        let (inside, outside) = (f1(both, selected, marked), f1(neither, n - selected, n - marked));
        // All is in on both sides: there is no "out".
        if both == n { inside } else { f64::midpoint(inside, outside) }
    };
    Ok((0..rationale.len()).map(one).collect())
}

/// Precision, recall and F1 over spans (maximal runs): a span matches if its best intersection over union with a span
/// of the other side reaches the threshold. Entries are row-major `[N, thresholds]`.
pub fn iou_agreement(rationale: &Ragged<'_, u8>, gold: &Ragged<'_, u8>, thresholds: &[f64]) -> Result<Agreement> {
    rationale.same_shape("rationale", gold, "gold")?;
    if let Some(bad) = thresholds.iter().find(|t| !(**t > 0.0 && **t <= 1.0)) {
        let found = bad.to_string();
        return Err(Error::BadParameter { name: "iou_thresholds", found, expected: "numbers in (0, 1]" });
    }
    let mut out = Agreement::with_capacity(rationale.len() * thresholds.len());
    let (mut selected, mut marked) = (Spans::default(), Spans::default());
    for row in 0..rationale.len() {
        selected.read(rationale.row(row));
        marked.read(gold.row(row));
        selected.match_with(&mut marked);
        for &t in thresholds {
            let hits = |spans: &Spans| spans.best.iter().filter(|&&iou| iou >= t).count() as u64;
            out.push(hits(&selected), selected.len(), hits(&marked), marked.len());
        }
    }
    Ok(out)
}

/// Number of true values in each row.
#[must_use]
pub fn rationale_length(rationale: &Ragged<'_, u8>) -> Vec<i64> {
    (0..rationale.len()).map(|row| rationale.row(row).iter().map(|&b| i64::from(b != 0)).sum()).collect()
}

/// Both, selected, gold.
fn count_row(rationale: &[u8], gold: &[u8]) -> (u64, u64, u64) {
    let (mut both, mut selected, mut marked) = (0, 0, 0);
    // Counts of a block fit a byte, which lets the loop run on whole vectors of bytes.
    for (r, g) in rationale.chunks(255).zip(gold.chunks(255)) {
        let mut block = [0_u8; 3];
        for (&r, &g) in r.iter().zip(g) {
            let (r, g) = (u8::from(r != 0), u8::from(g != 0));
            block[0] += r & g;
            block[1] += r;
            block[2] += g;
        }
        both += u64::from(block[0]);
        selected += u64::from(block[1]);
        marked += u64::from(block[2]);
    }
    (both, selected, marked)
}

/// Maximal runs of a row and the best intersection over union of each; reused from row to row.
#[derive(Default)]
struct Spans {
    runs: Vec<(usize, usize)>,
    best: Vec<f64>,
}

impl Spans {
    fn len(&self) -> u64 {
        self.runs.len() as u64
    }

    fn read(&mut self, row: &[u8]) {
        self.runs.clear();
        let mut start = None;
        for (i, &byte) in row.iter().enumerate() {
            match (byte != 0, start) {
                (true, None) => start = Some(i),
                (false, Some(s)) => {
                    self.runs.push((s, i));
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(s) = start {
            self.runs.push((s, row.len()));
        }
        self.best.clear();
        self.best.resize(self.runs.len(), 0.0);
    }

    /// Runs are in order and apart, so walking both lists once meets every pair that overlaps.
    fn match_with(&mut self, other: &mut Self) {
        let mut left = self.runs.iter().zip(&mut self.best).peekable();
        let mut right = other.runs.iter().zip(&mut other.best).peekable();
        while let (Some((a, best_a)), Some((b, best_b))) = (left.peek_mut(), right.peek_mut()) {
            let overlap = a.1.min(b.1).saturating_sub(a.0.max(b.0));
            if overlap > 0 {
                let iou = overlap as f64 / (a.1.max(b.1) - a.0.min(b.0)) as f64;
                **best_a = best_a.max(iou);
                **best_b = best_b.max(iou);
            }
            if a.1 <= b.1 {
                left.next();
            } else {
                right.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(text: &str) -> Vec<u8> {
        text.chars().map(|c| u8::from(c == '1') * 7).collect()
    }

    fn one(
        rationale: &str,
        gold: &str,
        f: impl Fn(&Ragged<'_, u8>, &Ragged<'_, u8>) -> Result<Agreement>,
    ) -> Result<(f64, f64, f64)> {
        let (rationale, gold) = (row(rationale), row(gold));
        let (a, b) = ([0, rationale.len() as i64], [0, gold.len() as i64]);
        let out = f(&Ragged::new("rationale", &rationale, &a)?, &Ragged::new("gold", &gold, &b)?)?;
        Ok((out.precision[0], out.recall[0], out.f1[0]))
    }

    #[test]
    fn tokens_by_hand() -> Result<()> {
        assert_eq!(one("1100", "0111", token_agreement)?, (0.5, 1.0 / 3.0, 0.4));
        let (p, r, f) = one("0000", "0111", token_agreement)?;
        assert!(p.is_nan() && r == 0.0 && f == 0.0);
        let (p, r, f) = one("0100", "0000", token_agreement)?;
        assert!(p.is_nan() && r.is_nan() && f.is_nan());
        assert!(one("010", "0100", token_agreement).is_err());
        Ok(())
    }

    #[test]
    fn two_halves_of_one_gold_span_recall_it_once() -> Result<()> {
        let iou = |a: &Ragged<'_, u8>, b: &Ragged<'_, u8>| iou_agreement(a, b, &[0.45]);
        assert_eq!(one("111101111", "111111111", iou)?, (0.0, 0.0, 0.0));
        let iou = |a: &Ragged<'_, u8>, b: &Ragged<'_, u8>| iou_agreement(a, b, &[0.4]);
        assert_eq!(one("111101111", "111111111", iou)?, (1.0, 1.0, 1.0));
        let iou = |a: &Ragged<'_, u8>, b: &Ragged<'_, u8>| iou_agreement(a, b, &[0.5]);
        assert_eq!(one("1100", "1111", iou)?, (1.0, 1.0, 1.0));
        assert_eq!(one("110001", "111100", iou)?, (0.5, 1.0, 2.0 / 3.0));
        Ok(())
    }

    #[test]
    fn thresholds_are_checked() {
        for t in [0.0, -1.0, 1.1, f64::NAN] {
            assert!(one("1", "1", |a, b| iou_agreement(a, b, &[t])).is_err());
        }
    }

    #[test]
    fn both_classes_by_hand() -> Result<()> {
        let (a, b) = (row("1100"), row("0110"));
        let f1 = token_f1_both_classes(&Ragged::new("r", &a, &[0, 4])?, &Ragged::new("g", &b, &[0, 4])?)?;
        assert_eq!(f1, [0.5]);
        let ones = row("11");
        let ones = Ragged::new("r", &ones, &[0, 2])?;
        assert_eq!(token_f1_both_classes(&ones, &ones)?, [1.0]);
        let (a, b) = (row("1000011000"), row("1110000011"));
        let offsets = [0, 5, 7, 7, 10];
        let f1 = token_f1_both_classes(&Ragged::new("r", &a, &offsets)?, &Ragged::new("g", &b, &offsets)?)?;
        assert_eq!(f1, [f64::midpoint(0.5, 2.0 / 3.0), 0.0, 0.0, 0.25]);
        Ok(())
    }

    #[test]
    fn rows_are_counted_each_by_itself() -> Result<()> {
        let (a, b) = (row("110001110"), row("011001010"));
        let (a, b) = (Ragged::new("r", &a, &[1, 4, 4, 8])?, Ragged::new("g", &b, &[1, 4, 4, 8])?);
        assert_eq!(rationale_length(&a), [1, 0, 3]);
        let counts = token_counts(&a, &b)?;
        assert_eq!(counts, TokenCounts { both: vec![1, 0, 2], selected: vec![1, 0, 3], gold: vec![2, 0, 2] });
        let tokens = token_agreement(&a, &b)?;
        assert_eq!((tokens.recall[0], tokens.recall[2], tokens.precision[2]), (0.5, 1.0, 2.0 / 3.0));
        let spans = iou_agreement(&a, &b, &[0.3, 1.0])?;
        assert_eq!(spans.recall[..2], [1.0, 0.0]);
        assert!(spans.recall[2].is_nan() && spans.f1[3].is_nan());
        for column in [&spans.precision, &spans.recall, &spans.f1] {
            assert_eq!(column[4..], [1.0, 0.0]);
        }
        assert_eq!(iou_agreement(&a, &a, &[1.0])?.f1[..1], [1.0]);
        Ok(())
    }

    /// Every pair of spans, as the definition says it.
    fn naive(rationale: &[u8], gold: &[u8], t: f64) -> (u64, u64) {
        let (mut a, mut b) = (Spans::default(), Spans::default());
        a.read(rationale);
        b.read(gold);
        let iou = |x: &(usize, usize), y: &(usize, usize)| {
            let overlap = (x.0..x.1).filter(|i| (y.0..y.1).contains(i)).count();
            overlap as f64 / (x.1 - x.0 + y.1 - y.0 - overlap) as f64
        };
        let hits = |x: &Spans, y: &Spans| x.runs.iter().filter(|s| y.runs.iter().any(|u| iou(s, u) >= t)).count();
        (hits(&a, &b) as u64, hits(&b, &a) as u64)
    }

    proptest! {
        #[test]
        fn spans_agree_with_all_pairs(row in prop::collection::vec((0_u8..2, 0_u8..2), 0..40), t in 0.05..1.0) {
            let (rationale, gold): (Vec<u8>, Vec<u8>) = row.into_iter().unzip();
            let (mut a, mut b) = (Spans::default(), Spans::default());
            a.read(&rationale);
            b.read(&gold);
            a.match_with(&mut b);
            let hits = |s: &Spans| s.best.iter().filter(|&&iou| iou >= t).count() as u64;
            prop_assert_eq!((hits(&a), hits(&b)), naive(&rationale, &gold, t));
        }

        #[test]
        fn counts_agree_with_counting(row in prop::collection::vec((0_u8..2, 0_u8..2), 0..700)) {
            let (a, b): (Vec<u8>, Vec<u8>) = row.iter().copied().unzip();
            let count = |f: fn(&(u8, u8)) -> bool| row.iter().filter(|x| f(x)).count() as u64;
            prop_assert_eq!(count_row(&a, &b), (count(|x| x.0 > 0 && x.1 > 0), count(|x| x.0 > 0), count(|x| x.1 > 0)));
        }
    }
}
